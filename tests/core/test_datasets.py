"""Folder trees and NPZ files become a `Dataset`; splits are by patient; leaks are named."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.architectures import get_architecture
from core.datasets import Case, Dataset, load_dataset, tensors, without_leaks
from core.datasets.dataset import find_leaks, fingerprint
from core.datasets.phantom import write_phantoms
from core.preprocess import Preprocessing, preprocess
from core.records import Image, Refused, full_range_window
from tests.core.bars import TASK, bar_images, write_bars_npz, write_bars_tree, write_png

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the public data is not beside the checkout")
GREY_2 = Preprocessing((2, 2), 1, (0.5,), (0.5,))


def _patients(dataset, split):
    return {case.patient_id for case in dataset.cases if case.split == split}


def _npz(path, **arrays):
    np.savez(path, **arrays)
    return path


# -- NPZ ---------------------------------------------------------------------------------------------------------------


def test_npz_cases_carry_the_files_pixels_labels_and_places(bars_npz):
    """Case "test/3" is picture 3 of test_images with label 3 of test_labels, bit for bit."""
    dataset = load_dataset(bars_npz, TASK)
    case = dataset.split("test")[3]
    with np.load(bars_npz) as file:
        assert case.case_id == "test/3"
        assert case.label == int(file["test_labels"][3, 0])
        np.testing.assert_array_equal(case.load().pixels, file["test_images"][3])
    assert dataset.counts()["train"] == {"malignant": 48, "benign": 48}
    assert dataset.leaks == ()


def test_npz_labels_may_be_flat_and_images_colour(tmp_path):
    """Labels of shape (n,) and images (n, h, w, 3) are read as well."""
    images = np.zeros((2, 4, 5, 3), np.uint8)
    images[1, 0, 0] = (1, 2, 3)
    path = _npz(tmp_path / "c.npz", test_images=images, test_labels=np.array([0, 7]))
    dataset = load_dataset(path, "blood-cells")
    assert [case.label for case in dataset.cases] == [0, 7]
    assert dataset.cases[1].load().is_colour
    assert dataset.cases[1].load().pixels[0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros(3)}, "none of the arrays"),
        ({"test_images": np.zeros((2, 4, 4), np.uint8)}, "cannot be read"),
        ({"test_images": np.zeros((2, 4, 4)), "test_labels": np.zeros(2, int)}, "must be uint8"),
        ({"test_images": np.zeros((2, 4, 4, 2), np.uint8), "test_labels": np.zeros(2, int)}, "must be uint8"),
        ({"test_images": np.zeros((2, 4, 4), np.uint8), "test_labels": np.zeros(3, int)}, "2 whole numbers"),
        ({"test_images": np.zeros((2, 4, 4), np.uint8), "test_labels": np.zeros(2)}, "whole numbers"),
        ({"test_images": np.zeros((2, 4, 4), np.uint8), "test_labels": np.array([0, 2])}, "0–1"),
        ({"test_images": np.array([{"a": 1}, None], object), "test_labels": np.zeros(2, int)}, "cannot be read"),
    ],
)
def test_npz_of_another_content_is_refused(tmp_path, arrays, words):
    """Missing arrays, other types, shapes, labels and pickled objects are refused in one sentence that names the file."""
    with pytest.raises(Refused, match=words) as refusal:
        load_dataset(_npz(tmp_path / "d.npz", **arrays), TASK)
    assert "d.npz" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_path_that_is_no_dataset_is_refused(tmp_path):
    """Nothing there, a text file, and a text file called .npz are refused."""
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "a.npz").write_text("hello")
    for name in ("nothing", "a.txt", "a.npz"):
        with pytest.raises(Refused, match=r"nothing|a\.txt|a\.npz"):
            load_dataset(tmp_path / name, TASK)


# -- Trees -------------------------------------------------------------------------------------------------------------


def test_tree_reads_split_class_and_patient_from_the_folders(tmp_path):
    """`test/Benign/P1/SUB2/p-017.png` is a benign test image of patient P1; hidden and text files are passed over."""
    image, _ = bar_images(2, 0)
    write_png(tmp_path / "test/Benign/P1/SUB2/p-017.png", image[0])
    write_png(tmp_path / "test/MALIGNANT/p-018.png", image[1])
    write_png(tmp_path / "test/Benign/P1/.hidden.png", image[1])
    (tmp_path / "test/Benign/labels.csv").write_text("x")
    (tmp_path / "masks").mkdir()
    first, second = load_dataset(tmp_path, TASK).cases
    assert (first.case_id, first.patient_id, first.split, first.label) == (
        "test/Benign/P1/SUB2/p-017.png",
        "P1",
        "test",
        1,
    )
    assert (second.patient_id, second.label) == ("test/MALIGNANT/p-018.png", 0)
    np.testing.assert_array_equal(first.load().pixels, image[0])


def test_tree_steps_into_a_folder_images_and_ignores_masks(tmp_path):
    """`PATH/images/<split>/…` beside `PATH/masks` is read as the splits inside images; "valid" is val."""
    write_bars_tree(tmp_path / "images", 2, split="valid")
    write_png(tmp_path / "masks/valid/Benign/m.png", np.zeros((4, 4), np.uint8))
    dataset = load_dataset(tmp_path, TASK)
    assert dataset.counts() == {"val": {"malignant": 4, "benign": 4}}
    assert all(case.case_id.startswith("valid/") for case in dataset.cases)


def test_tree_with_a_strange_folder_is_refused(tmp_path):
    """A class that the task does not have, or a folder beside the splits that is none, is named."""
    write_bars_tree(tmp_path, 1, split="test")
    (tmp_path / "test/Other").mkdir()
    with pytest.raises(Refused, match="'Other' is not a class of breast-ultrasound"):
        load_dataset(tmp_path, TASK)
    (tmp_path / "test/Other").rmdir()
    (tmp_path / "test2").mkdir()
    with pytest.raises(Refused, match="'test2' beside test is not a split"):
        load_dataset(tmp_path, TASK)


def test_tree_with_an_unreadable_image_is_refused_by_name(tmp_path):
    """A file that the reader rejects stops the load, with its place in the tree; nothing is skipped in silence."""
    write_bars_tree(tmp_path, 1, split="test")
    (tmp_path / "test/Benign/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    with pytest.raises(Refused, match=r"test/Benign/broken\.png cannot be read"):
        load_dataset(tmp_path, TASK)


def test_phantoms_load_and_flat_dicom_files_keep_their_patients(tmp_path):
    """Phantom folders load as they are written; without patient folders the files' own patient ids find a leak."""
    write_phantoms(tmp_path / "phantoms", patients={"train": 4, "test": 2}, seed=0, size=64)
    dataset = load_dataset(tmp_path / "phantoms", "breast-mri")
    assert sorted(sum(c.values()) for s, c in dataset.counts().items() if s != "val") == [2, 2]
    assert dataset.leaks == ()
    source = next((tmp_path / "phantoms/images/train").rglob("*.dcm"))
    for split in ("val", "test"):
        (tmp_path / "flat" / split / source.parts[-3]).mkdir(parents=True)
        shutil.copy(source, tmp_path / "flat" / split / source.parts[-3])
    patient, pixels = load_dataset(tmp_path / "flat", "breast-mri").leaks
    assert patient.startswith("Patient P-")  # a pseudonym
    assert patient.endswith("is on two sides: val and test.")
    assert "are the same picture on two sides." in pixels


def test_an_empty_folder_is_refused(tmp_path):
    """A folder without images says which layout is expected."""
    with pytest.raises(Refused, match="split/class/patient/file"):
        load_dataset(tmp_path, TASK)


def test_images_too_large_to_keep_are_read_again_and_must_be_the_same(tmp_path, monkeypatch):
    """Beyond the memory kept for pixels, `load` reads the file again, and refuses it when it has changed since."""
    write_bars_tree(tmp_path, 1, split="test", files=1)
    monkeypatch.setattr("core.datasets.files._KEEP_BYTES", 0)
    case = load_dataset(tmp_path, TASK).cases[0]
    assert case.load().content_hash == case.pixel_hash
    write_png(tmp_path / case.case_id, np.zeros((16, 16), np.uint8))
    with pytest.raises(Refused, match="has changed"):
        case.load()


def test_progress_is_told_of_every_file(tmp_path):
    """Progress ends at (n, n) and never goes back."""
    seen = []
    load_dataset(write_bars_tree(tmp_path, 2, split="test"), TASK, lambda done, total, text: seen.append((done, total)))
    assert seen == [(i, 8) for i in range(1, 9)]


# -- Splits ------------------------------------------------------------------------------------------------------------


def test_an_unsplit_tree_is_split_by_patient_about_70_15_15(tmp_path):
    """Fourteen patients of each class give 10 / 2 / 2 of each, no patient on two sides, the same at every call."""
    write_bars_tree(tmp_path, 14)
    dataset = load_dataset(tmp_path, TASK)
    train, val, test = (_patients(dataset, split) for split in ("train", "val", "test"))
    assert not train & (val | test)
    assert not val & test
    assert {s: sum(c.values()) for s, c in dataset.counts().items()} == {"train": 40, "val": 8, "test": 8}
    assert all(c["malignant"] == c["benign"] for c in dataset.counts().values())
    assert dataset.leaks == ()
    assert load_dataset(tmp_path, TASK) == dataset


def test_val_is_taken_from_train_by_patient(tmp_path):
    """Without val, some of the training patients become val, with both classes; test stays as it was."""
    write_bars_tree(tmp_path, 7, split="train", seed=1)
    write_bars_tree(tmp_path, 2, split="test", seed=2)
    dataset = load_dataset(tmp_path, TASK)
    assert dataset.counts() == {
        "train": {"malignant": 12, "benign": 12},
        "val": {"malignant": 2, "benign": 2},
        "test": {"malignant": 4, "benign": 4},
    }
    assert not _patients(dataset, "train") & _patients(dataset, "val")


def test_a_split_made_without_patients_says_so(tmp_path):
    """Where files name no patient, the split made here may part one patient's images: a sentence says it."""
    path = write_bars_npz(tmp_path / "b.npz", train=40, val=0)
    dataset = load_dataset(path, TASK)
    assert len(dataset.split("val")) == 6  # one seventh of 40, rounded
    assert len(dataset.leaks) == 1
    assert "names no patients" in dataset.leaks[0]


def test_too_few_patients_to_split_is_refused(tmp_path):
    """One patient of a class cannot stand on three sides; the class is named."""
    write_bars_tree(tmp_path, 1)
    with pytest.raises(Refused, match="too few patients with"):
        load_dataset(tmp_path, TASK)


def test_a_missing_split_is_refused_naming_those_there(tmp_path):
    """Asking for a split that is not there names the ones that are."""
    dataset = load_dataset(write_bars_tree(tmp_path, 1, split="test"), TASK)
    with pytest.raises(Refused, match="no split 'val'; its splits are: test"):
        dataset.split("val")


# -- Leaks -------------------------------------------------------------------------------------------------------------


def test_the_same_picture_on_two_sides_is_found(tmp_path):
    """A picture that is in train and in test is named with both places, and with both labels when they differ."""
    images, labels = bar_images(6, 0)
    images[4], images[5] = images[0], images[2]
    splits = {"train": slice(0, 3), "val": slice(3, 4), "test": slice(4, 6)}
    arrays = {f"{s}_images": images[i] for s, i in splits.items()} | {
        f"{s}_labels": labels[i] for s, i in splits.items()
    }
    assert load_dataset(_npz(tmp_path / "d.npz", **arrays), TASK).leaks == (
        "train/0 and test/0 are the same picture on two sides.",
        "train/2 (malignant) and test/1 (benign) are the same picture on two sides, with different labels.",
    )


def test_a_patient_on_two_sides_is_found(tmp_path):
    """A patient with images in train and in test is named."""
    images, _ = bar_images(4, 0)
    for i, place in enumerate(("train/Benign/P7", "val/Benign/P8", "test/Benign/P7", "test/Malignant/P9")):
        write_png(tmp_path / place / "a.png", images[i])
    assert load_dataset(tmp_path, TASK).leaks == ("Patient P7 is on two sides: train and test.",)


def test_many_leaks_are_counted_after_twenty(tmp_path):
    """Twenty leaks are named and one sentence counts the others."""
    images, labels = bar_images(25, 0)
    arrays = {f"{s}_{k}": v for s in ("train", "val") for k, v in (("images", images), ("labels", labels))}
    leaks = load_dataset(_npz(tmp_path / "d.npz", **arrays), TASK).leaks
    assert len(leaks) == 21
    assert leaks[-1] == "5 further patients or pictures are on two sides."


# -- Fingerprint and tensors -------------------------------------------------------------------------------------------


def test_fingerprint_is_the_hash_of_what_the_cases_are(tmp_path):
    """The fingerprint can be computed by hand from case id, split, label and pixel hash."""
    images = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    dataset = load_dataset(_npz(tmp_path / "d.npz", test_images=images, test_labels=np.array([1, 0])), TASK)
    hashes = [hashlib.sha256(b"|u1(2, 2)" + image.tobytes()).hexdigest() for image in images]
    rows = [["test/0", "test", 1, hashes[0]], ["test/1", "test", 0, hashes[1]]]
    assert dataset.fingerprint == hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def test_fingerprint_sees_a_pixel_a_label_and_a_split(tmp_path):
    """Another place leaves the fingerprint alone; another pixel, label or split changes it."""
    images, labels = bar_images(4, 0)
    other = images.copy()
    other[0, 0, 0] ^= 1

    def mark(name, split, x, y):
        return load_dataset(_npz(tmp_path / name, **{f"{split}_images": x, f"{split}_labels": y}), TASK).fingerprint

    marks = [
        mark("a.npz", "test", images, labels), mark("b.npz", "test", other, labels),
        mark("c.npz", "test", images, labels[::-1].copy()), mark("d.npz", "val", images, labels),
    ]  # fmt: skip
    assert len(set(marks)) == 4
    assert mark("e.npz", "test", images, labels) == marks[0]


def test_tensors_are_the_apps_tensors_in_the_datasets_order(bars_npz):
    """Row i of `tensors` is `preprocess` of case i, for a grey and for a three-channel network."""
    dataset = load_dataset(bars_npz, TASK)
    for name in ("small-cnn", "resnet18"):
        spec = get_architecture(name).preprocessing(32)
        x, y = tensors(dataset, "val", spec)
        assert x.shape == (32, spec.channels, 32, 32)
        assert y.tolist() == [case.label for case in dataset.split("val")]
        for i in (0, 31):
            assert x[i].equal(preprocess(dataset.split("val")[i].load(), spec))


def test_tensors_beyond_the_memory_budget_are_mapped_and_equal(bars_npz, tmp_path, monkeypatch):
    """Above the budget the same values come from a file, which is written once and then found again."""
    dataset, spec = load_dataset(bars_npz, TASK), get_architecture("small-cnn").preprocessing(32)
    expected, labels = tensors(dataset, "val", spec)
    monkeypatch.setenv("TUMORTRACE_HOME", str(tmp_path))
    monkeypatch.setattr(sys.modules["core.datasets.tensors"], "MEMORY_BYTES", expected.numel() * 4 - 1)
    seen = []
    for _ in range(2):
        x, y = tensors(dataset, "val", spec, lambda *a: seen.append(a))
        assert x.equal(expected)
        assert y.equal(labels)
    assert len(seen) == 1
    (file,) = (tmp_path / "tensors").iterdir()
    assert file.stat().st_size == expected.numel() * 4
    other = get_architecture("small-cnn").preprocessing(33)
    tensors(dataset, "val", other)
    assert len(list((tmp_path / "tensors").iterdir())) == 2


def test_a_mapped_tensor_is_whole_or_not_there(bars_npz, tmp_path, monkeypatch):
    """A picture that cannot be read leaves no file behind, nor half of one."""
    dataset, spec = load_dataset(bars_npz, TASK), get_architecture("small-cnn").preprocessing(32)
    monkeypatch.setenv("TUMORTRACE_HOME", str(tmp_path))
    monkeypatch.setattr(sys.modules["core.datasets.tensors"], "MEMORY_BYTES", 0)

    def absent():
        raise Refused("The picture is absent.")

    broken = replace(dataset, cases=(*dataset.cases[:-1], replace(dataset.cases[-1], load=absent)))
    with pytest.raises(Refused, match="absent"):
        tensors(broken, broken.cases[-1].split, spec)
    assert list((tmp_path / "tensors").iterdir()) == []


def test_tensors_that_no_disk_holds_are_refused_before_they_are_made(bars_npz):
    """32 images of 131,072 × 131,072 pixels in three channels are 6 TiB: refused with the size."""
    spec = Preprocessing((131_072, 131_072), 3, (0, 0, 0), (1, 1, 1))
    with pytest.raises(Refused, match=r"need 6144\.0 GiB in the home folder"):
        tensors(load_dataset(bars_npz, TASK), "val", spec)


# -- Without leaks -----------------------------------------------------------------------------------------------------


def _case(case_id, split, patient, pixels, label=0):
    return Case(case_id, patient, split, label, pixels, lambda: None)


def _dataset(*cases, remarks=()):
    return Dataset("d", TASK, fingerprint(cases), cases, remarks + find_leaks(cases, ("malignant", "benign")))


def test_without_leaks_drops_training_cases_and_keeps_the_test_split():
    """A picture and a patient shared with test go from train, one shared with test goes from val; remarks stay."""
    kept = [
        _case("a", "train", "1", "p1"),
        _case("e", "val", "5", "p5"),
        _case("g", "test", "7", "p7"),
        _case("h", "test", "8", ""),
    ]
    gone = [
        _case("b", "train", "2", "p7"),  # the picture of test case g
        _case("c", "train", "8", "p3"),  # the patient of test case h
        _case("d", "train", "5", "p4"),  # the patient of validation case e
        _case("f", "val", "6", "p7"),
    ]  # fmt: skip
    dataset = _dataset(*kept, *gone, remarks=("A remark.",))
    clean, left_out = without_leaks(dataset)
    assert left_out == ("b", "c", "d", "f")
    assert clean.cases == tuple(kept)
    assert clean.leaks == ("A remark.",)
    assert clean.fingerprint == fingerprint(kept) != dataset.fingerprint


def test_without_leaks_leaves_a_clean_dataset_alone():
    """Nothing leaks: the same dataset. Cases without pictures do not count as one picture."""
    dataset = _dataset(_case("a", "train", "1", ""), _case("b", "test", "2", ""))
    assert without_leaks(dataset) == (dataset, ())


# -- Real data ---------------------------------------------------------------------------------------------------------


@needs_data
@pytest.mark.real_data
def test_breastmnist_loads_and_its_known_leak_is_found():
    """BreastMNIST has 546 / 78 / 156 images, and exactly one picture on two sides, with opposite labels."""
    dataset = load_dataset(DATA / "medmnist" / "breastmnist.npz", TASK)
    assert {s: sum(c.values()) for s, c in dataset.counts().items()} == {"train": 546, "val": 78, "test": 156}
    assert dataset.counts()["test"] == {"malignant": 42, "benign": 114}
    assert dataset.leaks == (
        "train/115 (malignant) and test/76 (benign) are the same picture on two sides, with different labels.",
    )


@needs_data
@pytest.mark.real_data
def test_breakhis_loads_as_a_tree_and_is_split_by_patient(tmp_path):
    """48 patches of 8 patients, put in patient folders, are split with no patient on two sides and no leak."""
    for path in sorted((DATA / "histopathology" / "breakhis").rglob("*.png")):
        folder = tmp_path / path.parent.name / path.stem.rsplit("_", 1)[0]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    dataset = load_dataset(tmp_path, "breast-histopathology")
    assert len(dataset.cases) == 48
    assert all(set(counts.values()) <= {6, 12} for counts in dataset.counts().values())
    assert dataset.leaks == ()
    assert all(case.load().is_colour for case in dataset.cases)


@needs_data
@pytest.mark.real_data
def test_breadm_slices_load_as_a_tree(tmp_path):
    """The 18 BreaDM slices load as split/Class/file: 3 benign, 15 malignant, no picture twice."""
    for path in sorted((DATA / "mri" / "breadm" / "images").glob("*.png")):
        folder = tmp_path / "test" / path.name.split("_")[0].title()
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    dataset = load_dataset(tmp_path, "breast-mri")
    assert dataset.counts() == {"test": {"benign": 3, "malignant": 15}}
    x, _ = tensors(dataset, "test", GREY_2)
    assert x.shape == (18, 1, 2, 2)
    assert -1 <= x.min() < x.max() <= 1


def test_a_grey_image_of_one_level_gives_the_value_computed_on_paper():
    """Level 51 of 255 is 0.2; (0.2 − 0.5) / 0.5 = −0.6 everywhere, whatever the size."""
    pixels = np.full((7, 5), 51, np.uint8)
    x = preprocess(Image(pixels, full_range_window(pixels)), GREY_2)
    np.testing.assert_allclose(x.numpy(), -0.6, atol=1e-6)
