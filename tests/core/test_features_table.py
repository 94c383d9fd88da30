"""Files -> one table: the command, its workers, and its three kinds of file."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from core.__main__ import main
from core.features import extract
from core.features.table import as_frame, measure_files, read_table
from core.reading import read_upload
from core.records import Refused
from tests.core.bars import write_bars_npz, write_png

FAMILIES = ("intensity", "mvm-lbp")


@pytest.fixture
def folder(tmp_path):
    """Benign and malignant pictures, one file that is no picture and one hidden file."""
    rng = np.random.default_rng(0)
    for name in ("Malignant/P1/b.png", "Malignant/P1/a.png", "benign/P2/c.png", "d.png"):
        write_png(tmp_path / "data" / name, rng.integers(0, 256, (16, 12)).astype(np.uint8))
    (tmp_path / "data" / "benign" / "notes.txt").write_text("nothing to see")
    (tmp_path / "data" / ".hidden.png").write_text("nothing to see")
    return tmp_path / "data"


def test_rows_come_in_the_order_of_the_files(folder):
    """Sorted within folders, whatever worker was first; two processes give what one gives."""
    alone = measure_files([folder], FAMILIES, task="breast-ultrasound", workers=1)
    shared = measure_files([folder], FAMILIES, task="breast-ultrasound", workers=2)
    names = [row.file.removeprefix(f"{folder}/") for row in shared.rows]
    assert names == ["Malignant/P1/a.png", "Malignant/P1/b.png", "benign/P2/c.png", "d.png"]
    pd.testing.assert_frame_equal(as_frame(alone.rows), as_frame(shared.rows))
    assert alone.refused == shared.refused


def test_a_file_that_is_no_picture_is_named_and_the_rest_measured(folder):
    """One refusal with its reason; hidden files are passed over."""
    measured = measure_files([folder], FAMILIES, workers=1)
    assert len(measured.rows) == 4
    ((name, reason),) = measured.refused
    assert name.endswith("notes.txt")
    assert "not a picture" in reason


def test_folders_named_like_classes_give_the_reference_standard(folder):
    """Any case; a file outside such a folder has none, and without a task nobody guesses."""
    rows = measure_files([folder], FAMILIES, task="breast-ultrasound", workers=1).rows
    assert [row.reference_standard for row in rows] == ["malignant", "malignant", "benign", ""]
    assert {row.reference_standard for row in measure_files([folder], FAMILIES, workers=1).rows} == {""}


def test_rows_hold_the_features_of_their_image(folder):
    """The numbers are those of `extract` on the file's image."""
    path = folder / "d.png"
    (row,) = measure_files([path], FAMILIES, workers=1).rows
    image = read_upload(path.name, path.read_bytes())[0].images[0]
    np.testing.assert_array_equal(row.features.values, extract(image, FAMILIES).values)
    assert row.image_hash == image.content_hash


def test_every_image_of_a_file_is_a_row(tmp_path):
    """An NPZ of 5 + 4 + 3 pictures is twelve rows, counted from 1, with its own labels."""
    path = write_bars_npz(tmp_path / "bars.npz", 5, 4, 3)
    rows = measure_files([path], ["intensity"], task="breast-ultrasound", workers=1).rows
    assert [row.image for row in rows] == list(range(1, 13))
    assert [row.reference_standard for row in rows[:2]] == ["malignant", "benign"]


@pytest.mark.parametrize("kind", ["json", "csv", "parquet"])
def test_the_command_writes_a_table_that_reads_back(folder, tmp_path, capsys, kind):
    """Each kind gives the same table; a refused file is named on standard error and the exit status is 1."""
    out = tmp_path / f"table.{kind}"
    command = ["features", str(folder), f"--{kind}", str(out), "--families", *FAMILIES, "--task", "breast-ultrasound"]
    assert main([*command, "--workers", "1"]) == 1
    said = capsys.readouterr()
    assert "notes.txt: refused." in said.err
    assert "4 image(s), 59 features each" in said.out
    expected = as_frame(measure_files([folder], FAMILIES, task="breast-ultrasound", workers=1).rows)
    pd.testing.assert_frame_equal(read_table(out.name, out.read_bytes()), expected, check_dtype=False)


def test_units_travel_with_the_table(folder, tmp_path):
    """JSON says them once, Parquet in each field."""
    for kind in ("json", "parquet"):
        assert (
            main(["features", str(folder / "d.png"), f"--{kind}", str(tmp_path / f"t.{kind}"), "--workers", "1"]) == 0
        )
    assert json.loads((tmp_path / "t.json").read_text())["units"]["intensity.entropy"] == "bit"
    field = pq.read_schema(tmp_path / "t.parquet").field("intensity.mean")
    assert field.metadata[b"unit"] == b"brightness, 0\xe2\x80\x931"


def test_undefined_is_null_or_empty(tmp_path):
    """A flat picture's skewness is null in JSON and reads back as missing from every kind."""
    path = write_png(tmp_path / "flat.png", np.full((9, 9), 3, np.uint8))
    for kind in ("json", "csv", "parquet"):
        out = tmp_path / f"t.{kind}"
        main(["features", str(path), f"--{kind}", str(out), "--families", "intensity", "--workers", "1"])
        assert read_table(out.name, out.read_bytes())["intensity.skewness"].isna().all()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--families", "sift"], "no feature family 'sift'"),
        (["--workers", "0"], "At least one worker"),
    ],
)
def test_wrong_arguments_are_one_sentence(folder, tmp_path, capsys, arguments, says):
    """Nothing is written, and the exit status is 1."""
    out = tmp_path / "t.csv"
    assert main(["features", str(folder), "--csv", str(out), *arguments]) == 1
    assert says in capsys.readouterr().err
    assert not out.exists()


def test_nothing_to_measure_writes_nothing(tmp_path, capsys):
    """An empty folder, a file that is no picture, and a folder to write into that is not there."""
    (tmp_path / "empty").mkdir()
    assert main(["features", str(tmp_path / "empty"), "--csv", str(tmp_path / "t.csv")]) == 1
    (tmp_path / "x.png").write_text("no picture")
    assert main(["features", str(tmp_path / "x.png"), "--csv", str(tmp_path / "t.csv")]) == 1
    assert main(["features", str(tmp_path / "x.png"), "--csv", str(tmp_path / "absent" / "t.csv")]) == 1
    said = capsys.readouterr().err
    assert "no file to measure" in said
    assert "Nothing was written" in said
    assert "There is no folder" in said
    assert not (tmp_path / "t.csv").exists()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("t.csv", b"a,b\n1,2\n"),
        ("t.csv", b"\xff\xfe\x00"),
        ("t.json", b"{}"),
        ("t.json", b"[1]"),
        ("t.parquet", b"PAR1 not"),
        ("t.parquet", b""),
    ],
)
def test_other_files_are_no_feature_tables(name, data):
    """What a user can send is refused in one sentence that names the file."""
    with pytest.raises(Refused, match=name):
        read_table(name, data)
