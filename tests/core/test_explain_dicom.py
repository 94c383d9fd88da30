"""Heatmaps as DICOM, read back by pydicom."""

from __future__ import annotations

import io
import json

import numpy as np
import pydicom
import pytest
from PIL import Image as PILImage

from core.explain import METHODS, overlay_png
from core.explain.dicom import NOTICE, parametric_map, secondary_capture
from core.records import Heatmap, Image, Study, full_range_window, study_id

PIXELS = np.random.default_rng(0).integers(0, 4096, (120, 90)).astype(np.uint16)
IMAGE = Image(PIXELS, full_range_window(PIXELS), spacing_mm=(0.2, 0.3))
STUDY = Study(study_id((IMAGE,), "P-7"), "name.dcm", "MR", (IMAGE,), patient_id="P-7", task="breast-mri")


def a_heatmap(signed: bool = False, parameters: dict | None = None) -> Heatmap:
    """An 8 × 6 map with a known ramp."""
    values = (np.arange(48, dtype=np.float32).reshape(8, 6) - (24 if signed else 0)) / 7
    method = "lime" if signed else "gradcam"
    facts = {"seed": 3, **(parameters or {})}
    return Heatmap(values, method, "malignant", "layer4", "ab" * 32, IMAGE.content_hash, signed, facts, {"torch": "2"})


def provenance_of(dataset: pydicom.Dataset) -> dict:
    """The JSON that each file carries."""
    return json.loads(dataset.ImageComments)


@pytest.mark.parametrize("signed", [False, True])
def test_the_parametric_map_holds_the_raw_values(signed: bool) -> None:
    """Float values to the bit, at the layer's grid, with the spacing of cells and a slope of 1."""
    heatmap = a_heatmap(signed)
    made = pydicom.dcmread(io.BytesIO(parametric_map(STUDY, IMAGE, heatmap)))
    assert made.SOPClassUID.name == "Parametric Map Storage"
    assert np.array_equal(made.pixel_array, heatmap.values)
    shared = made.SharedFunctionalGroupsSequence[0]
    assert [float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing] == pytest.approx([0.2 * 15, 0.3 * 15])
    mapping = shared.RealWorldValueMappingSequence[0]
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)
    assert provenance_of(made)["parameters"]["seed"] == 3
    assert made.ContentQualification == "RESEARCH"


def test_the_secondary_capture_is_the_overlay() -> None:
    """The same pixels as the PNG, caption included, marked as burned in."""
    heatmap = a_heatmap()
    made = pydicom.dcmread(io.BytesIO(secondary_capture(STUDY, IMAGE, heatmap, scale=9.0)))
    assert made.SOPClassUID.name == "Secondary Capture Image Storage"
    with PILImage.open(io.BytesIO(overlay_png(IMAGE, heatmap, scale=9.0))) as picture:
        assert np.array_equal(made.pixel_array, np.asarray(picture))
    assert made.BurnedInAnnotation == "YES"


@pytest.mark.parametrize("write", [secondary_capture, parametric_map])
def test_each_file_says_what_it_is_and_names_nobody(write) -> None:
    """Method, layer, class, model version and the notice; the pseudonym is all there is of the patient."""
    made = pydicom.dcmread(io.BytesIO(write(STUDY, IMAGE, a_heatmap())))
    facts = provenance_of(made)
    assert facts["notice"] == NOTICE == "Research use, not for diagnosis"
    wanted = {"method": "gradcam", "layer": "layer4", "target_class": "malignant", "model_version": "ab" * 32}
    assert wanted.items() <= facts.items()
    assert NOTICE in made.DerivationDescription
    assert "layer4" in made.DerivationDescription
    assert made.PatientID == "P-7"
    assert not made.PatientBirthDate
    again = pydicom.dcmread(io.BytesIO(write(STUDY, IMAGE, a_heatmap())))
    assert again.SOPInstanceUID == made.SOPInstanceUID  # the same export is the same object
    assert METHODS["gradcam"].title in made.SeriesDescription


def test_long_parameters_are_shortened_to_what_fits() -> None:
    """Thousands of coefficients leave the comment; numbers and names stay."""
    heatmap = a_heatmap(True, {"coefficients": [0.123456789] * 5000, "r2": 0.5})
    made = pydicom.dcmread(io.BytesIO(parametric_map(STUDY, IMAGE, heatmap)))
    facts = provenance_of(made)
    assert len(made.ImageComments) <= 10_240
    assert "coefficients" not in facts["parameters"]
    assert facts["parameters"]["r2"] == 0.5


def test_an_empty_map_of_an_image_without_spacing_can_be_written() -> None:
    """All zeros, 8-bit, no spacing: still a valid object."""
    image = Image(np.zeros((10, 10), np.uint8), full_range_window(np.zeros((1, 1), np.uint8)))
    study = Study(study_id((image,)), "x", "", (image,))
    empty = Heatmap(np.zeros((2, 2), np.float32), "gradcam", "benign", "layer4", "cd" * 32, image.content_hash, False)
    assert not pydicom.dcmread(io.BytesIO(parametric_map(study, image, empty))).pixel_array.any()
    assert pydicom.dcmread(io.BytesIO(secondary_capture(study, image, empty))).pixel_array.ndim == 3
