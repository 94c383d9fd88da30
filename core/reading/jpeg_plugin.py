"""imagecodecs as a pydicom decoder for the JPEGs that Pillow lacks: lossless (clinical mammograms) and 12-bit extended.

libjpeg-turbo decodes them; it comes with imagecodecs and is permissively licensed, unlike the other lossless decoders.
The two functions and the table have the names that pydicom's plugin interface asks for.
"""

from __future__ import annotations

import imagecodecs
from pydicom import uid
from pydicom.pixels.decoders import JPEGExtended12BitDecoder, JPEGLosslessDecoder, JPEGLosslessSV1Decoder
from pydicom.pixels.decoders.base import DecodeRunner

_DECODERS = (JPEGLosslessDecoder, JPEGLosslessSV1Decoder, JPEGExtended12BitDecoder)
DECODER_DEPENDENCIES = {decoder.UID: ("imagecodecs>=2024.1",) for decoder in _DECODERS}


def is_available(uid: uid.UID) -> bool:
    """True for the transfer syntaxes that this plugin decodes."""
    return uid in DECODER_DEPENDENCIES


def decode_frame(src: bytes, runner: DecodeRunner) -> bytes:
    """One JPEG frame as interleaved samples, native byte order; tells pydicom how wide they are."""
    pixels = imagecodecs.jpeg8_decode(src)  # (H, W) or (H, W, 3)
    runner.set_option("bits_allocated", 8 * pixels.dtype.itemsize)
    if pixels.ndim == 3:
        runner.set_option("planar_configuration", 0)
    return pixels.tobytes()


def register() -> None:
    """Tell pydicom, once per process."""
    for decoder in _DECODERS:
        if "imagecodecs" not in decoder.available_plugins:
            decoder.add_plugin("imagecodecs", (__name__, "decode_frame"))
