"""`python -m core metrics` and `compare`, as people script against them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from core.__main__ import main


def predictions(
    path: Path, *, seed: int = 0, n: int = 60, per_patient: int = 1, classes=("benign", "malignant")
) -> Path:
    """A CSV of a fair model whose labels do not depend on the seed."""
    labels = np.arange(n) % len(classes)
    logits = np.random.default_rng(seed).normal(size=(n, len(classes))) + 1.5 * np.eye(len(classes))[labels]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    table = {
        "case_id": [f"c{i}" for i in range(n)],
        "patient_id": [f"p{i // per_patient}" for i in range(n)],
        "label": [classes[k] for k in labels],
        **{f"prob_{name}": p[:, k] for k, name in enumerate(classes)},
    }
    pd.DataFrame(table).to_csv(path, index=False)
    return path


def run(*words: object) -> int:
    """Exit status of the program with these arguments."""
    return main([str(word) for word in words])


def refusal(capsys, *words: object) -> str:
    """The one sentence on standard error of a command that was refused."""
    assert run(*words) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    return said.err


@pytest.mark.parametrize("names", [("benign", "malignant"), ("cancer", "normal"), ("Negative", "Positive")])
def test_metrics_as_json_are_scikit_learns(names, tmp_path, capsys):
    """AUC, accuracy, sensitivity and Brier score are scikit-learn's, the positive class found by its name, each with n."""
    file = predictions(tmp_path / "p.csv", classes=names)
    assert run("metrics", file, "--threshold", "0.4", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    positive = next(n for n in names if n.lower() in ("malignant", "cancer", "positive"))
    table = pd.read_csv(file)
    labels, p = (table["label"] == positive).to_numpy(), table[f"prob_{positive}"].to_numpy()
    wanted = {
        "auc": metrics.roc_auc_score(labels, p),
        "accuracy": metrics.accuracy_score(labels, p >= 0.4),
        "sensitivity": metrics.recall_score(labels, p >= 0.4),
        "brier": metrics.brier_score_loss(labels, p),
    }
    assert {k: found["metrics"][k]["value"] for k in wanted} == pytest.approx(wanted, abs=1e-9)
    assert found["positive"] == positive
    assert found["threshold"] == 0.4
    for row in found["metrics"].values():
        assert {"value", "low", "high", "n", "method"} <= row.keys()


def test_the_threshold_is_one_half_unless_given(tmp_path, capsys):
    """Without --threshold the operating point is 0.5, and the output says so."""
    file = predictions(tmp_path / "p.csv")
    assert run("metrics", file, "--json") == 0
    plain = json.loads(capsys.readouterr().out)
    assert run("metrics", file, "--json", "--threshold", "0.5") == 0
    assert plain == json.loads(capsys.readouterr().out)
    assert plain["threshold"] == 0.5


def test_a_task_knows_its_aliases(tmp_path, capsys):
    """RSNA's own labels 0 and 1 are read with --task mammography."""
    file = predictions(tmp_path / "p.csv", classes=("normal", "cancer"))
    table = pd.read_csv(file)
    table["label"] = (table["label"] == "cancer").astype(int)
    table.to_csv(file, index=False)
    assert run("metrics", file, "--task", "mammography", "--json") == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["auc"]["n"] == 60


def test_several_cases_per_patient_are_seen(tmp_path, capsys):
    """The methods name the patients; with one case each, or none named, they do not."""
    assert run("metrics", predictions(tmp_path / "p.csv", per_patient=3), "--json") == 0
    assert "20 patients" in json.loads(capsys.readouterr().out)["metrics"]["auc"]["method"]
    file = predictions(tmp_path / "q.csv")
    for change in ({"patient_id": ""}, {}):
        pd.read_csv(file).assign(**change).to_csv(file, index=False)
        assert run("metrics", file, "--json") == 0
        assert json.loads(capsys.readouterr().out)["metrics"]["auc"]["method"] == "DeLong"


def test_many_classes_need_no_positive_one(tmp_path, capsys):
    """Three classes: macro figures and those of each class."""
    assert run("metrics", predictions(tmp_path / "p.csv", classes=("a", "b", "c")), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["threshold"] is None
    assert {"auc", "f1", "sensitivity_b", "precision_c"} <= found["metrics"].keys()


def test_metrics_as_a_table(tmp_path, capsys):
    """Without --json: one line per figure, columns aligned, and what is undefined says why."""
    file = predictions(tmp_path / "p.csv")
    table = pd.read_csv(file)
    table[table["label"] == "benign"].to_csv(file, index=False)
    assert run("metrics", file) == 0
    headline, *lines = capsys.readouterr().out.splitlines()
    assert headline == "p.csv: 30 cases of 30 patients; positive is malignant at 0.5 or more."
    assert any(
        line.startswith("auc ") and "undefined  the reference standard holds one class only" in line for line in lines
    )
    assert len({line.index("n = ") for line in lines}) == 1


def test_compare_as_json(tmp_path, capsys):
    """Differences a − b by name, with both values, interval and p; cases matched by id, columns by class."""
    a, b = predictions(tmp_path / "a.csv", seed=1), predictions(tmp_path / "b.csv", seed=2)
    table = pd.read_csv(b)
    table[["case_id", "patient_id", "label", "prob_malignant", "prob_benign"]][::-1].to_csv(b, index=False)
    assert run("compare", a, b, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    first, second = (pd.read_csv(path) for path in (a, b))
    wanted = [metrics.roc_auc_score(t["label"] == "malignant", t["prob_malignant"]) for t in (first, second)]
    row = found["differences"]["auc"]
    assert (row["a"], row["b"], row["value"]) == pytest.approx((*wanted, wanted[0] - wanted[1]), abs=1e-12)
    assert row["low"] < row["value"] < row["high"]
    assert 0 < row["p"] < 1
    assert sum(found["disagreement"].values()) == 60


def test_compare_with_two_thresholds_as_a_table(tmp_path, capsys):
    """Each model at its own threshold; the last line counts who is right."""
    a, b = predictions(tmp_path / "a.csv", seed=1), predictions(tmp_path / "b.csv", seed=2)
    assert run("compare", a, b, "--threshold", "0.3", "--threshold-b", "0.6") == 0
    text = capsys.readouterr().out
    assert "Differences: a.csv − b.csv." in text
    assert "p = " in text
    assert text.splitlines()[-1].startswith("Right: both ")
    assert run("compare", a, a) == 0
    assert "p = 1.0000" in capsys.readouterr().out


def test_compare_refuses_other_cases_labels_and_classes(tmp_path, capsys):
    """One sentence each, naming an example."""
    a, b = predictions(tmp_path / "a.csv"), tmp_path / "b.csv"
    table = pd.read_csv(a)
    table[:-1].to_csv(b, index=False)
    assert "1 case(s) are only in the first and 0 only in the second, e.g. c59" in refusal(capsys, "compare", a, b)
    other = table.copy()
    other.loc[3, "label"] = "benign"
    other.to_csv(b, index=False)
    assert "e.g. c3 is malignant in the first and benign in the second" in refusal(capsys, "compare", a, b)
    predictions(b, classes=("normal", "cancer"))
    assert "their classes differ" in refusal(capsys, "compare", a, b)


@pytest.mark.parametrize(
    ("columns", "words", "message"),
    [
        ("case_id,label,prob_a,prob_b\nx,a,0.5,0.5\n", [], "none or both could be the positive one"),
        ("case_id,label,prob_cancer,prob_malignant\nx,cancer,0.5,0.5\n", [], "none or both could be the positive one"),
        ("case_id,label\nx,a\n", [], "at least two classes"),
        ("", [], "at least two classes"),
        ("case_id,label,prob_benign,prob_malignant\nx,odd,0.5,0.5\n", [], "'odd' is not a class"),
        ("case_id,label,prob_benign,prob_malignant\nx,benign,0.5,0.9\n", [], "the probabilities of x"),
        ("case_id,label,prob_benign,prob_malignant\nx,benign,0.5,0.5\n", ["--task", "mammography"], "no column prob_normal"),
        ("case_id,label,prob_benign,prob_malignant\nx,benign,0.5,0.5\n", ["--threshold", "2"], "must lie in 0–1, not 2"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_used_are_refused(columns, words, message, tmp_path, capsys):
    """Each in one sentence that names the file or the number."""
    file = tmp_path / "p.csv"
    file.write_text(columns)
    assert message in refusal(capsys, "metrics", file, *words)


def test_missing_and_binary_files_are_refused(tmp_path, capsys):
    """No file, and bytes that are no text."""
    assert "There is no file" in refusal(capsys, "metrics", tmp_path / "none.csv")
    (tmp_path / "p.csv").write_bytes(b"\xff\xfe\x00\x81")
    assert "p.csv cannot be read as text" in refusal(capsys, "metrics", tmp_path / "p.csv")
