"""Pixels of a copy: the values and nothing that travelled with them."""

from __future__ import annotations

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.pixels import decompress

from core.deidentify.rules import PIXEL_VALUES
from core.records import StudyRejected


def with_plain_pixels(dataset: Dataset) -> Dataset:
    """The data set with its pixels uncompressed, cut to their announced length, and nothing in bits that hold no pixel.

    Compressed streams carry comments and application segments; unused high bits carried overlays once.
    """
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        decompress(dataset, generate_instance_uid=False)
    keyword = next(name for name in PIXEL_VALUES if name in dataset)
    frames = int(dataset.get("NumberOfFrames") or 1)
    bits, stored = int(dataset.BitsAllocated), int(dataset.get("BitsStored") or dataset.BitsAllocated)
    samples = int(dataset.get("SamplesPerPixel") or 1)
    per_frame = int(dataset.Rows) * int(dataset.Columns) * samples
    if samples == 3 and str(dataset.PhotometricInterpretation).endswith("422"):
        per_frame = per_frame * 2 // 3
    values = dataset[keyword].value[: (per_frame * frames * bits + 7) // 8]
    if keyword == "PixelData" and stored < bits and bits in (8, 16, 32):
        values = _without_spare_bits(dataset, values, bits, stored)
    dataset[keyword].value = values + b"\0" * (len(values) % 2)
    return dataset


def _without_spare_bits(dataset: Dataset, values: bytes, bits: int, stored: int) -> bytes:
    """Bits above the pixel as the pixel's sign; pixels that do not begin at bit 0 are refused, none were ever seen."""
    if int(dataset.get("HighBit") or stored - 1) != stored - 1:
        raise StudyRejected("The DICOM file keeps its pixels in unusual bits.", "Export it again.")
    kind = "i" if int(dataset.get("PixelRepresentation") or 0) else "u"
    pixels = np.frombuffer(values, dtype=f"<{kind}{bits // 8}")
    spare = bits - stored
    return ((pixels << spare) >> spare).astype(pixels.dtype).tobytes()


def swap_words(_: Dataset, element: DataElement) -> None:
    """Turn 16-bit words of a big endian file, for `Dataset.walk`."""
    if element.VR == "OW":
        element.value = np.frombuffer(element.value, dtype=">u2").astype("<u2").tobytes()
