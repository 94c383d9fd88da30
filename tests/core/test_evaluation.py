"""Evaluation writes figures that anyone can recompute from its files, and reads back only what is whole."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, roc_auc_score

from core.checkpoint import load_checkpoint
from core.datasets import load_dataset, tensors
from core.evaluation import evaluate, predict_probabilities, read_run
from core.records import Refused
from core.runs import parse_predictions
from core.tasks import get_task
from tests.core.bars import TASK


@pytest.fixture(scope="module")
def run(bars_run, bars_npz, tmp_path_factory):
    """The folder of one evaluation of the bars' test split."""
    out = tmp_path_factory.mktemp("evaluated") / "bars-test"
    evaluate(bars_run / "checkpoint.pt", bars_npz, "test", out, device="cpu")
    return out


@pytest.fixture
def copy(run, tmp_path):
    """A copy of that folder, to be damaged."""
    return shutil.copytree(run, tmp_path / "copy")


def _facts(folder):
    return json.loads((folder / "run.json").read_text())


def _rows(folder):
    with open(folder / "predictions.csv", newline="") as file:
        return list(csv.DictReader(file))


# -- What is written ---------------------------------------------------------------------------------------------------


def test_metrics_equal_scikit_learn_on_the_runs_own_predictions(run):
    """AUC, and accuracy at the operating point, computed by scikit-learn from predictions.csv equal those in run.json."""
    rows, facts = _rows(run), _facts(run)
    y = [row["label"] == "malignant" for row in rows]
    score = np.array([float(row["prob_malignant"]) for row in rows])
    assert facts["metrics"]["auc"]["value"] == pytest.approx(roc_auc_score(y, score), abs=1e-12)
    called = score >= facts["operating_point"]["threshold"]
    assert facts["metrics"]["accuracy"]["value"] == pytest.approx(accuracy_score(y, called), abs=1e-12)
    sensitivity = called[np.array(y)].mean()
    assert facts["metrics"]["sensitivity"]["value"] == pytest.approx(sensitivity, abs=1e-12)
    assert facts["metrics"]["auc"]["value"] > 0.9


def test_every_metric_has_n_and_an_interval_or_a_reason(run):
    """A figure comes with low ≤ value ≤ high, n and method; without a value it comes with a reason."""
    for name, row in _facts(run)["metrics"].items():
        assert row["method"], name
        if row["value"] is None:
            assert row["reason"], name
        else:
            assert row["low"] <= row["value"] <= row["high"], name
            assert 0 < row["n"] <= 40, name


def test_predictions_are_the_models_for_each_case_rounded(run, bars_run, bars_npz):
    """Row by row, predictions.csv holds the case, its label by name, and the softmax of the logits to 8 decimals."""
    checkpoint = load_checkpoint(bars_run / "checkpoint.pt")
    dataset = load_dataset(bars_npz, TASK)
    x, _ = tensors(dataset, "test", checkpoint.preprocessing)
    with torch.no_grad():
        expected = torch.softmax(checkpoint.module()(x).double(), dim=1).numpy()
    rows = _rows(run)
    assert list(rows[0]) == ["case_id", "patient_id", "label", "prob_malignant", "prob_benign", "pixel_hash"]
    assert [row["case_id"] for row in rows] == [case.case_id for case in dataset.split("test")]
    assert [row["label"] for row in rows] == [("malignant", "benign")[c.label] for c in dataset.split("test")]
    got = np.array([[float(row["prob_malignant"]), float(row["prob_benign"])] for row in rows])
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert all(len(row["prob_benign"].split(".")[1]) == 8 for row in rows)


def test_run_json_says_what_was_scored_on_what(run, bars_run, bars_npz):
    """run.json names checkpoint, dataset, split, preprocessing and versions, and no folder above the dataset."""
    facts, checkpoint = _facts(run), load_checkpoint(bars_run / "checkpoint.pt")
    dataset = load_dataset(bars_npz, TASK)
    assert facts["model"]["version"] == checkpoint.version
    assert facts["model"]["architecture"] == "small-cnn"
    assert facts["id"] == hashlib.sha256(f"{checkpoint.version}|{dataset.fingerprint}|test".encode()).hexdigest()
    assert facts["dataset"] == {
        "name": "bars.npz", "path": "bars.npz", "fingerprint": dataset.fingerprint, "n": 40,
        "counts": dataset.counts(), "leaks": [],
    }  # fmt: skip
    assert facts["preprocessing"]["size"] == [16, 16]
    assert len(facts["history"]) == len(checkpoint.history)
    assert str(bars_npz.parent) not in (run / "run.json").read_text()
    assert sorted(p.name for p in run.iterdir()) == ["predictions.csv", "run.json", "thumbnails.zip"]


def test_evaluating_again_gives_the_same_run(run, bars_run, bars_npz, tmp_path):
    """The same checkpoint on the same split has the same id, predictions and metrics: ingesting twice cannot double it."""
    evaluate(bars_run / "checkpoint.pt", bars_npz, "test", tmp_path, device="cpu")
    again, first = _facts(tmp_path), _facts(run)
    assert (again["id"], again["metrics"]) == (first["id"], first["metrics"])
    assert (tmp_path / "predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()


def test_the_stored_threshold_is_youdens_on_the_validation_split(bars_run, bars_npz, tmp_path):
    """On validation, no other threshold has a larger sensitivity + specificity than the stored operating point."""
    facts = evaluate(bars_run / "checkpoint.pt", bars_npz, "val", tmp_path, device="cpu")
    y = np.array([row["label"] == "malignant" for row in _rows(tmp_path)])
    score = np.array([float(row["prob_malignant"]) for row in _rows(tmp_path)])
    best = max((score[y] >= t).mean() + (score[~y] < t).mean() for t in score)
    at = facts["metrics"]["sensitivity"]["value"] + facts["metrics"]["specificity"]["value"]
    assert at == pytest.approx(best, abs=1e-12)


def test_a_dataset_already_read_gives_the_same_run_as_its_path(run, bars_run, bars_npz, tmp_path):
    """A dataset read once can serve several runs; one read for another task is refused."""
    evaluate(bars_run / "checkpoint.pt", load_dataset(bars_npz, TASK), "test", tmp_path, device="cpu")
    assert _facts(tmp_path)["id"] == _facts(run)["id"]
    assert _facts(tmp_path)["dataset"] == _facts(run)["dataset"]
    with pytest.raises(Refused, match="was read as breast-mri; it cannot be used for breast-ultrasound"):
        evaluate(bars_run / "checkpoint.pt", load_dataset(bars_npz, "breast-mri"), "test", tmp_path, device="cpu")


def test_a_split_that_is_not_there_is_refused_and_nothing_written(bars_run, tmp_path, bars_npz):
    """A dataset without the split is refused, and no run folder appears."""
    with np.load(bars_npz) as file:
        np.savez(tmp_path / "t.npz", **{k: v for k, v in file.items() if k.startswith("test")})
    with pytest.raises(Refused, match="no split 'val'"):
        evaluate(bars_run / "checkpoint.pt", tmp_path / "t.npz", "val", tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_another_run_is_not_overwritten(copy, bars_run, bars_npz):
    """Validation does not go over the test's run: one sentence, and that run stays; the same run may be made again."""
    before = (copy / "predictions.csv").read_bytes()
    with pytest.raises(Refused, match="copy holds the run of another model, dataset or split"):
        evaluate(bars_run / "checkpoint.pt", bars_npz, "val", copy, device="cpu")
    assert (copy / "predictions.csv").read_bytes() == before
    evaluate(bars_run / "checkpoint.pt", bars_npz, "test", copy, device="cpu")
    assert (copy / "predictions.csv").read_bytes() == before


def test_progress_reaches_the_end_of_every_stage(bars_run, bars_npz, tmp_path):
    """Reading, preparing and predicting each report up to their last image."""
    last = {}
    evaluate(
        bars_run / "checkpoint.pt", bars_npz, "test", tmp_path, device="cpu",
        progress=lambda done, total, text: last.update({text: (done, total)}),
    )  # fmt: skip
    assert last == {"Reading bars.npz": (168, 168), "Preparing test": (40, 40), "Predicting": (40, 40)}


def test_probabilities_do_not_depend_on_the_batch(bars_run, bars_npz):
    """Batches of 1, 7 and 32 give the same probabilities to 1e-6, rows with sum 1, in the order given."""
    checkpoint = load_checkpoint(bars_run / "checkpoint.pt")
    x, _ = tensors(load_dataset(bars_npz, TASK), "test", checkpoint.preprocessing)
    single, odd, whole = (predict_probabilities(checkpoint, x, "cpu", size) for size in (1, 7, 32))
    np.testing.assert_allclose(single, whole, atol=1e-6)
    np.testing.assert_allclose(odd, whole, atol=1e-6)
    np.testing.assert_allclose(whole.sum(axis=1), 1, atol=1e-12)
    assert whole.shape == (40, 2)
    assert whole.dtype == np.float64


def test_logits_that_are_no_numbers_give_no_result(bars_run):
    """Images of infinities make the network's output NaN, and the evaluation refuses."""
    checkpoint = load_checkpoint(bars_run / "checkpoint.pt")
    with pytest.raises(Refused, match="not a finite number"):
        predict_probabilities(checkpoint, torch.full((2, 1, 16, 16), torch.inf), "cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_agrees_with_the_cpu(bars_run, bars_npz):
    """The same images give the same probabilities on both devices to 1e-3."""
    checkpoint = load_checkpoint(bars_run / "checkpoint.pt")
    x, _ = tensors(load_dataset(bars_npz, TASK), "test", checkpoint.preprocessing)
    on_cpu, on_gpu = (predict_probabilities(checkpoint, x, device) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-3)


# -- What is read back -------------------------------------------------------------------------------------------------


def test_a_run_read_back_is_the_run_written(run):
    """`read_run` gives the labels, probabilities, metrics, operating point and history that the files hold."""
    record, facts, rows = read_run(run), _facts(run), _rows(run)
    assert (record.id, record.split, record.dataset) == (facts["id"], "test", "bars.npz")
    assert record.model_name == facts["model"]["name"]
    assert record.classes == ("malignant", "benign")
    assert [record.classes[i] for i in record.labels] == [row["label"] for row in rows]
    np.testing.assert_array_equal(record.probabilities[:, 0], [float(row["prob_malignant"]) for row in rows])
    assert record.metrics["auc"].value == facts["metrics"]["auc"]["value"]
    assert record.operating_point.threshold == facts["operating_point"]["threshold"]
    assert record.history[0]["epoch"] == 1
    assert record.provenance["dataset"]["fingerprint"] == facts["dataset"]["fingerprint"]


@pytest.mark.parametrize("name", ["run.json", "predictions.csv"])
def test_a_folder_with_a_file_missing_is_refused(copy, name):
    """Without one of its two files a folder is no run, and the file is named."""
    (copy / name).unlink()
    with pytest.raises(Refused, match=f"There is no {name}"):
        read_run(copy)


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "{}", '{"format": 99}', '{"format": 1}', '{"format": 1, "task": "x"}']
)
def test_a_damaged_run_json_is_refused(copy, text):
    """Empty, broken, foreign or incomplete JSON is refused in one sentence that names the file or what is wrong."""
    (copy / "run.json").write_text(text)
    with pytest.raises(Refused, match=r"run\.json|no task 'x'") as refusal:
        read_run(copy)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classes": ["benign", "malignant"]}, "other classes"),
        ({"metrics": {"auc": {"worth": 1}}}, "damaged"),
        ({"metrics": {"auc": 0.9}}, "damaged"),
        ({"operating_point": {"name": "youden"}}, "damaged"),
        (
            {"operating_point": {"name": "Youden", "threshold": 0.5, "chosen_on": "test (n = 40)"}},
            "only validation may",
        ),
        ({"dataset": {"n": 39, "name": "x"}}, "counts 39 cases, predictions.csv has 40"),
        ({"model": None}, "damaged"),
        ({"history": 3}, "damaged"),
    ],
)
def test_a_run_json_that_says_something_else_is_refused(copy, change, words):
    """Classes in another order, figures of another form and counts that do not fit are refused."""
    (copy / "run.json").write_text(json.dumps(_facts(copy) | change))
    with pytest.raises(Refused, match=words):
        read_run(copy)


def test_edited_predictions_are_refused(copy):
    """A predictions.csv changed after the evaluation, even by one digit, does not pass as the run's."""
    path = copy / "predictions.csv"
    path.write_text(path.read_text().replace("benign,0.", "malignant,0.", 1))
    with pytest.raises(Refused, match="is not the file"):
        read_run(copy)


HEAD = "case_id,label,prob_malignant,prob_benign\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a CSV table"),
        (HEAD, "no rows"),
        ("case_id,label,prob_malignant\na,benign,1\n", "no column prob_benign"),
        (HEAD + "a,benign,0.5,0.5\na,benign,0.5,0.5\n", "a case twice: a"),
        (HEAD + "a,lump,0.5,0.5\n", "'lump' is not a class"),
        (HEAD + "a,benign,0.5,0.5\nb,benign,0.7,0.5\n", "probabilities of b"),
        (HEAD + "a,benign,1.5,-0.5\n", "probabilities of a"),
        (HEAD + "a,benign,nan,1\n", "probabilities of a"),
        (HEAD + "a,benign,high,low\n", "probabilities of a"),
    ],
)
def test_predictions_that_cannot_be_are_refused(text, words):
    """Missing columns, repeated cases, unknown labels and rows that are no probabilities are refused by name."""
    with pytest.raises(Refused, match=words):
        parse_predictions(text, get_task(TASK), "elsewhere")


def test_predictions_made_elsewhere_need_case_label_and_probabilities_only():
    """Aliases and any case of a class are understood, rounding to 1e-3 is allowed, each case is its own patient."""
    text = HEAD + "007,Normal,0.3333,0.6668\n8,MALIGNANT,1,0\n"
    cases, patients, labels, p = parse_predictions(text, get_task(TASK), "elsewhere")
    assert cases == patients == ("007", "8")
    assert labels.tolist() == [1, 0]
    np.testing.assert_array_equal(p, [[0.3333, 0.6668], [1, 0]])


def test_a_withheld_operating_point_leaves_its_figures_undefined(bars_run, bars_npz, tmp_path):
    """Without an operating point sensitivity and specificity are undefined with a reason, and AUC is as before."""
    from core.checkpoint import save_checkpoint

    save_checkpoint(replace(load_checkpoint(bars_run / "checkpoint.pt"), operating_point=None), tmp_path / "c.pt")
    facts = evaluate(tmp_path / "c.pt", bars_npz, "test", tmp_path / "out", device="cpu")
    assert facts["operating_point"] is None
    assert facts["metrics"]["sensitivity"]["value"] is None
    assert facts["metrics"]["sensitivity"]["reason"]
    assert facts["metrics"]["auc"]["value"] > 0.9
    assert read_run(tmp_path / "out").operating_point is None
