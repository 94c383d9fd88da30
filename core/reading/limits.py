"""Every limit on what a user may send, in one table, and the checks that hold files to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.records import StudyRejected

MIB = 1024 * 1024

UPLOAD_BYTES = 200 * MIB  # one file
SIDE = 8192  # rows, columns
FRAMES = 512  # frames of one DICOM file, pages of one TIFF
SAMPLES = 300_000_000  # rows × columns × channels × frames
DECODED_BYTES = 1024 * MIB  # pixels of one file, or of one ZIP
INFLATED_BYTES = 200 * MIB  # one compressed stream
RATIO = 100  # inflated : stored …
RATIO_FLOOR = 16 * MIB  # … looked at from here on: a small empty picture packs better than 100:1 and harms nobody
ZIP_ENTRIES = 2000
ZIP_DIRECTORY_BYTES = 2 * MIB  # the list of names at a ZIP's end: 1 KiB for each entry
ZIP_BYTES = 1024 * MIB  # all members, counted while reading
PICTURE_PIXELS = 50_000_000  # one PNG, JPEG or TIFF page
TABLE_BYTES = 32 * MIB  # one CSV table of pictures
NPZ_MEMBERS = 32
NPZ_IMAGES = 2000
HEADER_READS = 100_000  # read calls while parsing a DICOM header: about 20,000 elements and 10,000 items
HEADER_VALUE_BYTES = 8 * MIB  # one DICOM element other than pixels
EXAM_BYTES = 2048 * MIB  # pixels of all DICOM files of one study, which are held together


@dataclass(frozen=True)
class DecodingLimits:
    """What one file may cost the process that decodes it, and how many files are decoded at a time."""

    memory_bytes: int = 3072 * MIB  # address space
    cpu_seconds: int = 20
    wall_seconds: float = 30.0
    processes: int = 2


DECODING = DecodingLimits()


def check_upload_size(size: int) -> None:
    """Raise `StudyRejected` for an empty file or one of more than `UPLOAD_BYTES` bytes."""
    if size == 0:
        raise StudyRejected("The file is empty.", "Export it again from where it came.")
    if size > UPLOAD_BYTES:
        raise StudyRejected(
            f"The file is {size / MIB:,.0f} MB large; at most {UPLOAD_BYTES // MIB} MB are read.", "Split it up."
        )


def check_geometry(rows: int, columns: int, *, frames: int = 1, channels: int = 1, sample_bytes: int = 1) -> None:
    """Raise `StudyRejected` when the pixels that a header announces would exceed the table (before any is decoded)."""
    if min(rows, columns, frames, channels) < 1:
        raise StudyRejected(
            f"The header announces {rows} × {columns} pixels in {frames} frames, which is no picture.",
            "Export the file again from where it came.",
        )
    if max(rows, columns) > SIDE:
        raise StudyRejected(
            f"The picture has {rows:,} × {columns:,} pixels; at most {SIDE:,} × {SIDE:,} are read.",
            "Cut out the region of interest or export it smaller.",
        )
    if frames > FRAMES:
        raise StudyRejected(f"The file holds {frames:,} pictures; at most {FRAMES} are read.", "Split it up.")
    samples = rows * columns * channels * frames
    if samples > SAMPLES or samples * sample_bytes > DECODED_BYTES:
        raise StudyRejected(
            f"The file would unpack to {samples:,} values of {sample_bytes} bytes; "
            f"at most {SAMPLES:,} values and {DECODED_BYTES // MIB:,} MB are read.",
            "Split it up or export it smaller.",
        )


def collect(chunks: Iterable[bytes], stored: int, limit: int = INFLATED_BYTES) -> bytes:
    """Join the chunks of a stream that is being inflated, giving up as soon as it grows suspiciously.

    `stored` is the compressed size in bytes. Raises `StudyRejected` beyond `limit` bytes or beyond `RATIO`.
    """
    inflated = bytearray()
    for chunk in chunks:
        inflated += chunk
        if len(inflated) > limit:
            raise StudyRejected(f"Compressed contents unpack to more than {limit // MIB} MB.", "Split the file up.")
        if len(inflated) > max(RATIO_FLOOR, RATIO * stored):
            raise StudyRejected(
                f"Compressed contents unpack to more than {RATIO} times their size.", "Export it without compression."
            )
    return bytes(inflated)
