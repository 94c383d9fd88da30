"""Heatmaps as DICOM, read back by pydicom and DCMTK, and checked against the standard by dicom3tools' `dciodvfy`.

Of its warnings these are as they should be: dates and the side of a paired organ are unknown because the store keeps no such
facts, and QUANTITY came into the standard's Derived Pixel Contrast (PS3.3 C.8.16.1.4) after this version of the checker.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image as PILImage

from core.explain import METHODS, Request, explain, overlay_png
from core.explain.dicom import parametric_map, secondary_capture
from core.explain.provenance import NOTICE, provenance
from core.reading import read_paths, read_upload
from core.records import Heatmap, Image, Study, full_range_window, study_id
from tests.core.dicom_factory import make_dicom
from tests.core.test_explain import random_checkpoint
from tests.core.test_orientation import FILES, picture

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "dicom"
DCIODVFY, DCM2PNM = shutil.which("dciodvfy"), shutil.which("dcm2pnm")
EXPECTED = ("DICOMDIR", "attribute <Laterality>", "defined term <QUANTITY>")
checked = pytest.mark.skipif(DCIODVFY is None, reason="dciodvfy is not installed (Debian package dicom3tools)")
WRITERS = [secondary_capture, parametric_map]

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


@pytest.mark.parametrize("write", WRITERS)
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


def complaints(data: bytes, folder: Path) -> list[str]:
    """What dciodvfy says of a file, without what is expected."""
    path = folder / "made.dcm"
    path.write_bytes(data)
    done = subprocess.run([str(DCIODVFY), str(path)], capture_output=True, text=True, check=False, timeout=60)
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("Error", "Warning"))]
    return [line for line in said if line.startswith("Error") or not any(words in line for words in EXPECTED)]


def mammogram() -> bytes:
    """A left mediolateral oblique view, with a patient module and all that places it."""
    facts = {"Modality": "MG", "PatientName": "Doe^Jane", "PatientBirthDate": "19600101", "PatientSex": "F",
             "ImageLaterality": "L", "ViewPosition": "MLO", "PatientOrientation": ["A", "FR"],
             "BodyPartExamined": "BREAST", "ImagerPixelSpacing": [0.1, 0.1], "StudyDate": "20240101"}  # fmt: skip
    return make_dicom(picture("top left").astype(np.uint16) * 16, **facts)


def sagittal() -> bytes:
    """A dynamic study's sagittal MR slice of two frames."""
    values = np.stack([picture("top left")] * 2).astype(np.uint16)
    return make_dicom(values, NumberOfFrames=2, ImageOrientationPatient=[0, 1, 0, 0, 0, -1], PixelSpacing=[0.7, 0.7])


SOURCES = {name: make(picture("top left")) for name, make in FILES.items() if not name.startswith("EXIF")}
SOURCES |= {"mammogram": mammogram(), "sagittal MR": sagittal()}


@checked
@pytest.mark.parametrize("source", SOURCES)
def test_the_checker_finds_no_error_in_exports_of_any_source(source: str, tmp_path: Path) -> None:
    """Both kinds of file, of a map on a grid and a signed one on pixels, of the last image of every kind of study."""
    (study,) = read_upload("file", SOURCES[source], trusted=True)
    image = study.images[-1]
    for heatmap in (a_heatmap(), replace(a_heatmap(True), values=np.ones(image.pixels.shape[:2], np.float32))):
        for write in WRITERS:
            assert complaints(write(study, image, heatmap), tmp_path) == []


@checked
@pytest.mark.parametrize("method", METHODS)
def test_the_checker_finds_no_error_in_the_maps_of_any_method(method: str, tmp_path: Path) -> None:
    """Real maps with all their parameters, superpixel coefficients included."""
    fewer = {"lime": {"samples": 100}, "shapley": {"permutations": 2}, "smoothgrad": {"samples": 4}}
    image = replace(IMAGE, laterality="L")
    heatmap = explain(random_checkpoint("small-cnn"), image, Request(method, "malignant", 3, fewer.get(method, {})))
    for write in WRITERS:
        data = write(STUDY, image, heatmap)
        assert complaints(data, tmp_path) == []
        made = pydicom.dcmread(io.BytesIO(data))
        parameters = provenance_of(made)["parameters"]
        assert (parameters["seed"], parameters["maximum"]) == (3, float(np.abs(heatmap.values).max()))
        assert "share" in parameters
        assert made.Laterality == "L"


def real_files() -> list[str]:
    """One public file of each folder and every mammogram, where they are beside the checkout."""
    rows = list(csv.DictReader((DATA / "manifest.csv").open())) if DATA.is_dir() else []
    good = [
        row["file"].removeprefix("dicom/") for row in rows if row["decode"] == "ok" and int(row["size"]) < 1_500_000
    ]
    first = {name.partition("/")[0]: name for name in reversed(good) if "wsi_seg_sr" not in name}
    return sorted({*first.values(), *(name for name in good if name.startswith("mammography/"))})


@checked
@pytest.mark.real_data
@pytest.mark.skipif(not DATA.is_dir(), reason="the public data are not beside the checkout (../shared/data)")
@pytest.mark.parametrize("name", real_files())
def test_the_checker_finds_no_error_in_exports_of_public_files(name: str, tmp_path: Path) -> None:
    """Scanners' own headers, with patients' modules, sides and directions of every kind."""
    (outcome,) = read_paths([DATA / name], secret=b"secret")
    study = outcome.studies[0]
    for write in WRITERS:
        assert complaints(write(study, study.images[0], a_heatmap()), tmp_path) == []


@pytest.mark.skipif(DCM2PNM is None, reason="DCMTK's dcm2pnm is not installed (Debian package dcmtk)")
def test_another_program_shows_the_overlay(tmp_path: Path) -> None:
    """DCMTK decodes the secondary capture to the pixels of the PNG."""
    (tmp_path / "made.dcm").write_bytes(secondary_capture(STUDY, IMAGE, a_heatmap()))
    subprocess.run(
        [str(DCM2PNM), "+on", str(tmp_path / "made.dcm"), str(tmp_path / "made.png")], check=True, timeout=60
    )
    with (
        PILImage.open(tmp_path / "made.png") as shown,
        PILImage.open(io.BytesIO(overlay_png(IMAGE, a_heatmap()))) as drawn,
    ):
        assert np.array_equal(np.asarray(shown.convert("RGB")), np.asarray(drawn))


def test_planes_lie_as_the_picture_does() -> None:
    """Known letters are kept, and the map's first cell is centred where its pixels are; parallel or unknown ones are not used."""
    lying = replace(IMAGE, orientation=("A", "FR"))
    made = pydicom.dcmread(io.BytesIO(parametric_map(STUDY, lying, a_heatmap())))
    shared, frame = made.SharedFunctionalGroupsSequence[0], made.PerFrameFunctionalGroupsSequence[0]
    assert list(shared.PlaneOrientationSequence[0].ImageOrientationPatient) == [0, -1, 0, 0, 0, -1]
    # 15 pixels per cell: the middle of a cell is 7 pixels on, of 0.3 mm towards A and of 0.2 mm towards F
    position = (frame if "PlanePositionSequence" in frame else shared).PlanePositionSequence[0].ImagePositionPatient
    assert [float(v) for v in position] == pytest.approx([0, -2.1, -1.4])
    assert "not known" not in made.DerivationDescription
    capture = pydicom.dcmread(io.BytesIO(secondary_capture(STUDY, lying, a_heatmap())))
    assert list(capture.PatientOrientation) == ["A", "FR"]
    for orientation in (None, ("A", "P")):
        image = replace(IMAGE, orientation=orientation)
        made = pydicom.dcmread(io.BytesIO(parametric_map(STUDY, image, a_heatmap())))
        shared = made.SharedFunctionalGroupsSequence[0]
        assert list(shared.PlaneOrientationSequence[0].ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]
        assert ("directions in the patient is not known" in made.DerivationDescription) == (orientation is None)


def test_overlays_in_other_colours_are_other_objects() -> None:
    """Full colour at another value gives another picture, which must not bear the same UID; each says its scale."""
    one, two = (pydicom.dcmread(io.BytesIO(secondary_capture(STUDY, IMAGE, a_heatmap(), scale=s))) for s in (5.0, 9.0))
    assert one.SOPInstanceUID != two.SOPInstanceUID
    assert one.StudyInstanceUID == two.StudyInstanceUID
    assert provenance_of(two)["shown"] == {"opacity": 0.5, "threshold": 0.0, "full_colour": 9.0}


def test_a_png_says_what_the_other_files_say() -> None:
    """The provenance stands in the PNG's own text, with how it was coloured."""
    with PILImage.open(io.BytesIO(overlay_png(IMAGE, a_heatmap(), opacity=0.7))) as picture:
        facts = json.loads(picture.text["Heatmap"])  # type: ignore[attr-defined]
    assert facts.pop("shown") == {"opacity": 0.7, "threshold": 0.0, "full_colour": pytest.approx(47 / 7)}
    assert facts == provenance(a_heatmap())
    assert facts["notice"] == NOTICE
