"""Uploaded bytes -> studies. Every file ends as an `Outcome`: studies, or one sentence that says why not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from core.reading import limits
from core.reading.archive import read_members
from core.reading.dicom import Instance
from core.reading.names import display_name
from core.reading.sniff import READABLE, kind_of
from core.reading.studies import decode, join
from core.records import Study, StudyRejected
from core.tasks import get_task

__all__ = ["READABLE", "Outcome", "files_below", "read_paths", "read_upload", "read_uploads"]


@dataclass(frozen=True)
class Outcome:
    """What one file became: its studies, or why it is refused, or (in `note`) the study that it is a part of."""

    name: str
    studies: tuple[Study, ...]
    rejected: StudyRejected | None
    note: str = ""


@dataclass(frozen=True)
class _Item:
    """A file that was looked at; `digest` tells equal files."""

    name: str
    content: Instance | list[Study] | StudyRejected
    digest: str = ""


def read_uploads(files: Iterable[tuple[str, bytes]], *, task: str = "", secret: bytes = b"") -> list[Outcome]:
    """Read uploaded files (name, bytes): one `Outcome` each, in order; for a ZIP one for each file inside.

    DICOM files of one study (same StudyInstanceUID, patient and modality) become one study, which belongs to the first of
    them. A study's task is its modality's, else `task`. `secret` keys the pseudonyms of patients.
    Raises `Refused` for an unknown `task`; never for a file's content.
    """
    if task:
        get_task(task)
    return _outcomes([item for name, data in files for item in _items(name, data, task, secret)], task)


def read_paths(paths: Iterable[Path], *, task: str = "", secret: bytes = b"") -> list[Outcome]:
    """`read_uploads` for files and folders of this machine: folders are walked in order, hidden files passed over."""
    if task:
        get_task(task)
    items: list[_Item] = []
    for path in (file for given in paths for file in files_below(Path(given))):
        try:
            limits.check_upload_size(path.stat().st_size)
            items += _items(path.name, path.read_bytes(), task, secret)
        except StudyRejected as rejected:
            items.append(_Item(display_name(path.name), rejected))
        except OSError as error:
            reason = StudyRejected(f"The file cannot be opened ({error.strerror}).", "Check its path and permissions.")
            items.append(_Item(display_name(path.name), reason))
    return _outcomes(items, task)


def read_upload(name: str, data: bytes, *, task: str = "", secret: bytes = b"") -> list[Study]:
    """The studies of one file; raises the first `StudyRejected` where there are none."""
    outcomes = read_uploads([(name, data)], task=task, secret=secret)
    studies = [study for outcome in outcomes for study in outcome.studies]
    if not studies:
        raise next(outcome.rejected for outcome in outcomes if outcome.rejected)
    return studies


def files_below(path: Path) -> Iterator[Path]:
    """The file itself, or a folder's files in the order of their names; hidden ones and linked folders are passed over."""
    if not path.is_dir():
        yield path
        return
    for child in sorted(path.iterdir()):
        if not child.name.startswith(".") and not (child.is_dir() and child.is_symlink()):
            yield from files_below(child)


def _items(name: str, data: bytes, task: str, secret: bytes) -> Iterator[_Item]:
    """A file as one item, a ZIP as one per member."""
    shown = display_name(name)
    try:
        limits.check_upload_size(len(data))
        if kind_of(data) != "zip":
            yield _item(shown, data, task, secret)
            return
        budget = limits.DECODED_BYTES
        for member, content in read_members(data):
            inner = f"{shown} › {display_name(member)}"
            item = _Item(inner, content) if isinstance(content, StudyRejected) else _item(inner, content, task, secret)
            budget -= _decoded_bytes(item)
            yield item if budget >= 0 else _Item(inner, _too_much())
    except StudyRejected as rejected:
        yield _Item(shown, rejected)
    except Exception as error:  # the promise of read_uploads: a file's content never raises
        yield _Item(shown, StudyRejected(f"The file is damaged ({type(error).__name__}).", "Copy or export it again."))


def _item(shown: str, data: bytes, task: str, secret: bytes) -> _Item:
    try:
        content = decode(shown.split(" › ")[-1], data, task, secret)
    except StudyRejected as rejected:
        return _Item(shown, rejected)
    return _Item(shown, content, hashlib.sha256(data).hexdigest())


def _decoded_bytes(item: _Item) -> int:
    if isinstance(item.content, StudyRejected):
        return 0
    holders = [item.content] if isinstance(item.content, Instance) else item.content
    return sum(image.pixels.nbytes for holder in holders for image in holder.images)


def _too_much() -> StudyRejected:
    size = limits.DECODED_BYTES // limits.MIB
    return StudyRejected(f"The archive's pictures take more than {size:,} MB once unpacked.", "Split it up.")


def _outcomes(items: list[_Item], task: str) -> list[Outcome]:
    """Join DICOM items into studies; every item becomes an outcome at its own place."""
    groups: dict[str, dict[str, Instance]] = {}  # study key -> file digest -> instance
    for item in items:
        if isinstance(item.content, Instance):
            groups.setdefault(item.content.study_key, {}).setdefault(item.digest, item.content)
    studies = {key: join(list(members.values()), task) for key, members in groups.items()}
    outcomes, given, seen = [], set(), set()
    for item in items:
        outcome = Outcome(item.name, (), None)
        if isinstance(item.content, StudyRejected):
            outcome = replace(outcome, rejected=item.content)
        elif isinstance(item.content, list):
            outcome = replace(outcome, studies=tuple(item.content))
        else:
            key = item.content.study_key
            study = studies[key]
            if key not in given:
                outcome = replace(outcome, studies=(study,))
            else:
                same = item.digest in seen
                outcome = replace(outcome, note=f"{'same file again, ' if same else ''}part of study {study.name}")
            given.add(key)
            seen.add(item.digest)
        outcomes.append(outcome)
    return outcomes
