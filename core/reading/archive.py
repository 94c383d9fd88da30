"""ZIP archives, member by member, counted while they are inflated; nothing is ever written to disk."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Iterator

from core.reading import limits
from core.records import StudyRejected

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
    left = limits.ZIP_BYTES
    with archive:
        members = [
            info for info in archive.infolist() if not (info.filename.endswith("/") or _is_hidden(info.filename))
        ]
        if not members:
            raise StudyRejected("The ZIP archive holds no files.", "Pack the pictures themselves.")
        for info in members:
            content = _read_member(archive, info, left)
            left -= len(content) if isinstance(content, bytes) else 0
            yield info.filename, content


def _is_hidden(path: str) -> bool:
    parts = path.replace("\\", "/").split("/")
    return "__MACOSX" in parts or any(part.startswith(".") and part.strip(".") for part in parts)


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, left: int) -> bytes | StudyRejected:
    try:
        check_member(info)
        with archive.open(info) as stream:
            chunks = iter(lambda: stream.read(limits.MIB), b"")
            return limits.collect(chunks, info.compress_size, min(limits.INFLATED_BYTES, left))
    except StudyRejected as rejected:
        return rejected
    except Exception as error:
        return StudyRejected(
            f"The file is damaged inside its ZIP archive ({type(error).__name__}).", "Copy or pack it again."
        )
