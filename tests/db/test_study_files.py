"""Finished reader studies as files, by the terminal's commands: out with pseudonyms, in again whole, refused in one sentence."""

import json

import pandas as pd
import pytest

from core.statistics.imrmc import read_imrmc
from db import engine, imported_studies
from db.__main__ import main as db
from tests.db.test_study_results import closed_study


def test_what_is_exported_comes_in_again_as_it_was(store, tmp_path, capsys):
    """CSV and Parquet hold the same readings without names; one of them, imported, is the study, and twice doubles nothing."""
    closed_study(readers=("Ann", "Bob"))
    table, parquet = tmp_path / "out.csv", tmp_path / "out.parquet"
    assert db(["export-study", "SEQUENTIAL study", "--out", str(table), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["readings"] == 2 * 2 * 3
    assert db(["export-study", "1", "--out", str(parquet)]) == 0
    rows = pd.read_csv(table)
    assert set(rows["reader"]) == {"R01", "R02"}
    assert rows["comment"].isna().all()
    assert "Ann" not in table.read_text()
    assert list(pd.read_parquet(parquet)["label"]) == list(rows["label"])
    capsys.readouterr()
    command = ["import-study", str(table), "--task", "breast-mri", "--name", "From there", "--json"]
    known = rows.assign(truth="malignant")
    known.to_csv(table, index=False)
    assert db(command) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["readings"], facts["readers"], facts["stored"]) == (12, 2, True)
    assert db(command) == 0
    assert json.loads(capsys.readouterr().out) == {"stored": False}
    with engine.read() as session:
        (stored,) = imported_studies.list_imported_studies(session)
    assert (stored.name, stored.imported_by, stored.rows) == ("From there", "terminal", 12)


def test_an_imported_study_goes_out_as_imrmc(store, tmp_path, capsys):
    """Two cases of each class: ratings, truth and pseudonyms are those of the file that came in."""
    given = pd.DataFrame(
        [
            {"case": f"c{c}", "reader": r, "phase": p, "label": t, "likelihood": 10 * c + i, "truth": t}
            for c, t in enumerate(["benign", "benign", "malignant", "malignant"])
            for i, r in enumerate(["R1", "R2"])
            for p in ("unaided", "aided")
        ]
    )
    given.to_csv(tmp_path / "in.csv", index=False)
    assert db(["import-study", str(tmp_path / "in.csv"), "--task", "breast-mri"]) == 0
    out = tmp_path / "out.imrmc"
    assert db(["export-study", "in", "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["readings"], told["readers"], told["left_out"], told["rating"]) == (16, 2, 0, "likelihood")
    table = read_imrmc(out.read_text())
    assert len(table) == 16
    assert dict(zip(table["case"], table["truth"], strict=True)) == {"c0": 0, "c1": 0, "c2": 1, "c3": 1}
    assert set(table["reader"]) == {"R1", "R2"}


def test_the_command_tells_what_the_imrmc_file_holds(store, tmp_path, capsys):
    """One reader of two gave likelihoods, of three cases in one phase: three readings of one reader are written, nine are not."""
    rows = [
        {"case": f"c{c}", "reader": r, "phase": p, "label": t, "likelihood": 10 * c if r == "R1" and p == "aided" else None,
         "truth": t}
        for c, t in enumerate(["benign", "malignant", "malignant"]) for r in ("R1", "R2") for p in ("unaided", "aided")
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "in.csv", index=False)
    assert db(["import-study", str(tmp_path / "in.csv"), "--task", "breast-mri"]) == 0
    out = tmp_path / "out.imrmc"
    assert db(["export-study", "in", "--out", str(out)]) == 0
    assert "3 readings of 1 reader, rating: likelihood; 9 left out" in capsys.readouterr().out
    assert len(read_imrmc(out.read_text())) == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["export-study", "none", "--out", "x.csv"], "no reader study called 'none'"),
        (["export-study", "1", "--out", "x.txt"], "The file's ending"),
        (["import-study", "none.csv", "--task", "breast-mri"], "No such file"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(store, capsys, arguments, sentence):
    """Exit status 1, and nothing else is printed."""
    closed_study(1)
    assert db(arguments) == 1
    assert sentence in capsys.readouterr().err
