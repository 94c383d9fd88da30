"""What a file is, by its content and never by its name."""

from __future__ import annotations

import io
import zipfile
from typing import Literal

from core.records import StudyRejected

Kind = Literal["dicom", "png", "jpeg", "tiff", "npz", "zip"]

READABLE = "Upload DICOM, PNG, JPEG, TIFF, MedMNIST NPZ, or a ZIP of these."

_SIGNATURES: tuple[tuple[bytes, Kind], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
)

# Files that people do send: (offset, signature, what it is).
_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF", "a PDF document"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"BM", "a BMP picture"),
    (8, b"WEBP", "a WebP picture"),
    (4, b"ftyp", "a HEIC picture or a film"),
    (0, b"\0\0\0\x0cjP  ", "a bare JPEG 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "a bare JPEG 2000 picture"),
    (344, b"n+1\0", "a NIfTI volume"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive"),
    (0, b"Rar!", "a RAR archive"),
    (257, b"ustar", "a TAR archive"),
    (0, b"\x93NUMPY", "a single NumPy array"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"\xd0\xcf\x11\xe0", "an old Office document"),
    (0, b"MZ", "a Windows program"),
    (0, b"\x7fELF", "a Linux program"),
)


def kind_of(data: bytes) -> Kind:
    """The kind of a readable file; raises `StudyRejected` that names what else it is."""
    if data[128:132] == b"DICM":
        return "dicom"
    for signature, kind in _SIGNATURES:
        if data.startswith(signature):
            return "npz" if kind == "zip" and _holds_arrays(data) else kind
    if _starts_like_dicom(data):
        return "dicom"
    for offset, signature, what in _OTHERS:
        if data[offset : offset + len(signature)] == signature:
            raise StudyRejected(f"The file is {what}, which is not read here.", READABLE)
    if b"1.2.840.10008." in data[:2048]:  # a unique identifier of the standard's own
        raise StudyRejected(
            "The file holds a DICOM header that does not stand at its beginning; it is damaged.",
            "Copy or export it again.",
        )
    if _is_text(data):
        raise StudyRejected("The file is text, not a picture.", READABLE)
    raise StudyRejected("The file is of a kind that is not known here.", READABLE)


def _starts_like_dicom(data: bytes) -> bool:
    """True for old DICOM files without preamble: a first element of group 0002 or 0008 with a plausible length."""
    if len(data) < 16 or data[:2] not in (b"\x02\0", b"\x08\0") or data[3] != 0:
        return False
    return data[4:6].isalpha() or int.from_bytes(data[4:8], "little") <= 64


def _holds_arrays(data: bytes) -> bool:
    """True for a ZIP whose members are all NumPy arrays."""
    from core.reading.archive import check_directory  # archive reads kinds too

    try:
        check_directory(data)
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    except Exception:
        return False  # whatever is wrong with it, the ZIP reader says so
    return bool(names) and all(name.endswith(".npy") for name in names)


def _is_text(data: bytes) -> bool:
    head = data[:2048]
    return not any(byte < 9 or 13 < byte < 32 for byte in head)
