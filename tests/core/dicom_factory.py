"""Small DICOM files made on the spot, so that every pixel a test expects can be checked on paper."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

STUDY = "1.2.826.0.1.3680043.8.498.1"
MR_CLASS = uid.MRImageStorage


def make_dataset(values: np.ndarray, **elements: Any) -> Dataset:
    """A data set around `values`: (H, W), (N, H, W) with `NumberOfFrames=N`, or (H, W, 3); integer pixels.

    Any element can be given or replaced by keyword; None leaves it out.
    """
    frames = int(elements.get("NumberOfFrames") or 0)
    shape = values.shape[1:] if frames else values.shape
    bits = 8 * values.dtype.itemsize
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = MR_CLASS
    dataset.file_meta.MediaStorageSOPInstanceUID = STUDY + ".9"
    colour = len(shape) == 3
    facts = {
        "SOPClassUID": MR_CLASS,
        "Modality": "MR",
        "PatientID": "patient-1",
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": STUDY + ".1",
        "Rows": shape[0],
        "Columns": shape[1],
        "SamplesPerPixel": 3 if colour else 1,
        "PlanarConfiguration": 0 if colour else None,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": elements.get("BitsStored", bits) - 1,
        "PixelRepresentation": int(values.dtype.kind == "i"),
        "PixelData": values.astype(values.dtype.newbyteorder("<")).tobytes(),
    }
    for keyword, value in (facts | elements).items():
        if value is not None:
            setattr(dataset, keyword, value)
    if "PixelData" in dataset and len(dataset.PixelData) % 2:
        dataset.PixelData += b"\0"
    return dataset


def to_bytes(dataset: Dataset) -> bytes:
    """The data set as a DICOM file."""
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def make_dicom(values: np.ndarray, **elements: Any) -> bytes:
    """`make_dataset` as bytes of a file."""
    return to_bytes(make_dataset(values, **elements))


def encapsulated(dataset: Dataset, frames: list[bytes], syntax: UID) -> bytes:
    """The file with its pixels replaced by compressed `frames`."""
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    return to_bytes(dataset)


def rle_frame(segments: list[bytes]) -> bytes:
    """One RLE frame of literal runs (PS3.5 annex G); each segment is one byte plane of at most 128 bytes."""
    packed = [bytes([len(plane) - 1]) + plane for plane in segments]
    packed = [plane + b"\0" * (len(plane) % 2) for plane in packed]
    offsets, position = [], 64
    for plane in packed:
        offsets.append(position)
        position += len(plane)
    header = struct.pack("<16L", len(packed), *offsets, *[0] * (15 - len(packed)))
    return header + b"".join(packed)
