"""`python -m core mrmc`: the same numbers as the function, as JSON and as text, and refusals."""

from __future__ import annotations

import json

import pytest

from core.__main__ import main
from core.statistics.imrmc import write_imrmc
from core.statistics.mrmc import analyse
from core.statistics.mrmc_margin import non_inferiority
from tests.core.readers import as_table, made_study

STUDY = made_study(2, 3, 40, levels=5)


@pytest.fixture
def file(tmp_path):
    """A study as CSV."""
    path = tmp_path / "ratings.csv"
    as_table(STUDY).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("covariance", ["delong", "jackknife", "unbiased"])
def test_json_holds_what_analyse_gives(file, capsys, covariance):
    """Test, means, differences, components and every reader, with every method."""
    assert main(["mrmc", str(file), "--method", covariance, "--json"]) == 0
    found, wanted = json.loads(capsys.readouterr().out), analyse(STUDY, covariance=covariance)
    for kind, analysis in wanted.analyses.items():
        shown = found["analyses"][kind]
        assert (shown["test"]["statistic"], shown["test"]["p"]) == (analysis.test.statistic, analysis.test.p)
        assert shown["modalities"]["m0"]["low"] == analysis.modalities["m0"].low
        assert shown["differences"][0]["value"] == analysis.differences[0].difference.value
    assert found["components"]["cov2"] == wanted.components.cov2
    assert len(found["by_reader"]) == 6
    assert len(found["reader_differences"]) == 3


def test_text_for_people(file, capsys):
    """Three analyses with their intervals and p, and the threshold."""
    assert main(["mrmc", str(file), "--figure", "sensitivity", "--threshold", "3", "--modalities", "m1", "m0"]) == 0
    text = capsys.readouterr().out
    for words in ("at a rating of 3 or more", "Random readers, random cases: F(1,", "chi-square(1)", "m1 − m0", "p = "):
        assert words in text


def test_a_margin_is_tested_one_sided(file, tmp_path, capsys):
    """The numbers of the function, second modality against first, model against readers; two modalities only."""
    assert main(["mrmc", str(file), "--margin", "0.2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["non_inferiority"]
    for kind, analysis in analyse(STUDY).analyses.items():
        wanted = non_inferiority(analysis.differences[0], 0.2, "m1")
        assert (found[kind]["p"], found[kind]["low"], found[kind]["shown"]) == (wanted.p, wanted.low, wanted.shown)
    assert main(["mrmc", str(file), "--margin", "0.2"]) == 0
    assert "m1 not worse than m0 by 0.2 or more (one-sided" in capsys.readouterr().out
    panel = tmp_path / "panel.csv"
    as_table(made_study(1, 4, 40)).drop(columns="modality").to_csv(panel, index=False)
    assert main(["mrmc", str(panel), "--model", "r3", "--margin", "0.1"]) == 0
    assert "model not worse than readers by 0.1" in capsys.readouterr().out
    assert main(["mrmc", str(file), "--margin", "0"]) == 1
    as_table(made_study(3, 3, 40)).to_csv(file, index=False)
    assert main(["mrmc", str(file), "--margin", "0.1"]) == 1
    assert "two modalities, not 3" in capsys.readouterr().err


def test_an_imrmc_file_says_the_same(file, tmp_path, capsys):
    """Both formats give the same JSON."""
    other = tmp_path / "study.imrmc"
    other.write_text(write_imrmc(as_table(STUDY)))
    outputs = []
    for path in (file, other):
        assert main(["mrmc", str(path), "--json"]) == 0
        outputs.append(json.loads(capsys.readouterr().out))
    assert outputs[0] == outputs[1]


def test_a_model_against_readers(tmp_path, capsys):
    """One modality, without the column; as JSON and as text."""
    path = tmp_path / "panel.csv"
    as_table(made_study(1, 4, 40)).drop(columns="modality").to_csv(path, index=False)
    assert main(["mrmc", str(path), "--model", "r3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["by_reader"]) == ["r0", "r1", "r2"]
    assert found["differences"]["readers and cases"]["first"] == "model"
    assert main(["mrmc", str(path), "--model", "r3"]) == 0
    assert "model − readers" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        ("", [], "not a CSV file"),
        ("case,rating\n1,2\n", [], "lacks reader, modality, truth"),
        ("reader,modality,case,truth,rating\n", [], "no rows"),
        ("reader,modality,case,truth,rating\na,x,1,0,2\na,x,2,1\n", [], "Row 3 of the ratings has an empty cell"),
        ("reader,modality,case,truth,rating\na,x,1,0,2\na,x,2,1,3,4,5\n", [], "not a CSV file"),
        ("reader,modality,case,truth,rating\na,x,1,0,2\n", ["--model", "a", "--modalities", "x"], "no meaning"),
        ("\x00\x01", [], "lacks"),
    ],
)
def test_wrong_files_are_one_sentence_and_status_1(tmp_path, capsys, text, arguments, words):
    """Never a traceback."""
    path = tmp_path / "wrong.csv"
    path.write_text(text)
    assert main(["mrmc", str(path), *arguments]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("Refused: ")
    assert error.count("\n") == 1


def test_an_absent_file_and_bytes_that_are_no_text(tmp_path, capsys):
    """Named in the sentence."""
    assert main(["mrmc", str(tmp_path / "none.csv")]) == 1
    assert "There is no file" in capsys.readouterr().err
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00reader")
    assert main(["mrmc", str(tmp_path / "bytes.csv")]) == 1
    assert "cannot be read as text" in capsys.readouterr().err
