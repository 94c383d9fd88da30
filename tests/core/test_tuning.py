"""New versions of trained models: what validation chooses is stored with how, and nothing else chooses."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from core.__main__ import main as core
from core.checkpoint import load_checkpoint, model_record, save_checkpoint
from core.datasets import load_dataset
from core.evaluation import evaluate, read_run
from core.records import OperatingPoint, Refused
from core.tasks import get_task
from core.tuning import Tuning, build_ensemble, calibrate, choose_point, point_rule
from tests.core.bars import TASK, bar_images


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """Bars of which every fifth has the wrong label, so that no model is always right on validation."""
    arrays = {}
    for seed, split in enumerate(("train", "val", "test")):
        images, labels = bar_images(60, seed)
        labels[::5] = 1 - labels[::5]
        arrays |= {f"{split}_images": images, f"{split}_labels": labels[:, None]}
    path = tmp_path_factory.mktemp("noisy") / "noisy.npz"
    np.savez(path, **arrays)
    return load_dataset(path, TASK)


@pytest.fixture(scope="module")
def members(bars_run, tmp_path_factory):
    """Three checkpoints of one task: the bars' own, and two whose weights were shaken a little."""
    folder, checkpoint = tmp_path_factory.mktemp("members"), load_checkpoint(bars_run / "checkpoint.pt")
    paths = [bars_run / "checkpoint.pt"]
    for seed in (1, 2):
        shaken = {**checkpoint.state, "fc.bias": checkpoint.state["fc.bias"] + 0.3 * seed}
        save_checkpoint(replace(checkpoint, state=shaken, version=""), folder / f"{seed}.pt")
        paths.append(folder / f"{seed}.pt")
    return paths


def scored(checkpoint, data, split, out):
    """(y of the positive class, its scores, run) of a checkpoint evaluated on a split."""
    evaluate(checkpoint, data, split, out, device="cpu")
    run = read_run(out)
    return (run.labels == 0).astype(int), run.probabilities[:, 0], run


# -- Operating points --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["youden", "sensitivity=0.95", "specificity=0.9", "cost=10"])
def test_the_point_keeps_what_its_rule_promises_on_validation(rule, bars_run, noisy, tmp_path):
    """Evaluated on validation itself, the stored threshold has the property that it was chosen for."""
    calibrate(bars_run / "checkpoint.pt", tmp_path / "c.pt", Tuning(noisy, rule, device="cpu"))
    y, p, run = scored(tmp_path / "c.pt", noisy, "val", tmp_path / "val")
    point = run.operating_point
    assert point.chosen_on == "val (n = 60)"
    called = p >= point.threshold
    sensitivity, specificity = called[y == 1].mean(), (~called)[y == 0].mean()
    thresholds = [*np.unique(p), 2.0]
    if rule == "youden":
        best = max((p >= t)[y == 1].mean() + (p < t)[y == 0].mean() for t in thresholds)
        assert sensitivity + specificity == pytest.approx(best)
    elif rule.startswith("sensitivity"):
        assert sensitivity >= 0.95
        assert specificity == max((p < t)[y == 0].mean() for t in thresholds if (p >= t)[y == 1].mean() >= 0.95)
    elif rule.startswith("specificity"):
        assert specificity >= 0.9
    else:
        cost = [10 * (p < t)[y == 1].sum() + (p >= t)[y == 0].sum() for t in thresholds]
        assert 10 * (~called)[y == 1].sum() + called[y == 0].sum() == min(cost)
        assert point.name == "a miss costs 10 false alarms"


def test_a_threshold_may_be_set_beforehand(bars_run, noisy, tmp_path):
    """As R5's 0.55: the point says that no data chose it; it must be a share."""
    made = calibrate(bars_run / "checkpoint.pt", tmp_path / "c.pt", Tuning(noisy, "threshold=0.55", device="cpu"))
    assert made.operating_point == OperatingPoint("fixed", 0.55, "set beforehand")
    with pytest.raises(Refused, match="is no way to choose an operating point"):
        point_rule("threshold=1.5")


@pytest.mark.parametrize(
    "rule", ["", "yuden", "youden=1", "sensitivity", "sensitivity=0", "specificity=1.1", "cost=-1", "cost=x"]
)
def test_a_rule_that_is_none_is_refused(rule):
    """One sentence that says what there is."""
    with pytest.raises(Refused, match=r"say youden, sensitivity=0\.95"):
        point_rule(rule)


@pytest.mark.parametrize("split", ["test", "train", "Val"])
def test_other_data_than_validation_never_choose(split, noisy):
    """An attempt to choose on test or training data is refused before anything is read."""
    with pytest.raises(Refused, match=f"'{split}' never chooses anything"):
        Tuning(noisy, split=split)


def test_no_point_without_a_positive_class_or_with_one_side_only():
    """Blood cells have no finding; a validation split of one class sets no threshold."""
    p = np.full((4, 8), 1 / 8)
    assert choose_point(get_task("blood-cells"), np.arange(4), p, "youden") is None
    assert choose_point(get_task(TASK), np.zeros(4, int), np.full((4, 2), 0.5), "youden") is None


# -- Temperature and views ---------------------------------------------------------------------------------------------


def test_temperature_is_stored_with_its_errors_and_makes_validation_fit(bars_run, noisy, tmp_path):
    """Log loss falls, AUC stays, n and both errors are in the file, and its card and run say so."""
    made = calibrate(bars_run / "checkpoint.pt", tmp_path / "c.pt", Tuning(noisy, temperature=True, device="cpu"))
    y, before, _ = scored(bars_run / "checkpoint.pt", noisy, "val", tmp_path / "before")
    _, after, run = scored(tmp_path / "c.pt", noisy, "val", tmp_path / "after")
    fitted = made.provenance["calibration"]
    assert made.temperature != 1
    assert fitted["chosen_on"] == "val (n = 60)"
    assert fitted["log_loss_before"]["value"] == pytest.approx(log_loss(y, before), abs=1e-6)
    assert fitted["log_loss_after"]["value"] == pytest.approx(log_loss(y, after), abs=1e-6)
    assert fitted["log_loss_after"]["value"] < fitted["log_loss_before"]["value"]
    assert fitted["ece_before"]["n"] == fitted["ece_after"]["n"] == 60
    assert run.metrics["ece"].value == pytest.approx(fitted["ece_after"]["value"], abs=1e-6)
    assert roc_auc_score(y, after) == roc_auc_score(y, before)
    assert run.provenance["temperature"] == made.temperature
    assert run.provenance["calibration"]["ece_after"]["n"] == 60
    assert "fitted on val (n = 60)" in model_record(made, "M").card["Temperature"]


def test_a_new_version_leaves_the_old_file_alone(bars_run, noisy, tmp_path):
    """The source keeps its bytes, the new file names it, and an existing file is never overwritten."""
    source = bars_run / "checkpoint.pt"
    before = source.read_bytes()
    made = calibrate(source, tmp_path / "c.pt", Tuning(noisy, views=("hflip",), device="cpu"))
    assert source.read_bytes() == before
    assert made.provenance["from"] == load_checkpoint(source).version != made.version
    assert load_checkpoint(tmp_path / "c.pt").version == made.version
    assert made.views == ("plain", "hflip")
    with pytest.raises(Refused, match="never overwritten"):
        calibrate(source, tmp_path / "c.pt", Tuning(noisy, device="cpu"))


def test_views_after_a_temperature_ask_for_a_new_one(bars_run, noisy, tmp_path):
    """A temperature belongs to the views that it was fitted with."""
    calibrate(bars_run / "checkpoint.pt", tmp_path / "t.pt", Tuning(noisy, temperature=True, device="cpu"))
    with pytest.raises(Refused, match="fitted without these views"):
        calibrate(tmp_path / "t.pt", tmp_path / "v.pt", Tuning(noisy, views=("hflip",), device="cpu"))
    again = calibrate(tmp_path / "t.pt", tmp_path / "tt.pt", Tuning(noisy, temperature=True, device="cpu"))
    assert again.temperature == pytest.approx(load_checkpoint(tmp_path / "t.pt").temperature, rel=1e-4)


# -- Ensembles ---------------------------------------------------------------------------------------------------------


def test_an_ensemble_evaluates_to_the_mean_of_its_members(members, bars_npz, tmp_path):
    """Case by case; the run names every member, and the threshold is the ensemble's own, from validation."""
    whole = build_ensemble(members, tmp_path / "e.pt", Tuning(bars_npz, device="cpu"))
    parts = [scored(path, bars_npz, "test", tmp_path / f"m{i}")[1] for i, path in enumerate(members)]
    _, p, run = scored(tmp_path / "e.pt", bars_npz, "test", tmp_path / "e")
    np.testing.assert_allclose(p, np.mean(parts, axis=0), atol=1e-6)
    assert run.model_version == whole.version
    assert run.provenance["architecture"] == "ensemble"
    assert [m["version"] for m in run.provenance["members"]] == [load_checkpoint(path).version for path in members]
    assert run.operating_point.chosen_on == "val (n = 32)"
    assert whole.provenance["fingerprint"] == load_dataset(bars_npz, TASK).fingerprint


@pytest.mark.parametrize(
    ("chosen", "words"), [([0], "at least two"), ([0, 0], "a member twice"), ([0, "e"], "cannot be an ensemble")]
)
def test_members_that_make_no_ensemble_are_refused_and_nothing_is_written(chosen, words, members, bars_npz, tmp_path):
    """One member, the same twice, and an ensemble inside an ensemble."""
    build_ensemble(members[1:], tmp_path / "inner.pt", Tuning(bars_npz, device="cpu"))
    paths = [tmp_path / "inner.pt" if which == "e" else members[which] for which in chosen]
    with pytest.raises(Refused, match=words):
        build_ensemble(paths, tmp_path / "e.pt", Tuning(bars_npz, device="cpu"))
    assert not (tmp_path / "e.pt").exists()


# -- In a terminal -----------------------------------------------------------------------------------------------------


def test_ensemble_and_calibrate_in_a_terminal(members, bars_npz, tmp_path, capsys):
    """Both write a file that loads, and say in JSON what was chosen and where."""
    data = ["--data", str(bars_npz)]
    made = ["ensemble", *map(str, members), *data, "--out", str(tmp_path / "e.pt"), "--views", "hflip", "--json"]
    assert core([*made, "--point", "cost=5"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["version"] == load_checkpoint(tmp_path / "e.pt").version
    assert said["views"] == ["plain", "hflip"]
    assert said["operating_point"]["name"] == "a miss costs 5 false alarms"
    assert core(["calibrate", str(tmp_path / "e.pt"), *data, "--out", str(tmp_path / "c.pt")]) == 0
    assert "chosen on val (n = 32)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--split", "test"], "'test' never chooses anything"),
        (["--point", "best"], "'best' is no way"),
        (["--views", "spin"], "no view 'spin'"),
        (["--out", "nowhere/c.pt"], "no folder nowhere"),
    ],
)
def test_refusals_are_one_sentence(more, words, members, bars_npz, tmp_path, monkeypatch, capsys):
    """Exit status 1, nothing written."""
    monkeypatch.chdir(tmp_path)
    assert core(["calibrate", str(members[0]), "--data", str(bars_npz), "--out", "c.pt", *more]) == 1
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("Refused: ")
    assert words in error
    assert not list(tmp_path.iterdir())
