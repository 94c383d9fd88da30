"""ZIP archives, counted while they are inflated, each member when it is wanted; nothing is ever written to disk."""

from __future__ import annotations

import io
import stat
import struct
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import IO

from core.reading import limits
from core.records import StudyRejected

_LOCAL_HEADER_BYTES = 30  # before a member's name and data (APPNOTE 4.3.7)
_END = struct.Struct("<4s4H2LH")  # end of central directory (APPNOTE 4.3.16)


def check_directory(data: bytes) -> None:
    """Raise `StudyRejected` for a ZIP whose table of contents is missing or too long, before Python loads it."""
    position = data.rfind(b"PK\x05\x06")
    if position < 0 or position + _END.size > len(data):
        raise StudyRejected("The ZIP archive is cut off.", "Copy or pack it again.")
    if data[max(position - 20, 0) :].startswith(b"PK\x06\x07"):
        raise StudyRejected("The archive is a ZIP64, which is not read here.", "Pack fewer or smaller files.")
    entries, directory_bytes = _END.unpack_from(data, position)[4:6]
    if entries > limits.ZIP_ENTRIES or directory_bytes > limits.ZIP_DIRECTORY_BYTES:
        raise StudyRejected(
            f"The ZIP archive lists {entries:,} files; at most {limits.ZIP_ENTRIES:,} are read.", "Split it up."
        )


def check_member(info: zipfile.ZipInfo) -> None:
    """Raise `StudyRejected` for a member that is encrypted, a link, or packed by a method that cannot be bounded."""
    if info.flag_bits & 1:
        raise StudyRejected("The file is encrypted inside its ZIP archive.", "Pack it without a password.")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise StudyRejected("The archive holds a link instead of a file.", "Pack the file itself.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise StudyRejected("The file is packed by a rare method inside its ZIP archive.", "Pack it as a plain ZIP.")


def _check_overlaps(archive: zipfile.ZipFile) -> None:
    """Refuse an archive whose members lie over one another: a few kilobytes could then unpack to any amount."""
    places = sorted((info.header_offset, info.compress_size) for info in archive.infolist())
    for (start, size), (following, _) in pairwise(places):
        if start + _LOCAL_HEADER_BYTES + size > following:
            raise StudyRejected("The ZIP archive's files overlap, as no ordinary archive's do.", "Pack it again.")


class Archive:
    """An open ZIP: `names` of its files (with folders; hidden ones are passed over), their beginnings and their bytes.

    What all members unpack to is counted together, and so is the time that unpacking takes. Raises `StudyRejected` where the
    archive as a whole cannot be read, also later, once unpacking has taken longer than decoding one file may.
    """

    def __init__(self, data: bytes) -> None:
        check_directory(data)
        try:
            self._file = zipfile.ZipFile(io.BytesIO(data))
        except Exception as error:
            raise StudyRejected(
                f"The ZIP archive is damaged ({type(error).__name__}).", "Copy or pack it again."
            ) from error
        _check_overlaps(self._file)
        files = [info for info in self._file.infolist() if not info.filename.endswith("/")]
        self._members = [info for info in files if not _is_hidden(info.filename)]
        if not self._members:
            raise StudyRejected("The ZIP archive holds no files.", "Pack the pictures themselves.")
        self.names = [info.filename for info in self._members]
        self._allowance, self._seconds = _Allowance(limits.ZIP_BYTES), 0.0

    def head(self, member: int, size: int) -> bytes:
        """The first bytes of a file, at most `size`; none where it cannot be read, which is said when it is."""
        with self._timed():
            try:
                check_member(self._members[member])
                with self._file.open(self._members[member]) as stream:
                    return stream.read(size)
            except Exception:  # whatever zipfile and zlib raise over damage
                return b""

    def read(self, member: int) -> bytes | StudyRejected:
        """The bytes of a file, or why it is refused."""
        with self._timed():
            return _read_member(self._file, self._members[member], self._allowance)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        start = time.monotonic()
        yield
        self._seconds += time.monotonic() - start
        if self._seconds > limits.DECODING.wall_seconds:
            seconds = f"{limits.DECODING.wall_seconds:g} seconds"
            raise StudyRejected(f"Unpacking the archive takes longer than {seconds}.", "Split it up.")


@dataclass
class _Allowance:
    """Bytes that an archive may still unpack to; what damaged members unpacked to counts as well."""

    left: int

    def chunks(self, stream: IO[bytes]) -> Iterator[bytes]:
        chunk = b"begin"
        while chunk:
            self.left -= limits.MIB  # at most so much is unpacked by the next line, also where it raises
            chunk = stream.read(limits.MIB)
            self.left += limits.MIB - len(chunk)
            yield chunk


def _is_hidden(path: str) -> bool:
    parts = path.replace("\\", "/").split("/")
    return "__MACOSX" in parts or any(part.startswith(".") and part.strip(".") for part in parts)


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, allowance: _Allowance) -> bytes | StudyRejected:
    try:
        check_member(info)
        limit = max(min(limits.INFLATED_BYTES, allowance.left), 0)
        with archive.open(info) as stream:
            return limits.collect(allowance.chunks(stream), info.compress_size, limit)
    except StudyRejected as rejected:
        return rejected
    except Exception as error:
        return StudyRejected(
            f"The file is damaged inside its ZIP archive ({type(error).__name__}).", "Copy or pack it again."
        )
