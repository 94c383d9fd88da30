"""Phantoms: the same call gives the same files, the files are DICOM, and nothing but the lesion's look tells the class."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image as PngImage
from sklearn.metrics import roc_auc_score

from core.datasets import load_dataset
from core.datasets.phantom import DISCLAIMER, Phantom, make_phantom, write_phantoms
from core.reading import read_upload
from core.recipes import load_recipe
from core.records import Refused

PATIENTS = {"train": 12, "val": 6, "test": 5}
SIZE = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """23 simulated patients; read them, do not write there."""
    folder = tmp_path_factory.mktemp("phantoms")
    assert write_phantoms(folder, patients=PATIENTS, seed=5, size=SIZE) == 23
    return folder


@cache
def many(count: int = 300, size: int = 96) -> tuple[Phantom, ...]:
    """Phantoms of alternating class, benign first."""
    return tuple(
        make_phantom(np.random.default_rng([9, i]), ("benign", "malignant")[i % 2], size) for i in range(count)
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def shown(phantom: Phantom) -> np.ndarray:
    """Brightness in [0, 1] through the phantom's own window."""
    return np.clip((phantom.image - (phantom.center - phantom.width / 2)) / phantom.width, 0, 1)


def separates(values: list[float]) -> float:
    """AUC of a number over `many()`, whichever class has the larger values: 0.5 says nothing, 1 says all."""
    auc = roc_auc_score([phantom.label == "malignant" for phantom in many()], values)
    return max(auc, 1 - auc)


# -- One phantom -------------------------------------------------------------------------------------------------------


def test_the_same_random_numbers_draw_the_same_phantom():
    """Equal generators give equal pictures and masks, other ones give others."""
    one, same, other = (make_phantom(np.random.default_rng(seed), "malignant", SIZE) for seed in (1, 1, 2))
    assert (one.image == same.image).all()
    assert (one.mask == same.mask).all()
    assert (one.center, one.width, one.laterality) == (same.center, same.width, same.laterality)
    assert (one.image != other.image).any()


@pytest.mark.parametrize("size", [64, 97, 192])
def test_a_phantom_has_the_stated_form(size):
    """Picture, mask and breast are (size, size); the picture is 12-bit, the window lies in its range."""
    phantom = make_phantom(np.random.default_rng(0), "Benign", size)
    assert (phantom.image.dtype, phantom.mask.dtype, phantom.breast.dtype) == (np.uint16, bool, bool)
    assert phantom.image.shape == phantom.mask.shape == phantom.breast.shape == (size, size)
    assert phantom.label == "benign"
    assert phantom.image.max() <= 4095
    assert 0 < phantom.center < phantom.width <= 4095


def test_the_lesion_lies_in_the_breast():
    """Every mask is one to twelve per cent of the picture and wholly between skin and chest wall."""
    for phantom in many():
        assert 0.01 < phantom.mask.mean() < 0.12
        assert not (phantom.mask & ~phantom.breast).any()


def test_the_lesion_is_brighter_than_the_breast_around_it():
    """Lesions enhance: their median brightness is above the breast's in every phantom."""
    for phantom in many():
        assert np.median(phantom.image[phantom.mask]) > np.median(phantom.image[phantom.breast & ~phantom.mask])


def test_both_breasts_occur_and_the_outer_side_falls_back():
    """Left and right are about as frequent, and in a left breast the chest wall is lower on the picture's right."""
    left = [phantom for phantom in many() if phantom.laterality == "L"]
    assert 110 < len(left) < 190

    def tilt(phantom: Phantom) -> float:
        deepest = len(phantom.breast) - phantom.breast[::-1].argmax(axis=0)  # lowest breast row of each column
        return float(deepest[-20:].mean() - deepest[:20].mean())

    right = [phantom for phantom in many() if phantom.laterality == "R"]
    assert np.mean([tilt(phantom) for phantom in left]) > 0 > np.mean([tilt(phantom) for phantom in right])


# -- What gives the class away, and what must not --------------------------------------------------------------------


def test_the_brightest_spot_is_no_answer():
    """The brightest pixel lies in the lesion in fewer than 70 % of 200 phantoms, and not never: foci are as bright."""
    hits = [phantom.mask.flat[phantom.image.argmax()] for phantom in many()[:200]]
    assert 0.2 < np.mean(hits) < 0.7


def test_the_picture_centre_is_no_answer():
    """The middle pixel lies in the lesion in at most 30 % of the phantoms."""
    middle = many()[0].image.shape[0] // 2
    assert np.mean([phantom.mask[middle, middle] for phantom in many()]) < 0.3


@pytest.mark.parametrize(
    "measure",
    [
        lambda phantom: phantom.image.mean(),
        lambda phantom: shown(phantom).mean(),
        lambda phantom: phantom.width,
        lambda phantom: phantom.mask.sum(),
        lambda phantom: phantom.image[phantom.mask].mean() / phantom.width,
        lambda phantom: phantom.breast.sum(),
    ],
    ids=["stored brightness", "displayed brightness", "window", "lesion size", "lesion brightness", "breast size"],
)
def test_simple_numbers_hardly_tell_the_class(measure):
    """Brightness, window and sizes alone reach an AUC below 0.65."""
    assert separates([measure(phantom) for phantom in many()]) < 0.65


def test_the_look_of_the_lesion_tells_the_class_but_not_always():
    """Unevenness inside the lesion separates the classes clearly, yet one such number does not solve the task."""
    inside = [shown(phantom)[phantom.mask].std() / shown(phantom)[phantom.mask].mean() for phantom in many()]
    assert 0.75 < separates(inside) < 0.97


# -- Files -------------------------------------------------------------------------------------------------------------


def test_the_same_call_writes_the_same_files(folder, tmp_path):
    """Elsewhere, and again in the same place, every byte is equal; another seed gives other pictures."""
    again, other = tmp_path / "again", tmp_path / "other"
    write_phantoms(again, patients=PATIENTS, seed=5, size=SIZE)
    assert contents(again) == contents(folder)
    write_phantoms(again, patients=PATIENTS, seed=5, size=SIZE)
    assert contents(again) == contents(folder)
    write_phantoms(other, patients=PATIENTS, seed=6, size=SIZE)
    assert not set(contents(other).values()) & {v for k, v in contents(folder).items() if k.endswith(".dcm")}


def test_a_stopped_call_can_be_repeated(folder, tmp_path):
    """After a stop in the middle the same call completes the folder; the progress had been told patient by patient."""
    told = []

    def stop_at_seven(done: int, total: int) -> None:
        told.append((done, total))
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantoms(tmp_path, patients=PATIENTS, seed=5, size=SIZE, progress=stop_at_seven)
    assert told == [(n, 23) for n in range(1, 8)]
    write_phantoms(tmp_path, patients=PATIENTS, seed=5, size=SIZE)
    assert contents(tmp_path) == contents(folder)


def test_every_patient_is_in_one_split_and_classes_are_balanced(folder):
    """The app's loader finds the asked-for numbers, half of each class (an odd one benign), and no leak."""
    dataset = load_dataset(folder, "breast-mri")
    assert len({case.patient_id for case in dataset.cases}) == len(dataset.cases) == 23
    counts = {split: [c.label for c in dataset.cases if c.split == split] for split in PATIENTS}
    assert {split: (labels.count(0), labels.count(1)) for split, labels in counts.items()} == {
        "train": (6, 6), "val": (3, 3), "test": (3, 2),
    }  # fmt: skip
    assert not dataset.leaks


def test_a_patients_number_does_not_give_the_class_away(tmp_path):
    """Neither order nor parity of the numbers follows the class."""
    write_phantoms(tmp_path, patients={"test": 40}, size=SIZE)
    malignant = [int(path.stem[3:]) for path in (tmp_path / "images/test/malignant").rglob("*.dcm")]
    assert len(malignant) == 20
    assert 4 < sum(number % 2 for number in malignant) < 16
    assert 4 < sum(number <= 20 for number in malignant) < 16


def test_phantoms_json_says_what_was_made(folder):
    """Generator version, seed, size and counts are on record."""
    note = json.loads((folder / "phantoms.json").read_text())
    assert note == {"generator": 1, "seed": 5, "size": SIZE, "patients": PATIENTS}


def test_the_files_are_mr_images_with_everything_dicom_asks_for(folder):
    """Type 1 attributes of PS3.3 A.4's modules have values, type 2 ones are present, and pixels are 12 of 16 bits."""
    filled = """SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID Modality PatientID
        PatientName PixelSpacing ImageOrientationPatient ImagePositionPatient ImageType ScanningSequence SequenceVariant
        SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation
        PixelData WindowCenter WindowWidth SpecificCharacterSet PatientPosition"""
    present = """PatientBirthDate PatientSex StudyDate StudyTime ReferringPhysicianName StudyID AccessionNumber SeriesNumber
        PositionReferenceIndicator Manufacturer InstanceNumber SliceThickness ScanOptions MRAcquisitionType RepetitionTime
        EchoTime EchoTrainLength"""
    for path in folder.rglob("*.dcm"):
        ds = pydicom.dcmread(path)
        assert [name for name in filled.split() if ds.get(name) in (None, "", [])] == []
        assert [name for name in present.split() if name not in ds] == []
        assert ds.SOPClassUID == ds.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.4"  # MR Image Storage
        assert ds.SOPInstanceUID == ds.file_meta.MediaStorageSOPInstanceUID
        assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"  # explicit VR little endian
        assert (ds.Modality, ds.BodyPartExamined, ds.BurnedInAnnotation) == ("MR", "BREAST", "NO")
        assert ds.PhotometricInterpretation == "MONOCHROME2"
        assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit) == (16, 12, 11)
        assert (ds.PatientID, str(ds.PatientName)) == (path.stem, f"Phantom^{path.stem[3:]}")
        assert ds.pixel_array.max() <= 4095


def test_every_file_says_that_it_shows_no_patient(folder):
    """Study description and image comments carry the disclaimer; no date of an acquisition is made up."""
    for path in folder.rglob("*.dcm"):
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        assert ds.StudyDescription == ds.ImageComments == DISCLAIMER == "Simulated phantom, not a patient"
        assert not ds.StudyDate


def test_identifiers_are_valid_and_shared_by_nothing(folder, tmp_path):
    """All 4 × 23 UIDs differ, are valid, and differ from those of another seed."""
    write_phantoms(tmp_path, patients={"test": 2}, seed=6, size=SIZE)
    names = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
    files = [*folder.rglob("*.dcm"), *tmp_path.rglob("*.dcm")]
    uids = [pydicom.dcmread(path, stop_before_pixels=True)[name].value for path in files for name in names]
    assert len(set(uids)) == len(uids) == 4 * 25
    assert all(uid.is_valid for uid in uids)


def test_the_app_reads_a_phantom_as_it_was_drawn(folder):
    """The app's reader gives one MR study with the drawn pixels, side, spacing and window."""
    path = min((folder / "images/train/malignant").rglob("*.dcm"))
    phantom = make_phantom(np.random.default_rng([5, int(path.stem[3:])]), "malignant", SIZE)
    (study,) = read_upload(path.name, path.read_bytes(), task="breast-mri", secret=b"s" * 32)
    (image,) = study.images
    assert study.modality == "MR"
    assert (image.pixels == phantom.image).all()
    assert image.laterality == phantom.laterality
    assert image.spacing_mm == pytest.approx((140 / SIZE, 140 / SIZE))
    assert (image.window.center, image.window.width) == (phantom.center, phantom.width)


def test_the_mask_file_is_the_lesion(folder):
    """Each mask is beside its picture under `masks`, 8 bit, 255 in the drawn lesion and 0 elsewhere."""
    masks = sorted((folder / "masks").rglob("*.png"))
    pictures = sorted((folder / "images").rglob("*.dcm"))
    assert [p.relative_to(folder / "masks").with_suffix("") for p in masks] == [
        p.relative_to(folder / "images").with_suffix("") for p in pictures
    ]
    for path in masks[:6]:
        drawn = make_phantom(np.random.default_rng([5, int(path.stem[3:])]), path.parts[-3], SIZE).mask
        with PngImage.open(path) as mask:
            assert mask.mode == "L"
            assert (np.asarray(mask) == drawn * 255).all()


# -- Refusals and the recipe -------------------------------------------------------------------------------------------


def test_other_phantoms_are_not_mixed_in(tmp_path):
    """A folder that holds other phantoms, or other images, is refused and stays as it is."""
    write_phantoms(tmp_path / "a", patients={"test": 2}, size=SIZE)
    before = contents(tmp_path)
    with pytest.raises(Refused, match="a already holds other images"):
        write_phantoms(tmp_path / "a", patients={"test": 2}, seed=1, size=SIZE)
    assert contents(tmp_path) == before
    (tmp_path / "b/images").mkdir(parents=True)
    with pytest.raises(Refused, match="b already holds other images"):
        write_phantoms(tmp_path / "b", patients={"test": 2}, size=SIZE)


@pytest.mark.parametrize("patients", [{}, {"test": 0}, {"train": 4, "test": -2}])
def test_no_patients_are_refused(tmp_path, patients):
    """Nothing asked for, or less than nothing, is an error and leaves no file."""
    with pytest.raises(Refused, match="number of patients"):
        write_phantoms(tmp_path, patients=patients)
    assert not contents(tmp_path)


def test_an_unknown_class_and_too_small_a_picture_are_refused(tmp_path):
    """The message names the classes, or the smallest size."""
    with pytest.raises(Refused, match="benign, malignant"):
        make_phantom(np.random.default_rng(0), "normal")
    with pytest.raises(Refused, match="at least 64 pixels"):
        make_phantom(np.random.default_rng(0), "benign", 63)
    with pytest.raises(Refused, match="at least 64 pixels"):
        write_phantoms(tmp_path, patients={"test": 2}, size=63)


def test_the_demo_recipe_can_be_loaded():
    """`demo` is a recipe that comes with the program and keeps to few epochs."""
    assert load_recipe("demo").epochs <= 15
