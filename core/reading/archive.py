"""ZIP archives, member by member, counted while they are inflated; nothing is ever written to disk."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Iterator
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


def read_members(data: bytes) -> Iterator[tuple[str, bytes | StudyRejected]]:
    """Each file of a ZIP: its name inside the archive and its bytes, or why it is refused.

    Folders and hidden files are passed over. Raises `StudyRejected` where the archive as a whole cannot be read.
    """
    check_directory(data)
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except Exception as error:
        raise StudyRejected(
            f"The ZIP archive is damaged ({type(error).__name__}).", "Copy or pack it again."
        ) from error
    allowance = _Allowance(limits.ZIP_BYTES)
    with archive:
        _check_overlaps(archive)
        members = [
            info for info in archive.infolist() if not (info.filename.endswith("/") or _is_hidden(info.filename))
        ]
        if not members:
            raise StudyRejected("The ZIP archive holds no files.", "Pack the pictures themselves.")
        for info in members:
            yield info.filename, _read_member(archive, info, allowance)


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
