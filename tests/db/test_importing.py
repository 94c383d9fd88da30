"""Imports: exam by exam, whole or not at all, and repeatable."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from core.reading import Source
from db import engine, pixels, studies
from db.__main__ import main as db
from db.importing import Tally, import_exams
from tests.core.dicom_factory import make_dicom
from tests.core.reading.samples import NARROW, npz, picture, zipped


def sources(count):
    """Pictures, no two alike, and a damaged file in the middle."""
    files = [Source.of_bytes(f"{n}.png", picture(NARROW + n, "PNG")) for n in range(count)]
    return [*files[: count // 2], Source.of_bytes("bad.png", b"\x89PNG\r\n\x1a\n"), *files[count // 2 :]]


def stored():
    """How many studies there are."""
    with engine.read() as session:
        return studies.count_studies(session)


def test_a_stopped_import_is_taken_up_again(store):
    """What was given is stored when the import ends early; repeating it stores the rest and doubles nothing."""
    running = import_exams(sources(6), "breast-mri", by="Anna")
    assert {next(running)[0].result for _ in range(2)} <= {"Stored", "Held"}
    running.close()
    assert stored() == 2
    tally = Tally(7)
    for exam in import_exams(sources(6), "breast-mri", by="Anna"):
        for imported in exam:
            tally.count(imported)
    assert (stored(), tally.stored, tally.known) == (6, 4, 2)
    assert [name for name, _ in tally.refused] == ["bad.png"]
    assert tally.fraction == 1
    assert tally.text.startswith("7 of 7 files")
    assert tally.summary.startswith("7 files: 4 studies stored")
    assert tally.summary.endswith("2 already there, 1 refused.")


def archive(first: int = 0) -> bytes:
    """Two exams of two slices each, mixed, and two pictures: six files, four studies."""
    files = {}
    for n in range(2):
        for exam in range(2):
            values = NARROW + (first + 10 * exam + n)
            files[f"e{exam}/{n}"] = make_dicom(values, StudyInstanceUID=f"1.2.{first}.{exam}", InstanceNumber=n)
        files[f"p{n}.png"] = picture(NARROW + (first + 50 + n), "PNG")
    return zipped(files)


def test_a_zip_is_stored_exam_by_exam_and_taken_up_again(store):
    """Stopped after its first exam, that exam is stored whole and nothing else; repeated, the rest comes and nothing doubles."""
    source = Source.of_bytes("all.zip", archive())
    running = import_exams([source], "breast-mri", by="Anna")
    assert [imported.name for imported in next(running)] == ["all.zip › 0", "all.zip › 1"]
    running.close()
    assert stored() == 1
    with engine.read() as session:
        (row,) = studies.list_worklist(session, studies.WorklistQuery("Anna"))["id"]
        assert len(studies.get_study_summary(session, row).images) == 2
    tally = Tally(1)
    for exam in import_exams([source], "breast-mri", by="Anna"):
        for imported in exam:
            tally.count(imported)
    assert (stored(), tally.stored, tally.known) == (4, 3, 1)
    assert tally.summary == "6 files: 3 studies stored, 1 already there, 0 refused."


def test_progress_counts_what_a_zip_holds_and_never_falls(store):
    """Two ZIPs of six files and a picture: 2 of 8 … 13 of 13, each exam a step; the bar only grows."""
    tally = Tally(3)
    seen = []
    files = [("a.zip", archive()), ("b.png", picture(NARROW + 99, "PNG")), ("c.zip", archive(100))]
    for exam in import_exams([Source.of_bytes(*file) for file in files], "breast-mri", by="Anna"):
        for imported in exam:
            tally.count(imported)
        seen.append((tally.files, tally.total, tally.fraction))
    assert [files for files, _, _ in seen] == [2, 4, 5, 6, 7, 9, 11, 12, 13]
    assert [total for _, total, _ in seen] == [8] * 5 + [13] * 4
    assert [fraction for _, _, fraction in seen] == sorted(fraction for _, _, fraction in seen)
    assert seen[-1][2] == 1
    assert tally.text.startswith("13 of 13 files")


def test_a_zip_that_cannot_be_read_is_one_refused_file(store):
    """It counts as done, and as one."""
    tally = Tally(2)
    for exam in import_exams([Source.of_bytes("a.zip", archive()[:-30]), *sources(0)], "breast-mri", by="Anna"):
        for imported in exam:
            tally.count(imported)
    assert (tally.files, tally.total, tally.fraction) == (2, 2, 1)
    assert len(tally.refused) == 2


def test_half_written_files_are_removed_once_they_are_old(store):
    """A draft that a killed process left goes; one in the making stays."""
    folder = store / "pixels" / "ab"
    folder.mkdir(parents=True)
    old, young = folder / ".x.gz.1", folder / ".y.gz.2"
    old.touch()
    young.touch()
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    assert pixels.remove_drafts() == 1
    assert (old.exists(), young.exists()) == (False, True)


@pytest.mark.parametrize("name", ["empty", "nowhere"])
def test_nothing_to_import_is_said(store, tmp_path, capsys, name):
    """An empty folder and an absent one are refused in one sentence."""
    (tmp_path / "empty").mkdir()
    assert db(["import", str(tmp_path / name)]) == 1
    assert capsys.readouterr().err.startswith("Refused: There ")


def test_a_part_of_an_npz_is_imported(store, tmp_path, capsys):
    """Two of five images of one split become studies; a range that makes no sense is refused before anything is read."""
    data = npz(test_images=np.arange(20, dtype=np.uint8).reshape(5, 2, 2), train_images=np.ones((3, 2, 2), np.uint8))
    (tmp_path / "x.npz").write_bytes(data)
    command = ["import", str(tmp_path / "x.npz"), "--task", "breast-ultrasound"]
    assert db([*command, "--range", "9"]) == 1
    assert db([*command, "--split", "test", "--range", "1:3"]) == 0
    assert stored() == 2
    assert "2 stored" in capsys.readouterr().out
