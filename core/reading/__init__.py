"""Uploaded bytes -> studies. Every file ends as an `Outcome`: studies, or one sentence that says why not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.reading import process
from core.reading.dicom import Instance
from core.reading.gather import Part, joined_pictures, with_stated
from core.reading.intake import Item, Kept, Reader, Source
from core.reading.npz import WHOLE
from core.reading.npz import Part as NpzPart
from core.reading.placement import Table, read_table
from core.reading.sniff import READABLE
from core.reading.studies import join
from core.records import Image, Study, StudyRejected
from core.tasks import get_task

__all__ = [
    "READABLE", "Kept", "NpzPart", "Outcome", "Source", "files_below", "read_exams", "read_paths", "read_upload", "read_uploads",
    "warm",
]  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What one file became: its studies, or why it is refused, or (in `note`) the study that it is a part of.

    `images` and `facts` are the file's own, also where its study belongs to another file; `study_id` is that of its (first)
    study; `left` has the tags of those elements of a DICOM header of which nothing is kept; `kept` is the copy that was asked for.

    `position` is the file's place among those that were read together; the files of a ZIP share the ZIP's, and are number
    `member` (from 0) of its `members`.
    """

    name: str
    studies: tuple[Study, ...]
    rejected: StudyRejected | None
    position: int = 0
    member: int = 0
    members: int = 1
    note: str = ""
    images: tuple[Image, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    study_id: str = ""
    left: tuple[int, ...] = ()
    kept: Kept | None = None


def read_exams(
    sources: Sequence[Source], *, task: str = "", secret: bytes = b"", trusted: bool = False, part: NpzPart = WHOLE,
    keep: str = "nothing",
) -> Iterator[list[Outcome]]:  # fmt: skip
    """Read files exam by exam: the outcomes of one exam's files at a time, as soon as it is whole.

    Of thousands of files no more than one exam is held in memory. DICOM files of one study (same StudyInstanceUID, patient
    and modality) become one study, which belongs to the first of them, wherever they stand among the sources or in a ZIP. Pictures
    whose folders (`Class/Patient/file`, of the classes of `task`) or whose row in a table among the sources name their
    patient become one study of that patient, with the reference standard. A study's task is its modality's, else `task`.
    `part` says which images of NPZ files are wanted. `secret` keys the pseudonyms of patients. Files are decoded in child
    processes (`core.reading.process`) unless they are `trusted`: made by this program, or chosen by its people for training.
    `keep` asks for copies, as `core.settings.kept_copies` has it (of trusted files there are none).
    Raises `Refused` for an unknown `task`; never for a file's content.
    """
    if task:
        get_task(task)
    sources = [_in_memory(source) if source.name.lower().endswith(".csv") else source for source in sources]
    tables = [table for source in sources if (table := _table(source))]
    reader = Reader(task, secret, part, trusted=trusted, tables=tables, keep=keep)
    return (_outcomes(items, task, tables, secret) for items in reader.exams(sources))


def read_uploads(
    files: Iterable[tuple[str, bytes]], *, task: str = "", secret: bytes = b"", trusted: bool = False
) -> list[Outcome]:
    """`read_exams` for files in memory (name, bytes), all at once: one `Outcome` each, in order, several for a ZIP."""
    return _read_all([Source.of_bytes(name, data) for name, data in files], task, secret, trusted)


def read_paths(paths: Iterable[Path], *, task: str = "", secret: bytes = b"", trusted: bool = False) -> list[Outcome]:
    """`read_uploads` for files and folders of this machine: folders are walked in order, hidden files passed over."""
    sources = [Source.of_path(file) for given in paths for file in files_below(Path(given))]
    return _read_all(sources, task, secret, trusted)


def read_upload(name: str, data: bytes, *, task: str = "", secret: bytes = b"", trusted: bool = False) -> list[Study]:
    """The studies of one file; raises the first `StudyRejected` where there are none."""
    outcomes = read_uploads([(name, data)], task=task, secret=secret, trusted=trusted)
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


def warm() -> None:
    """Start the decoding process before the first file comes; what fails here is said then."""
    with contextlib.suppress(StudyRejected):
        process.shared().warm()


def _read_all(sources: Sequence[Source], task: str, secret: bytes, trusted: bool) -> list[Outcome]:
    batches = read_exams(sources, task=task, secret=secret, trusted=trusted)
    return sorted(
        (outcome for batch in batches for outcome in batch), key=lambda outcome: (outcome.position, outcome.member)
    )


def _in_memory(source: Source) -> Source:
    """A table is needed before the pictures and again in its own place, but a source may give its bytes only once."""
    try:
        return Source.of_bytes(source.name, source.load())
    except (StudyRejected, OSError):
        return source  # fails again, and says so, when it is read


def _table(source: Source) -> Table | None:
    try:
        return read_table(source.name, source.load()) if source.name.lower().endswith(".csv") else None
    except (StudyRejected, OSError):
        return None  # said when it is read


def _outcomes(items: list[Item], task: str, tables: Sequence[Table], secret: bytes) -> list[Outcome]:
    """Join the items of one exam into studies; every item becomes an outcome at its own place."""
    tables = [*tables, *items[0].tables]
    groups: dict[str, dict[str, Instance]] = {}  # study key -> identity -> instance
    paths: dict[str, list[str]] = {}
    for item in items:
        if isinstance(item.content, Instance):
            groups.setdefault(item.content.study_key, {}).setdefault(item.content.identity, item.content)
            paths.setdefault(item.content.study_key, []).append(item.path)
    studies = {
        key: with_stated(join(list(members.values()), task), paths[key], task, tables)
        for key, members in groups.items()
    }
    outcomes, given, seen = [], set(), set()
    for item, pictures in joined_pictures(items, task, tables, secret):
        outcome = Outcome(item.name, (), None, item.position, item.member, item.members, kept=item.kept)
        if isinstance(item.content, Instance):
            key, identity = item.content.study_key, item.content.identity
            outcome = _of_instance(outcome, item.content, studies[key])
            if key in given:
                same = "same picture again, " if identity in seen else ""
                outcome = replace(outcome, studies=(), note=f"{same}part of study {studies[key].name}")
            given.add(key)
            seen.add(identity)
        else:
            outcome = _of_file(outcome, item.content if pictures is None else pictures)
        outcomes.append(outcome)
    return outcomes


def _of_instance(outcome: Outcome, instance: Instance, study: Study) -> Outcome:
    return replace(
        outcome, studies=(study,), images=instance.images, facts=instance.metadata, study_id=study.id,
        left=instance.left,
    )  # fmt: skip


def _of_file(outcome: Outcome, content: list[Study] | Part | Table | StudyRejected) -> Outcome:
    """The outcome of a file that is no DICOM instance."""
    if isinstance(content, StudyRejected):
        return replace(outcome, rejected=content)
    if isinstance(content, Table):
        return replace(outcome, note="a table that says what the pictures beside it are")
    if isinstance(content, Part):
        note = f"part of study {content.study_name}"
        return replace(outcome, images=content.images, facts=content.facts, study_id=content.study_id, note=note)
    return _with_own(outcome, content)


def _with_own(outcome: Outcome, studies: list[Study]) -> Outcome:
    """The outcome of a file that holds whole studies."""
    images = tuple(image for study in studies for image in study.images)
    return replace(outcome, studies=tuple(studies), images=images, facts=studies[0].metadata, study_id=studies[0].id)
