"""Breast-MRI phantoms as files: simulated post-contrast slices in DICOM, each with its lesion mask.

They let the program train, score and point on an empty machine. Every file says that it shows no patient.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PngImage
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from threadpoolctl import threadpool_limits

from core.datasets.phantom_drawing import SMALLEST, TASK, Phantom, make_phantom
from core.files import write_json
from core.records import Refused
from core.tasks import get_task

__all__ = ["GENERATOR_VERSION", "Phantom", "make_phantom", "write_phantoms"]

GENERATOR_VERSION = 1  # raise it whenever the same seed draws other pictures
DISCLAIMER = "Simulated phantom, not a patient"
_FIELD_MM = 140.0  # edge length of a picture


def write_phantoms(
    folder: Path,
    *,
    patients: Mapping[str, int],
    seed: int = 0,
    size: int = 192,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write simulated patients, one study of one image each, and return how many.

    `patients` maps split -> number of patients, half benign and half malignant (an odd one is benign); `size` is the edge in
    pixels. Files: `images/<split>/<class>/<PH-00001>/<PH-00001>.dcm`, the lesion mask (8 bit, 0 or 255) under `masks/…png`, and
    `phantoms.json` with what was asked for. The same call gives the same bytes, and repeats or resumes in the same folder.

    Raises `Refused`: nothing asked for, too small a size, a folder that holds other phantoms.
    """
    if size < SMALLEST or min(patients.values(), default=0) < 0 or not sum(patients.values()):
        raise Refused(f"Phantoms need a size of at least {SMALLEST} pixels and a number of patients per split.")
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, {"generator": GENERATOR_VERSION, "seed": seed, "size": size, "patients": dict(patients)})
    total = sum(patients.values())
    # The matrices are small: more than one BLAS thread would only wait for the other, for minutes on a busy machine.
    with threadpool_limits(1, user_api="blas"):
        for number, split, label in _plan(patients, seed):
            phantom = make_phantom(np.random.default_rng([seed, number]), label, size)
            _write(phantom, folder, Path(split) / label, (number, seed))
            if progress:
                progress(number, total)
    return total


def _write(phantom: Phantom, folder: Path, place: Path, origin: tuple[int, int]) -> None:
    """The picture and the mask of one patient, under `images` and `masks`; `origin` is (number, seed)."""
    name = f"PH-{origin[0]:05d}"
    picture, mask = (folder / kind / place / name / name for kind in ("images", "masks"))
    for path in (picture, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    _dicom(phantom, *origin).save_as(picture.with_suffix(".dcm"), enforce_file_format=True)
    PngImage.fromarray(phantom.mask.astype(np.uint8) * 255).save(mask.with_suffix(".png"), compress_level=1)


def _claim(folder: Path, wanted: dict[str, Any]) -> None:
    """Say first what the folder will hold: a stopped call can be repeated, another one cannot mix its patients in."""
    note = folder / "phantoms.json"
    try:
        found = json.loads(note.read_text(encoding="utf-8")) if note.exists() else None
    except ValueError:
        found = {}
    if found not in (None, wanted) or (found is None and any((folder / kind).exists() for kind in ("images", "masks"))):
        raise Refused(f"{folder.name} already holds other images; choose an empty folder.")
    write_json(note, wanted)


def _plan(patients: Mapping[str, int], seed: int) -> Iterator[tuple[int, str, str]]:
    """(number, split, class) of every patient; numbers run through all splits, so that no patient is in two."""
    benign, malignant = get_task(TASK).classes
    number = 0
    for split, count in patients.items():
        labels = [malignant] * (count // 2) + [benign] * (count - count // 2)
        # In random order, so that a patient's number does not give the class away.
        for i in np.random.default_rng([seed, number, count]).permutation(count):
            number += 1
            yield number, split, labels[i]


def _dicom(phantom: Phantom, number: int, seed: int) -> FileDataset:
    """An MR Image Storage object (DICOM PS3.3 A.4) with the type 1 and 2 attributes of its modules."""

    def uid(kind: str) -> str:
        return generate_uid(
            entropy_srcs=["phantom", str(GENERATOR_VERSION), str(seed), str(len(phantom.image)), str(number), kind]
        )

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = uid("instance")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    # Patient, study, series, frame of reference, equipment, SOP common. Dates stay empty: nothing was acquired.
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = (
        f"Phantom^{number:05d}",
        f"PH-{number:05d}",
        "",
        "",
    )
    ds.StudyInstanceUID, ds.StudyDate, ds.StudyTime = uid("study"), "", ""
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = str(number), "", ""
    ds.StudyDescription = ds.SeriesDescription = ds.ImageComments = DISCLAIMER
    ds.SeriesInstanceUID, ds.SeriesNumber, ds.Modality, ds.PatientPosition = uid("series"), 1, "MR", "HFP"
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = uid("frame"), ""
    ds.Manufacturer, ds.ManufacturerModelName = "TumorTrace", "phantom generator"
    ds.SoftwareVersions = str(GENERATOR_VERSION)
    _describe_picture(ds, phantom)
    return ds


def _describe_picture(ds: FileDataset, phantom: Phantom) -> None:
    """Image plane, MR image, display window and pixels."""
    size = len(phantom.image)
    spacing = _FIELD_MM / size
    side = 1 if phantom.laterality == "L" else -1
    ds.InstanceNumber, ds.ImageType = 1, ["DERIVED", "SECONDARY", "OTHER"]
    ds.BodyPartExamined, ds.ImageLaterality, ds.BurnedInAnnotation = "BREAST", phantom.laterality, "NO"
    # Axial: columns run to the patient's left, rows to the back; the field's centre lies 80 mm beside the midline.
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.ImagePositionPatient = [side * 80 - _FIELD_MM / 2, -_FIELD_MM, 0]
    ds.PixelSpacing, ds.SliceThickness = [round(spacing, 6)] * 2, 2
    # RM is research mode: no sequence made this picture, so it has no echo or repetition time.
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "RM", "NONE", "", "2D"
    ds.RepetitionTime = ds.EchoTime = ds.EchoTrainLength = None
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.Rows, ds.Columns = phantom.image.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.WindowCenter, ds.WindowWidth = phantom.center, phantom.width
    ds.PixelData = phantom.image.astype("<u2").tobytes()
