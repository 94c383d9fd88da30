"""Files -> stored studies, exam by exam: what `python -m db import` and the upload page share. It composes core and db.

Every exam is stored in one transaction, its pixels before it: an import that ends early, however it ends, leaves whole studies
only, and repeating it adds what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from core import settings
from core.deidentify.hold import reason_to_hold
from core.reading import NpzPart, Outcome, Source, files_below, read_exams
from core.records import Refused, Study, StudyRejected
from db import copies, holds, pixels, studies
from db import engine as store
from db.copies import NewCopy

Result = Literal["Stored", "Held", "Already stored", "Read", "Refused"]
_ASK_FOR_TASK = StudyRejected(
    "The file does not say what it shows.", "Choose the task (in a terminal: --task) and read it again."
)


@dataclass(frozen=True)
class Imported:
    """What one file became. `added` says for each of its studies whether it is new; a part of an exam (`note`) has none."""

    name: str
    position: int
    member: int = 0  # of a ZIP's `members`
    members: int = 1
    study_ids: tuple[str, ...] = ()
    added: tuple[bool, ...] = ()
    title: str = ""  # the study's name, or how many there are
    task: str = ""
    images: int = 0
    held: tuple[str, ...] = ()  # why new studies wait until somebody has looked at their pixels
    note: str = ""
    notices: tuple[str, ...] = ()  # what a reader should know of the file
    refused: StudyRejected | None = None

    @property
    def result(self) -> Result:
        """In a word."""
        if self.refused:
            return "Refused"
        if not self.added:
            return "Read"
        if self.held:
            return "Held"
        return "Stored" if any(self.added) else "Already stored"


@dataclass
class Tally:
    """How far an import of `total` files is. `files` are done; `refused` are (name, why).

    A ZIP counts as one file until it is opened, then as what it holds.
    """

    total: int
    files: int = 0
    stored: int = 0
    held: int = 0
    known: int = 0
    refused: list[tuple[str, StudyRejected]] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)
    _sources: int = 0
    _seen: dict[int, set[int]] = field(default_factory=dict)  # of each source the members
    _members: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._sources = self.total

    def count(self, imported: Imported) -> None:
        """Take one file's result in."""
        self._seen.setdefault(imported.position, set()).add(imported.member)
        self._members[imported.position] = max(imported.members, self._members.get(imported.position, 1))
        self.total = self._sources - len(self._members) + sum(self._members.values())
        self.files = min(sum(map(len, self._seen.values())), self.total)
        self.stored += sum(imported.added)
        self.held += len(imported.held)
        self.known += len(imported.added) - sum(imported.added)
        if imported.refused:
            self.refused.append((imported.name, imported.refused))

    @property
    def fraction(self) -> float:
        """Part of the files that is done, 0–1; it never falls, however much a ZIP turns out to hold."""
        done = sum(len(seen) / self._members[position] for position, seen in self._seen.items())
        return min(done / max(self._sources, 1), 1.0)

    @property
    def text(self) -> str:
        """Count, rate and refusals so far."""
        seconds = time.monotonic() - self.begun
        rate = f", {self.files / seconds:,.0f} per second" if self.files > 1 and seconds > 1 else ""
        return f"{self.files:,} of {counted(self.total, 'file')}{rate}, {len(self.refused):,} refused"

    @property
    def summary(self) -> str:
        """What came of it all."""
        known = f", {self.known:,} already there" if self.known else ""
        held = f" ({self.held:,} of them held)" if self.held else ""
        stored = counted(self.stored, "study", "studies")
        return f"{counted(self.files, 'file')}: {stored} stored{held}{known}, {len(self.refused):,} refused."


def files_of(paths: Iterable[Path]) -> list[tuple[Path, Path | None]]:
    """The files at these paths, each with the folder below which its own folders may say what it is.

    Raises `Refused` for a path that does not exist, and where there are no files.
    """
    found = []
    for path in paths:
        if not path.exists():
            raise Refused(f"There is no file or folder {path}.")
        found += [(file, path if path.is_dir() else None) for file in files_below(path)]
    if not found:
        raise Refused(f"There are no files in {', '.join(map(str, paths))}.")
    return found


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def import_exams(
    sources: Sequence[Source], task: str = "", *, by: str, part: NpzPart | None = None
) -> Iterator[list[Imported]]:
    """Read and store files; the results of one exam at a time, after its commit. `by` is a person's name, or terminal.

    `part` says which images of NPZ files are wanted (None: all). Pictures without a DICOM header need a `task`.
    Copies of files are kept as the installation says (`core.settings.kept_copies`).
    Raises `Refused` for an unknown task or setting, `StoreError` when the store fails:
    what was given before is stored, and nothing else.
    """
    pixels.remove_drafts()
    keep, secret = settings.kept_copies(), settings.installation_secret()
    for outcomes in read_exams(sources, task=task, secret=secret, part=part or NpzPart(), keep=keep):
        kept = _copies_of(outcomes, keep)
        yield [_imported(outcome, by, kept) for outcome in outcomes]


def _copies_of(outcomes: Sequence[Outcome], kind: str) -> dict[str, list[NewCopy]]:
    """Study id -> copies of the files of one exam that it is of."""
    found: dict[str, list[NewCopy]] = {}
    for outcome in outcomes:
        if outcome.kept and outcome.kept.data:
            copy = NewCopy(outcome.kept.data, kind, outcome.kept.format)
            for study_id in dict.fromkeys((outcome.study_id, *(study.id for study in outcome.studies))):
                found.setdefault(study_id, []).append(copy)
    return found


def _imported(outcome: Outcome, by: str, kept: Mapping[str, list[NewCopy]]) -> Imported:
    place = (outcome.name, outcome.position, outcome.member, outcome.members)
    notices = (
        *outcome.facts.get("notices", ()),
        *([outcome.kept.problem] if outcome.kept and outcome.kept.problem else []),
    )
    if outcome.rejected or any(not study.task for study in outcome.studies):
        return Imported(*place, refused=outcome.rejected or _ASK_FOR_TASK)
    if not outcome.studies:
        return Imported(*place, note=outcome.note, notices=notices)
    added, held = _store(outcome.studies, by, kept)
    first = outcome.studies[0]
    return Imported(
        *place,
        study_ids=tuple(study.id for study in outcome.studies),
        added=added,
        title=first.name if len(added) == 1 else f"{len(added)} studies",
        task=first.task,
        images=sum(len(study.images) for study in outcome.studies),
        held=held,
        notices=notices,
    )


def _store(
    found: Sequence[Study], by: str, kept: Mapping[str, list[NewCopy]]
) -> tuple[tuple[bool, ...], tuple[str, ...]]:
    """Store studies and the copies of their files in one transaction: which of them are new, and why some new ones are held."""
    with store.read() as session:
        new = [study for study in found if not studies.is_stored(session, study.id)]
        copied = {study.id for study in found if study.id in kept and copies.may_have_copies(session, study.id)}
    for study in new:  # before the transaction: packing a mammogram must not hold up other people's saves
        pixels.put_all(study.images)
    for copy in {copy.hash: copy for study_id in copied for copy in kept[study_id]}.values():
        copies.put_copy(copy)
    reasons = {study.id: reason_to_hold(study) for study in new}
    with store.write() as session:
        added = tuple(studies.add_study(session, study) for study in found)
        stored = [study for study, is_new in zip(found, added, strict=True) if is_new]
        held = tuple(reason for study in stored if (reason := reasons.get(study.id, "")))
        for study in stored:
            if reason := reasons.get(study.id, ""):
                holds.add_hold(session, study.id, reason, by)
        for study_id in copied:
            copies.add_copies(session, study_id, kept[study_id])
    return added, held
