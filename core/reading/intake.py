"""Files, wherever they come from, decoded exam by exam: two at a time, in order, and never more held than one exam."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from core.reading import limits, process, studies
from core.reading.archive import Archive
from core.reading.dicom import Instance
from core.reading.exams import HEAD_BYTES, exam_key
from core.reading.names import display_name
from core.reading.npz import Part
from core.reading.placement import Table, placement_of, read_table
from core.reading.sniff import kind_of
from core.records import Study, StudyRejected

Content = Instance | list[Study] | StudyRejected | Table

_COPIES = "core.deidentify.copies:copy_bytes"  # by name: it imports the readers, and runs in the decoding process alone


@dataclass(frozen=True)
class Source:
    """A file to be read: its name, and functions that give all of its bytes or the first `HEAD_BYTES` of them.

    Both may raise `OSError`, and `StudyRejected` for a file that is too large to be loaded at all.
    """

    name: str
    load: Callable[[], bytes]
    head: Callable[[], bytes]

    @classmethod
    def of_bytes(cls, name: str, data: bytes) -> Source:
        """A file that is in memory."""
        return cls(name, lambda: data, lambda: data[:HEAD_BYTES])

    @classmethod
    def of_path(cls, path: Path, below: Path | None = None) -> Source:
        """A file on this machine's disks; an irregular one (a pipe, a device) is refused rather than waited for.

        With `below`, a folder that it lies in, its name has the folders from there on: they may say what a picture is.
        """

        def load() -> bytes:
            if not path.is_file() and path.exists():
                raise StudyRejected("This is no regular file.", "Name a file or a folder.")
            limits.check_upload_size(path.stat().st_size)
            return path.read_bytes()

        def head() -> bytes:
            if not path.is_file():
                return b""
            with path.open("rb") as file:
                return file.read(HEAD_BYTES)

        return cls(path.relative_to(below).as_posix() if below else path.name, load, head)


@dataclass(frozen=True)
class Kept:
    """What an installation keeps of a file beside its pictures: a file of that `format` (dcm, png …), or why there is none."""

    data: bytes
    format: str
    problem: str = ""


@dataclass(frozen=True)
class Item:
    """One file, or one file inside a ZIP: `position` is its source's, `path` its name with folders, not for display.

    A ZIP's file is number `member` (from 0) of `members`, and the ZIP's `tables` say what its pictures are.
    """

    position: int
    name: str
    content: Content
    path: str = ""
    member: int = 0
    members: int = 1
    tables: tuple[Table, ...] = ()
    kept: Kept | None = None


@dataclass(frozen=True)
class _Job:
    """An item before it is decoded: what is known of it, and its data. `exam` counts groups of sources, then of a ZIP's files."""

    exam: tuple[int, int]
    item: Item
    data: bytes | StudyRejected | Table
    in_archive: bool = False


class Reader:
    """Decodes sources under one task and one secret; `trusted` ones in this process, all others in child processes.

    Trusted are files that the program's own people chose for training or made themselves: they are read by the thousand,
    on machines without visitors, and by the same functions, so that pixels are equal either way.
    """

    def __init__(
        self,
        task: str,
        secret: bytes,
        part: Part,
        *,
        trusted: bool,
        tables: Sequence[Table] = (),
        keep: str = "nothing",
    ) -> None:
        self._keep = "nothing" if trusted else keep
        self._tables = tables
        self._arguments = {"task": task, "secret": secret, "part": part}
        self._trusted = trusted

    def exams(self, sources: Sequence[Source]) -> Iterator[list[Item]]:
        """The items of one exam after the other, in the order in which exams begin; a file without a study UID is one.

        Exams lie within one ZIP or outside of all.
        """
        files = [(source.name, source.head) for source in sources]
        groups = self._groups(files, self._tables) if len(sources) > 1 else [[0]]
        held: list[Item] = []
        budget, current = limits.EXAM_BYTES, (0, 0)
        for job, (content, kept) in self._decoded(self._jobs(groups, sources)):
            if job.exam != current and held:
                yield held
                held = []
            if job.exam[0] != current[0]:
                budget = limits.EXAM_BYTES
            current = job.exam
            budget = min(budget, limits.DECODED_BYTES) if job.in_archive else budget
            budget -= _decoded_bytes(content) + (len(kept.data) if kept else 0)
            if budget < 0 and not isinstance(content, StudyRejected):
                content, kept = _too_much(job.in_archive), None
            held.append(replace(job.item, content=content, kept=kept))
        if held:
            yield held

    def _groups(self, files: Sequence[tuple[str, Callable[[], bytes]]], tables: Sequence[Table]) -> list[list[int]]:
        """Positions of the files (name, function that gives the first bytes), those of one exam together."""
        groups: dict[str, list[int]] = {}
        for position, (name, head) in enumerate(files):
            key = self._exam_key(head)
            if not key and not name.lower().endswith(".zip"):
                placement = placement_of(name, str(self._arguments["task"]), tables)
                key = f"placed {placement.key}" if placement and placement.key else ""
            groups.setdefault(key or f"alone {position}", []).append(position)
        return list(groups.values())

    def _exam_key(self, head_of: Callable[[], bytes]) -> str:
        try:
            head = head_of()
            if not head or kind_of(head) != "dicom":
                return ""
            return exam_key(head) if self._trusted else process.shared().call("core.reading.exams:exam_key", head=head)
        except (StudyRejected, OSError):
            return ""  # said when it is read

    def _jobs(self, groups: Sequence[Sequence[int]], sources: Sequence[Source]) -> Iterator[_Job]:
        for exam, positions in enumerate(groups):
            for position in positions:
                yield from self._opened(exam, position, sources[position])

    def _opened(self, exam: int, position: int, source: Source) -> Iterator[_Job]:
        """A file as one job, a ZIP as one per member."""
        item = Item(position, display_name(source.name), [])
        try:
            data = source.load()
            limits.check_upload_size(len(data))
            table = read_table(source.name, data)
            if table or kind_of(data) != "zip":
                yield _Job((exam, 0), replace(item, path=source.name), table or data)
                return
            yield from self._unpacked(exam, item, Archive(data))
        except StudyRejected as rejected:
            reason = rejected
        except OSError as error:
            reason = StudyRejected(f"The file cannot be opened ({error.strerror}).", "Check its path and permissions.")
        except Exception as error:  # a file's content never raises
            reason = StudyRejected(f"The file is damaged ({type(error).__name__}).", "Copy or export it again.")
        else:
            return
        yield _Job((exam, limits.ZIP_ENTRIES), replace(item, member=limits.ZIP_ENTRIES), reason)

    def _unpacked(self, exam: int, whole: Item, archive: Archive) -> Iterator[_Job]:
        """The members of a ZIP, exam by exam.

        An archive is opened here: Python's own reader and zlib, counted while they inflate, are no decoders. Its members are
        decoded like other files.
        """
        listed = [i for i, name in enumerate(archive.names) if name.lower().endswith(".csv")]
        contents = {i: archive.read(i) for i in listed}
        parsed = {i: read_table(archive.names[i], data) for i, data in contents.items() if isinstance(data, bytes)}
        tables = tuple(table for table in parsed.values() if table)
        files = [(name, partial(archive.head, i, HEAD_BYTES)) for i, name in enumerate(archive.names)]
        for group, members in enumerate(self._groups(files, (*self._tables, *tables)), start=1):
            for i in members:
                name = f"{whole.name} › {display_name(archive.names[i])}"
                place = {"member": i, "members": len(files), "tables": tables, "path": archive.names[i]}
                data = contents.pop(i) if i in contents else archive.read(i)
                yield _Job((exam, group), replace(whole, name=name, **place), parsed.get(i) or data, True)

    def _decoded(self, jobs: Iterator[_Job]) -> Iterator[tuple[_Job, tuple[Content, Kept | None]]]:
        """Each job with its content and what is kept of it, in order; child processes work ahead of the caller."""
        if self._trusted:
            yield from ((job, (self._content(job), None)) for job in jobs)
            return
        ahead = limits.DECODING.processes
        waiting: deque[tuple[_Job, Future[tuple[Content, Kept | None]]]] = deque()
        with ThreadPoolExecutor(max_workers=ahead, thread_name_prefix="reading") as threads:
            for job in jobs:
                waiting.append((job, threads.submit(self._read, job)))
                if len(waiting) > ahead:
                    job, future = waiting.popleft()
                    yield job, future.result()
            for job, future in waiting:
                yield job, future.result()

    def _read(self, job: _Job) -> tuple[Content, Kept | None]:
        content = self._content(job)
        return content, self._kept(job, content)

    def _kept(self, job: _Job, content: Content) -> Kept | None:
        """The copy that the installation wants of a readable file, made in a child process as well where it is made anew."""
        if self._keep == "nothing" or isinstance(content, (StudyRejected, Table)) or not isinstance(job.data, bytes):
            return None
        kind = kind_of(job.data) or ""
        if self._keep == "original":
            return Kept(job.data, {"dicom": "dcm"}.get(kind, kind))
        if not isinstance(content, Instance):
            return None
        try:
            secret = self._arguments["secret"]
            copied = process.shared().call(_COPIES, data=job.data, secret=secret)
        except StudyRejected as rejected:
            return Kept(b"", "dcm", f"No de-identified copy is kept: {rejected.reason}")
        return Kept(copied, "dcm")

    def _content(self, job: _Job) -> Content:
        if isinstance(job.data, (StudyRejected, Table)):
            return job.data
        arguments: dict[str, Any] = {"name": job.item.name.split(" › ")[-1], "data": job.data, **self._arguments}
        try:
            if self._trusted:
                return studies.decode(**arguments)
            return process.shared().call("core.reading.studies:decode", **arguments)
        except StudyRejected as rejected:
            return rejected


def _decoded_bytes(content: Content) -> int:
    if isinstance(content, (StudyRejected, Table)):
        return 0
    holders = [content] if isinstance(content, Instance) else content
    return sum(image.pixels.nbytes for holder in holders for image in holder.images)


def _too_much(in_archive: bool) -> StudyRejected:
    what, size = ("archive", limits.DECODED_BYTES) if in_archive else ("exam", limits.EXAM_BYTES)
    return StudyRejected(
        f"The {what}'s pictures take more than {size // limits.MIB:,} MB once unpacked.", "Split it up."
    )
