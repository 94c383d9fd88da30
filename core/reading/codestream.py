"""What a compressed frame says about itself, read before a decoder allocates for it."""

from __future__ import annotations

import struct

from pydicom import uid

from core.records import StudyRejected

_JPEG = (
    uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1,
    uid.JPEGLSLossless, uid.JPEGLSNearLossless,
)  # fmt: skip
_JPEG2000 = (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)
_NO_LENGTH = {0x01, *range(0xD0, 0xD9)}  # markers without a segment (ITU-T T.81 B.1.1.3)
_FRAME_MARKERS = (set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {0xF7}  # 0xF7 begins a JPEG-LS frame
_TILES = 65_535
_PACKBITS_WORST = 2  # run-length coding may grow noise a little, never twice


def check_frame(frame: bytes, syntax: str, shape: tuple[int, int, int], sample_bytes: int) -> None:
    """Raise `StudyRejected` where a compressed frame contradicts the DICOM header or ends early.

    `shape` is (rows, columns, samples per pixel) of the header.
    """
    rows, columns, samples = shape
    if syntax == uid.RLELossless:
        segments = int.from_bytes(frame[:4], "little")
        room = rows * columns * samples * sample_bytes
        if segments != samples * sample_bytes or len(frame) > 64 + _PACKBITS_WORST * room + 2 * segments:
            raise _contradiction(f"{segments} run-length segments of {len(frame):,} bytes", shape)
        return
    if syntax in _JPEG:
        found = _jpeg_shape(frame)
        if not frame[-4:].rstrip(b"\0").endswith(b"\xff\xd9"):
            raise StudyRejected("The compressed picture inside the DICOM file is cut off.", "Export it again.")
    elif syntax in _JPEG2000:
        found = _jpeg2000_shape(frame)
    else:
        return
    if found is None:
        raise StudyRejected("The compressed picture inside the DICOM file has no readable header.", "Export it again.")
    if found != shape:
        raise _contradiction(" × ".join(str(n) for n in found), shape)


def _contradiction(found: str, shape: tuple[int, int, int]) -> StudyRejected:
    announced = " × ".join(str(n) for n in shape)
    return StudyRejected(
        f"The compressed picture ({found}) contradicts the DICOM header ({announced}).",
        "Export it again, uncompressed if possible.",
    )


def _jpeg_shape(frame: bytes) -> tuple[int, int, int] | None:
    """(rows, columns, components) of a JPEG or JPEG-LS, from its frame header (T.81 B.2.2)."""
    position = 2
    while frame.startswith(b"\xff\xd8") and position + 10 <= len(frame):
        if frame[position] != 0xFF:
            return None
        marker = frame[position + 1]
        if marker == 0xFF or marker in _NO_LENGTH:
            position += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(frame[position + 2 : position + 4], "big")
        if marker in _FRAME_MARKERS:
            rows, columns, components = struct.unpack_from(">HHB", frame, position + 5)
            return rows, columns, components
        position += 2 + length
    return None


def _jpeg2000_shape(frame: bytes) -> tuple[int, int, int] | None:
    """(rows, columns, components) of a JPEG 2000 codestream, bare or boxed, from its SIZ segment (T.800 A.5.1)."""
    start = frame.find(b"\xff\x4f\xff\x51", 0, 65_536)
    if start < 0 or start + 42 > len(frame):
        return None
    right, bottom, left, top, tile_width, tile_height, *_ = struct.unpack_from(">8I", frame, start + 8)
    (components,) = struct.unpack_from(">H", frame, start + 40)
    width, height = right - left, bottom - top
    if min(tile_width, tile_height) < 1 or -(-width // tile_width) * -(-height // tile_height) > _TILES:
        return None
    return height, width, components
