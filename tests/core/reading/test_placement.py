"""Pictures without a header: what folders and tables say of them, and that reviewers are not told the answer."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from core.reading import Outcome, Source, read_exams, read_uploads
from core.reading.placement import read_table
from core.reading.terms import view_words
from core.records import Study
from tests.core.dicom_factory import make_dicom

SECRET = b"secret"


def png(level: int) -> bytes:
    """A 2 × 2 picture of one grey level."""
    stream = io.BytesIO()
    Pillow.fromarray(np.full((2, 2), level, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def studies(files: Mapping[str, bytes], task: str = "", *, zipped: bool = False) -> list[Study]:
    """The studies of files with folders in their names, uploaded one by one or as one ZIP."""
    return [study for outcome in outcomes(files, task, zipped=zipped) for study in outcome.studies]


def outcomes(files: Mapping[str, bytes], task: str = "", *, zipped: bool = False) -> list[Outcome]:
    """What every file became."""
    if zipped:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        files = {"upload.zip": stream.getvalue()}
    return read_uploads(files.items(), task=task, secret=SECRET, trusted=True)


TREE = {
    "BreaDM/test/Benign/BreaDM-Be-1813/SUB2/p-010.png": png(3),
    "BreaDM/test/Benign/BreaDM-Be-1813/SUB2/p-9.png": png(2),
    "BreaDM/test/Benign/BreaDM-Be-1813/SUB1/p-017.png": png(1),
    "BreaDM/test/Malignant/BreaDM-Ma-1/SUB1/p-001.png": png(4),
    "BreaDM/train/Malignant/BreaDM-Ma-1/SUB1/p-001.png": png(5),
}


@pytest.mark.parametrize("zipped", [False, True])
def test_a_folder_tree_becomes_a_study_for_each_patient(zipped: bool) -> None:
    """split/Class/Patient/Sequence/file: sequences are series, files their slices in natural order; classes are kept."""
    benign, malignant, other_split = studies(TREE, "breast-mri", zipped=zipped)
    places = [(i.pixels[0, 0], i.view, i.series, i.slice) for i in benign.images]
    assert places == [(1, "SUB1", 0, 0), (2, "SUB2", 1, 0), (3, "SUB2", 1, 1)]
    assert [study.reference_standard for study in (benign, malignant, other_split)] == [
        "benign",
        "malignant",
        "malignant",
    ]
    assert [study.metadata["split"] for study in (benign, malignant, other_split)] == ["test", "test", "train"]
    assert malignant.patient_id == other_split.patient_id != benign.patient_id


def test_neither_patient_nor_class_stands_in_a_study() -> None:
    """A study of a tree shows a pseudonym; without a patient folder its name does not tell its class."""
    for study in studies(TREE, "breast-mri"):
        shown = f"{study.name} {study.patient_id} {study.metadata}".lower()
        assert "breadm" not in shown
        assert "benign" not in shown
        assert "malignant" not in shown
    (told,) = studies({"benign/benign (12).png": png(1)}, "breast-ultrasound")
    (plain,) = studies({"benign/case 12.png": png(1)}, "breast-ultrasound")
    assert (told.name, plain.name) == (told.id[:8], "case 12")
    assert told.reference_standard == plain.reference_standard == "benign"


def test_without_task_or_class_folders_every_picture_is_a_study() -> None:
    """Folders mean something only under a task that has such classes."""
    assert len(studies(TREE)) == len(TREE)
    assert {study.reference_standard for study in studies(TREE)} == {None}
    assert [study.reference_standard for study in studies({"left/P1/a.png": png(1)}, "breast-mri")] == [None]


def test_parts_say_which_study_they_belong_to() -> None:
    """Every file has its own outcome with its own picture; only the first carries the study."""
    first, second, *_ = sorted(outcomes(TREE, "breast-mri"), key=lambda outcome: outcome.position)
    assert [len(first.studies), len(second.studies)] == [1, 0]
    assert second.study_id == first.study_id
    assert second.note == f"part of study {first.studies[0].name}"
    assert second.images[0].pixels[0, 0] == 2


RSNA = (
    "site_id,patient_id,image_id,laterality,view,age,cancer,biopsy,invasive,BIRADS,implant,density,machine_id\n"
    "1,100,11,L,CC,61.0,0,0,0,1.0,0,C,29\n"
    "1,100,12,R,MLO,61.0,1,1,1,0.0,0,C,29\n"
    "1,100,13,R,CC,61.0,1,1,1,0.0,0,C,29\n"
    "2,200,21,L,MLO,,0,0,0,,1,,29\n"
)


@pytest.mark.parametrize("zipped", [False, True])
def test_the_rsna_table_makes_a_study_of_each_patient(zipped: bool) -> None:
    """Right before left and CC before MLO; age, density, implant and BI-RADS are kept, the outcome only as the standard."""
    files = {f"x/100_{image}.png": png(image) for image in (11, 12, 13)}
    files |= {"x/train.csv": RSNA.encode(), "x/200_21.png": png(21)}
    one, two = studies(files, zipped=zipped)
    assert [(i.pixels[0, 0], i.laterality, i.view) for i in one.images] == [
        (13, "R", "CC"),
        (11, "L", "CC"),
        (12, "R", "MLO"),
    ]
    assert (one.task, one.modality, one.reference_standard) == ("mammography", "MG", "cancer")
    facts = {"patient_age": "061Y", "density": "C", "implant": False, "birads": ["0", "1", "0"], "site": "1"}
    assert {key: one.metadata[key] for key in facts} == facts
    assert (two.reference_standard, two.metadata["implant"]) == ("normal", True)
    assert not {"density", "patient_age", "birads", "cancer", "biopsy"} & two.metadata.keys()
    assert one.name.startswith("MG P-")
    assert "100" not in f"{one.patient_id}{one.metadata}"


def test_the_table_itself_is_no_study() -> None:
    """It is read, says so, and refuses nothing; pictures that it does not name stay as they are."""
    files = {"train.csv": RSNA.encode(), "other.png": png(1)}
    table, picture = outcomes(files, "breast-mri")
    assert (table.studies, table.rejected) == ((), None)
    assert "table" in table.note
    assert (picture.studies[0].task, picture.studies[0].patient_id) == ("breast-mri", "")


def test_a_table_of_files_and_labels_works_too() -> None:
    """`file`, `label` and `patient_id`, as datasets have it; a file named twice is left alone."""
    table = (
        b"file,label,patient_id\nimages/a.png,malignant,P1\nb.png,benign,P1\nc.png,benign,P2\nd/c.png,malignant,P3\n"
    )
    files = {"labels.csv": table, "a.png": png(1), "b.png": png(2), "c.png": png(3)}
    joined, alone = studies(files, "breast-ultrasound")
    assert (len(joined.images), joined.reference_standard) == (2, "malignant")
    assert (alone.name, alone.reference_standard) == ("c", None)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", b""),
        ("a.csv", b"x,y\n1,2\n"),
        ("a.csv", b"\xff\xfe"),
        ("a.txt", RSNA.encode()),
        ("a.csv", b"file\na.png\n"),
    ],
)
def test_other_files_are_no_table(name: str, data: bytes) -> None:
    """Empty, other columns, not UTF-8, another extension, or nothing said of the files."""
    assert read_table(name, data) is None


def test_folders_and_tables_speak_for_dicom_too() -> None:
    """A DICOM study keeps its own patient and facts, and gains the reference standard."""
    files = {"test/Malignant/P1/a.dcm": make_dicom(np.zeros((2, 2), np.uint8))}
    (study,) = studies(files, "breast-mri")
    assert study.reference_standard == "malignant"
    assert study.metadata["split"] == "test"
    (plain,) = studies({"a.dcm": files["test/Malignant/P1/a.dcm"]}, "breast-mri")
    assert (study.id, plain.reference_standard) == (plain.id, None)


def test_a_folder_on_disk_is_read_like_an_upload(tmp_path: Path) -> None:
    """Sources below a folder carry its tree in their names."""
    for name, data in TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    sources = [Source.of_path(path, tmp_path) for path in sorted(tmp_path.rglob("*.png"))]
    exams = list(read_exams(sources, task="breast-mri", secret=SECRET, trusted=True))
    found = [study for exam in exams for outcome in exam for study in outcome.studies]
    assert {study.id for study in found} == {study.id for study in studies(TREE, "breast-mri")}


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("SUB2", "SUB2"),
        ("T1 post", "T1 post"),
        ("mlo", "mlo"),
        ("17", "17"),
        ("Zebra", ""),
        ("SUB20250101", ""),
        ("T1 Zebra", ""),
    ],
)
def test_only_words_of_imaging_are_kept_as_a_view(said, kept):
    """A folder can be called after a patient or a birthday: then its name is not kept."""
    assert view_words(said) == kept


def test_a_source_is_loaded_once() -> None:
    """An upload gives its bytes only once: a table too, though it is needed before the pictures and in its own place."""

    def once(name: str, data: bytes) -> Source:
        held = [data]
        return Source(name, held.pop, lambda: held[0][:1000])

    sources = [once("100_11.png", png(1)), once("train.csv", RSNA.encode())]
    picture, table = (outcome for exam in read_exams(sources, secret=SECRET, trusted=True) for outcome in exam)
    assert (picture.rejected, table.rejected) == (None, None)
    assert picture.studies[0].reference_standard == "normal"
