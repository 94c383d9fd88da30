"""imagecodecs as a pydicom decoder: lossless JPEG (clinical mammograms), 12-bit JPEG, and run-length coding.

Pillow lacks the first two. For run-length coding pydicom's own decoder has no bounds, and pylibjpeg-rle leaves Python's
exceptions (a Rust panic) on damaged data. libjpeg-turbo, which imagecodecs brings, is permissively licensed.
`is_available` and `DECODER_DEPENDENCIES` are the names that pydicom's plugin interface asks for.
"""

from __future__ import annotations

import imagecodecs
from pydicom import uid
from pydicom.pixels import get_decoder
from pydicom.pixels.decoders.base import DecodeRunner

NAME = "imagecodecs"
_FUNCTIONS = {
    uid.JPEGLossless: "decode_jpeg",
    uid.JPEGLosslessSV1: "decode_jpeg",
    uid.JPEGExtended12Bit: "decode_jpeg",
    uid.RLELossless: "decode_run_lengths",
}
DECODER_DEPENDENCIES = {syntax: ("imagecodecs>=2024.1",) for syntax in _FUNCTIONS}


def is_available(syntax: uid.UID) -> bool:
    """True for the transfer syntaxes that this plugin decodes."""
    return syntax in _FUNCTIONS


def decode_jpeg(src: bytes, runner: DecodeRunner) -> bytes:
    """One JPEG frame as samples pixel by pixel, native byte order; tells pydicom how wide they are."""
    pixels = imagecodecs.jpeg8_decode(src)  # (H, W) or (H, W, 3)
    runner.set_option("bits_allocated", 8 * pixels.dtype.itemsize)
    if pixels.ndim == 3:
        runner.set_option("planar_configuration", 0)
    return pixels.tobytes()


def decode_run_lengths(src: bytes, runner: DecodeRunner) -> bytearray:
    """One run-length coded frame (PS3.5 annex G) as samples plane by plane; raises `ValueError` when it is too short."""
    frame = bytearray(int(runner.frame_length(unit="bytes")))
    decoded = imagecodecs.dicomrle_decode(src, f"<u{runner.bits_allocated // 8}", out=frame)
    if len(decoded) != len(frame):
        raise ValueError("run-length coding ends early")
    runner.set_option("planar_configuration", 1)
    return frame


def register() -> None:
    """Tell pydicom, once per process."""
    for syntax, function in _FUNCTIONS.items():
        decoder = get_decoder(syntax)
        if NAME not in decoder.available_plugins:
            decoder.add_plugin(NAME, (__name__, function))
