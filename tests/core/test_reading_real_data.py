"""Public DICOM, NPZ and PNG files open as the manifest beside them says."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pydicom
import pytest

from core.preprocess import display_values
from core.reading import Outcome, read_paths

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason="the public data are not beside the checkout (../shared/data)"),
]

NO_PICTURES = {"breast_other/MR_UnspecifiedLength.dcm", "wsi_seg_sr/seg_image_ct_binary.dcm", "wsi_seg_sr/rtdose.dcm"}


def manifest() -> list[dict[str, str]]:
    """The rows of the manifest; none where the data are absent."""
    path = DATA / "dicom" / "manifest.csv"
    return list(csv.DictReader(path.open())) if path.exists() else []


def read(name: str, **options: str) -> Outcome:
    """The outcome of one file."""
    (outcome,) = read_paths([DATA / name], **options)
    return outcome


@pytest.mark.parametrize("row", manifest(), ids=lambda row: row["file"].removeprefix("dicom/"))
def test_dicom_is_read_as_its_manifest_says(row: dict[str, str]) -> None:
    """Decodable pictures have the manifest's shape and modality values; everything else is refused in a sentence."""
    outcome = read(row["file"])
    if row["decode"] != "ok" or row["file"].removeprefix("dicom/") in NO_PICTURES:
        readable_without_meta = row["file"] == "dicom/cr_dx/CR-MONO1-10-chest"
        assert bool(outcome.studies) == readable_without_meta
        return
    (study,) = outcome.studies
    images = study.images
    shape = [int(n) for n in row["shape"].split("x")]
    height_width = shape[:2] if len(shape) == 2 + (shape[-1] == 3) else shape[1:3]
    assert len(images) == int(row["NumberOfFrames"] or 1)
    assert {image.pixels.shape[:2] for image in images} == {tuple(height_width)}
    assert all(
        image.is_colour == (row["PhotometricInterpretation"] not in ("MONOCHROME1", "MONOCHROME2")) for image in images
    )
    for image in images:
        shown = display_values(image)
        assert np.isfinite(shown).all()


def grey_rows() -> list[dict[str, str]]:
    """Rows of decodable grey pictures whose manifest values are stored values on one scale."""
    return [
        row
        for row in manifest()
        if row["decode"] == "ok"
        and row["PhotometricInterpretation"].startswith("MONOCHROME")
        and row["file"].removeprefix("dicom/") not in NO_PICTURES
        and "modality LUT" not in row["remark"]
    ]


@pytest.mark.parametrize("row", grey_rows(), ids=lambda row: row["file"].removeprefix("dicom/"))
def test_grey_values_are_those_of_the_manifest(row: dict[str, str]) -> None:
    """Undoing rescale, sign and inversion gives the minimum, maximum and mean that another set of decoders found."""
    (study,) = read(row["file"]).studies
    slope, intercept = rescale(DATA / row["file"])
    images = np.stack([image.pixels * image.slope + image.intercept for image in study.images])
    values = (images - intercept) / slope
    error = 1e-5 if row["dtype"].startswith("float") else 1e-6  # floats lose at most half of 1/65535 of their range
    assert (values.min(), values.max()) == pytest.approx((float(row["min"]), float(row["max"])), abs=error)
    assert values.mean() == pytest.approx(float(row["mean"]), abs=1e-3)


def rescale(path: Path) -> tuple[float, float]:
    """Slope and intercept of a file, straight from its header (of the first frame where frames have their own)."""
    header = pydicom.dcmread(path, stop_before_pixels=True)
    for sequence in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        if sequence in header and "PixelValueTransformationSequence" in header[sequence][0]:
            header = header[sequence][0].PixelValueTransformationSequence[0]
            break
    return float(header.get("RescaleSlope", 1)), float(header.get("RescaleIntercept", 0))


@pytest.mark.parametrize(
    ("name", "shape", "side", "view"),
    [("GH133.dcm", (3062, 2394), "R", "MLO"), ("OutOfBoundsOverlay.dcm", (788, 1318), "L", "CC")],
)
def test_clinical_mammograms_open(name: str, shape: tuple[int, int], side: str, view: str) -> None:
    """The two clinical mammograms, in lossless JPEG, are studies of the mammography task with side and view."""
    (study,) = read(f"dicom/mammography/{name}").studies
    image = study.images[0]
    assert (study.task, image.pixels.shape, image.laterality, image.view) == ("mammography", shape, side, view)


def test_one_image_in_seven_encodings_is_one_study() -> None:
    """The same MR slice in seven transfer syntaxes has one id."""
    ids = {read(f"dicom/mr/{path.name}").studies[0].id for path in sorted((DATA / "dicom" / "mr").glob("MR_small*"))}
    assert len(ids) == 1


def test_breastmnist_opens_with_its_reference_standard() -> None:
    """All 780 BreastMNIST images are studies; 42 of its 156 test images are malignant."""
    studies = read("medmnist/breastmnist.npz", task="breast-ultrasound").studies
    test = [study for study in studies if " test " in study.name]
    assert (len(studies), len(test)) == (780, 156)
    assert sum(study.reference_standard == "malignant" for study in test) == 42


def test_folder_of_ultrasound_pictures_opens() -> None:
    """Original BUSI pictures are read as colour studies under their file names."""
    outcomes = read_paths([DATA / "busi" / "benign"], task="breast-ultrasound")
    assert outcomes
    assert all(outcome.studies for outcome in outcomes)
