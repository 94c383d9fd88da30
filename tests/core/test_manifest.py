"""CSV manifests become datasets: the RSNA columns, the general ones, pictures that are there or absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.datasets import load_dataset, tensors
from core.preprocess import Preprocessing
from core.records import Refused
from tests.core.bars import TASK, bar_images, write_png

RSNA = (
    "site_id,patient_id,image_id,laterality,view,age,cancer,biopsy,invasive,BIRADS,implant,density,machine_id,"
    "difficult_negative_case"
)


def _csv(folder: Path, *lines: str, name: str = "set.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def _rsna_rows(patients: int) -> list[str]:
    """Two rows per patient; every third patient has cancer in both."""
    return [
        f"1,{p},{p}{view},L,{view},{40 + p}.0,{int(p % 3 == 0)},0,0,{'1.0' if p % 2 else ''},0,,29,False"
        for p in range(1, patients + 1)
        for view in ("CC", "MLO")
    ]


def _bars_manifest(folder: Path, patients: int = 14, extra: str = "") -> Path:
    """A general manifest of two bars per patient, one class per patient, without splits."""
    images, _ = bar_images(2 * patients, 0)
    lines = ["file,label,patient_id,scanner" + extra]
    for i, image in enumerate(images):
        patient = i // 2
        write_png(folder / "pictures" / f"{i:02}.png", image)
        lines.append(f"pictures/{i:02}.png,{'Malignant' if patient % 2 else 'normal'},P{patient},{'AB'[patient % 2]}")
    return _csv(folder, *lines)


def test_rsna_rows_become_cases_with_their_attributes(tmp_path):
    """A row is the case `<patient>_<image>`; what is missing is None, the label is not repeated among the attributes."""
    case = load_dataset(_csv(tmp_path, RSNA, *_rsna_rows(30)), "mammography").cases[2]
    assert (case.case_id, case.patient_id, case.label, case.pixel_hash) == ("2_2CC", "2", 0, "")
    assert case.attributes["age"] == 42.0
    assert case.attributes["BIRADS"] is None
    assert case.attributes["density"] is None
    assert case.attributes["difficult_negative_case"] is False
    assert {"cancer", "patient_id", "split"}.isdisjoint(case.attributes)


def test_an_unsplit_manifest_is_split_by_patient_with_the_classes_in_proportion(tmp_path):
    """Both images of a patient stand on one side, each side has both classes, and a second reading splits alike."""
    path = _csv(tmp_path, RSNA, *_rsna_rows(60))
    first, again = load_dataset(path, "mammography"), load_dataset(path, "mammography")
    sides = pd.DataFrame([(c.patient_id, c.split) for c in first.cases]).groupby(0)[1].nunique()
    assert (sides == 1).all()
    assert set(first.counts()) == {"train", "val", "test"}
    assert all(0 < row["cancer"] / sum(row.values()) < 0.6 for row in first.counts().values())
    assert (first.fingerprint, first.leaks) == (again.fingerprint, ())


def test_pictures_beside_the_table_are_found_and_the_absent_are_refused_in_one_sentence(tmp_path):
    """One picture beside the table, one in `images`, the rest absent: only those two load, and training says why not."""
    image, _ = bar_images(2, 0)
    write_png(tmp_path / "1_1CC.png", image[0])
    write_png(tmp_path / "images" / "1_1MLO.png", image[1])
    dataset = load_dataset(_csv(tmp_path, RSNA, *_rsna_rows(30)), "mammography")
    by_id = {case.case_id: case for case in dataset.cases}
    np.testing.assert_array_equal(by_id["1_1CC"].load().pixels, image[0])
    np.testing.assert_array_equal(by_id["1_1MLO"].load().pixels, image[1])
    assert sum(bool(case.pixel_hash) for case in dataset.cases) == 2
    with pytest.raises(Refused, match="picture of 2_2CC is absent") as refusal:
        by_id["2_2CC"].load()
    assert "\n" not in str(refusal.value)
    with pytest.raises(Refused, match="is absent"):
        tensors(dataset, "train", Preprocessing((8, 8), 1, (0.5,), (0.5,)))


def test_absent_pictures_are_no_duplicates(tmp_path):
    """Cases without pixels share an empty hash, which must not read as the same picture on two sides."""
    assert load_dataset(_csv(tmp_path, RSNA, *_rsna_rows(30)), "mammography").leaks == ()


def test_a_general_manifest_is_read_like_a_folder(tmp_path):
    """Class names in any spelling, the named patients, the pixels of the named file, further columns as attributes."""
    dataset = load_dataset(_bars_manifest(tmp_path), TASK)
    case = dataset.cases[3]
    assert (case.case_id, case.patient_id, case.label) == ("pictures/03.png", "P1", 0)
    assert case.attributes == {"scanner": "B"}
    np.testing.assert_array_equal(case.load().pixels, bar_images(28, 0)[0][3])


def test_a_manifests_own_splits_are_kept_and_leaks_named(tmp_path):
    """`valid` is val; a patient in two splits and a picture in two splits are each said in a sentence."""
    image, _ = bar_images(3, 0)
    for name, pixels in (("a", image[0]), ("b", image[1]), ("c", image[0])):
        write_png(tmp_path / f"{name}.png", pixels)
    path = _csv(
        tmp_path,
        "image,label,patient_id,split",
        "a.png,benign,P,train",
        "b.png,malignant,P,Valid",
        "c.png,benign,Q,test",
    )
    dataset = load_dataset(path, TASK)
    assert [case.split for case in dataset.cases] == ["train", "val", "test"]
    assert dataset.leaks == (
        "Patient P is on two sides: train and val.",
        "a.png and c.png are the same picture on two sides.",
    )


def test_without_patients_every_row_is_its_own_and_the_split_says_so(tmp_path):
    """A manifest that names no patients still splits, with a remark that patients may be on two sides."""
    lines = [f"{i}.png,{'benign' if i % 2 else 'malignant'}" for i in range(40)]
    dataset = load_dataset(_csv(tmp_path, "file,label", *lines), TASK)
    assert len({case.patient_id for case in dataset.cases}) == 40
    assert "names no patients" in dataset.leaks[0]


def test_numbers_stay_names(tmp_path):
    """Patient 007 is not patient 7, and file 1.0 is not file 1."""
    dataset = load_dataset(_csv(tmp_path, "file,label,patient_id,split", "1.0,benign,007,test"), TASK)
    assert (dataset.cases[0].case_id, dataset.cases[0].patient_id) == ("1.0", "007")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["file,patient_id", "a.png,P"], "needs rows with the columns"),
        (["file,label"], "needs rows with the columns"),
        (["name,label", "a.png,benign"], "needs rows with the columns"),
        (["file,label", "a.png,cyst"], "'cyst' is not a class"),
        (["file,label", "a.png,benign", "b.png,"], "row 3 has no label"),
        (["file,label", ",benign"], "row 2 names no picture"),
        (["file,label", "a.png,benign", "a.png,malignant"], "names a.png twice"),
        (["file,label,split", "a.png,benign,holdout"], "'holdout' is not a split"),
        (["file,label", "../a.png,benign"], "not in its own folder"),
        (["file,label", "x/../../a.png,benign"], "not in its own folder"),
        (["file,label", "/etc/passwd,benign"], "not in its own folder"),
        (["file,label", "C:\\a.png,benign"], "not in its own folder"),
        (["file,label", 'a.png,"benign'], "cannot be read as a CSV"),
    ],
)
def test_other_tables_are_refused_in_one_sentence(tmp_path, lines, words):
    """Missing columns, rows, labels, unknown classes and splits, repeated names, and files outside the table's folder."""
    with pytest.raises(Refused, match=words) as refusal:
        load_dataset(_csv(tmp_path, *lines), TASK)
    assert "\n" not in str(refusal.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    """A picture renamed to .csv is refused, not guessed at."""
    (tmp_path / "x.csv").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe" * 20)
    with pytest.raises(Refused, match=r"x\.csv"):
        load_dataset(tmp_path / "x.csv", TASK)


def test_an_unreadable_picture_is_named(tmp_path):
    """A file that is there but no image stops the reading with its name."""
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(Refused, match=r"a\.png cannot be read"):
        load_dataset(_csv(tmp_path, "file,label", "a.png,benign"), TASK)
