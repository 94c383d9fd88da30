"""`python -m core agreement`: the same numbers as the functions, as JSON and as text, and refusals."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from core.__main__ import main
from core.statistics.agreement_summary import agreement_summary
from core.statistics.agreement_table import ratings_table


@pytest.fixture
def file(tmp_path):
    """Three readers' scores of 1–4 with gaps; reader r0 repeats ten cases."""
    rng = np.random.default_rng(1)
    truth = rng.integers(1, 5, 40)
    rows = [(f"c{i}", f"r{j}", int(np.clip(truth[i] + rng.integers(-1, 2), 1, 4))) for i in range(40) for j in range(3)]
    rows = [row for k, row in enumerate(rows) if k % 11] + [(f"c{i}", "r0", int(truth[i])) for i in range(1, 11)]
    path = tmp_path / "ratings.csv"
    pd.DataFrame(rows, columns=["case", "reader", "rating"]).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_json_holds_what_the_summary_gives(file, capsys, level):
    """Every coefficient, three pairs twice, and at the interval level limits of agreement."""
    assert main(["agreement", str(file), "--level", level, "--repeats", "--positive", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    table = pd.read_csv(file).drop_duplicates(["case", "reader"])
    wanted = agreement_summary(ratings_table(table), level, "4")
    assert {name: row["value"] for name, row in found["agreement"].items()} == {k: e.value for k, e in wanted.items()}
    assert len(found["pairs"]) == 6
    assert ("limits_of_agreement" in found) == (level == "interval")
    assert set(found["repeats"]) == {"r0", "all readers"}
    assert found["repeats"]["r0"]["raw"]["n"] == found["repeats"]["all readers"]["AC1"]["n"] > 0
    assert ("ICC(2,1)" in found["repeats"]["r0"]) == (level == "interval")


def test_text_for_people(file, capsys):
    """A table with intervals and n, pairs, limits and repeats."""
    assert main(["agreement", str(file), "--level", "interval", "--repeats"]) == 0
    text = capsys.readouterr().out
    for words in ("Krippendorff's alpha, interval", "ICC(2,1)", "Two by two", "Limits of agreement", "Repeats", "n = "):
        assert words in text


def test_one_reader_is_undefined_not_an_error(tmp_path, capsys):
    """Nothing to compare with."""
    path = tmp_path / "one.csv"
    path.write_text("case,reader,rating\n1,a,x\n2,a,y\n")
    assert main(["agreement", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["agreement"]["Fleiss' kappa"]["value"] is None
    assert found["agreement"]["Fleiss' kappa"]["reason"]
    assert main(["agreement", str(path)]) == 0
    assert "undefined" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        ("", [], "not a CSV file"),
        ("case,rater,rating\n1,a,x\n", [], "lacks reader"),
        ("case,reader,rating\n", [], "no rows"),
        ("case,reader,rating\n1,a,\n", [], "no ratings"),
        ("case,reader,rating\n1,a,x\n1,a,y\n", [], "twice"),
        ("case,reader,rating\n1,a,x\n1,b,y\n", ["--level", "interval"], "numbers"),
        ("case,reader,rating\n1,a,x\n1,b,y\n", ["--positive", "z"], "No rating is 'z'"),
        ("case,reader,rating\n1,a,x\n1,b,y\n", ["--categories", "x"], "'y' is none of x"),
    ],
)
def test_wrong_files_are_one_sentence_and_status_1(tmp_path, capsys, text, arguments, words):
    """Never a traceback."""
    path = tmp_path / "wrong.csv"
    path.write_text(text)
    assert main(["agreement", str(path), *arguments]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("Refused: ")
    assert error.count("\n") == 1
