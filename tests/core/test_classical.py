"""The classical baseline: fitted, saved, evaluated and explained like any other model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from core.__main__ import main
from core.architectures import get_architecture
from core.checkpoint import load_checkpoint, save_checkpoint
from core.classical import FeaturesLogistic, coefficients, fit, measure
from core.datasets import load_dataset, tensors
from core.evaluation import evaluate, read_run
from core.explain import Request, explain
from core.features import feature_names
from core.records import Image, Refused, full_range_window
from core.training import TrainingJob, train
from tests.core.bars import TASK, bar_images, write_bars_npz

N = len(feature_names())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Bars: 40 to fit, 24 to choose, 30 to test."""
    return write_bars_npz(tmp_path_factory.mktemp("classical") / "bars.npz", 40, 24, 30)


@pytest.fixture(scope="module")
def fitted(data, tmp_path_factory):
    """The run folder of a baseline fitted to the bars."""
    out = tmp_path_factory.mktemp("classical") / "run"
    train(TrainingJob(data, TASK, "features-logistic", "default", out, size=16, device="cpu"))
    return out


def some_features(n_classes, seed=0):
    """Random features (30, N) with a signal in the first, labels (30,), and one undefined and one constant column."""
    rng = np.random.default_rng(seed)
    y = np.arange(30) % n_classes
    features = rng.normal(5, 3, (30, N))
    features[:, 0] += 4 * y
    features[:, 1] = np.nan
    features[:, 2] = 7
    return features, y


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_linear_layer_is_scikit_learns_regression(n_classes):
    """Softmax of the stored weights on standardised features equals scikit-learn's own probabilities."""
    features, y = some_features(n_classes)
    state = fit(features, y, n_classes, penalty=0.1)
    known = np.delete(features, 1, axis=1)
    scaler = StandardScaler().fit(known)
    own = LogisticRegression(C=0.1, max_iter=5000).fit(scaler.transform(known), y)
    z = torch.nan_to_num((torch.from_numpy(features) - state["mean"]) / state["scale"])
    found = torch.softmax(z @ state["linear.weight"].T + state["linear.bias"], dim=1)
    np.testing.assert_allclose(found, own.predict_proba(scaler.transform(known)), atol=1e-4)


def test_undefined_and_constant_features_weigh_nothing():
    """A column that is NaN or the same everywhere has coefficient 0, and no number becomes infinite."""
    state = fit(*some_features(2), 2, penalty=1.0)
    assert not state["linear.weight"][:, 1:3].any()
    assert all(torch.isfinite(v).all() for v in state.values())


def test_the_baseline_learns_the_bars_and_becomes_a_run(fitted, data, tmp_path):
    """Evaluated by the same function as a network; the run folder reads back with an operating point from validation."""
    evaluate(fitted / "checkpoint.pt", data, "test", tmp_path, device="cpu")
    run = read_run(tmp_path)
    assert run.metrics["auc"].value > 0.9
    assert run.operating_point.chosen_on == "val (n = 24)"
    assert run.model_name.startswith("features-logistic")


def test_the_checkpoint_gives_the_same_logits_as_what_was_fitted(fitted, data):
    """Loaded safely, the module computes features, standardises and weighs them: as the formula on stored tensors."""
    checkpoint = load_checkpoint(fitted / "checkpoint.pt")
    x, _ = tensors(load_dataset(data, TASK), "test", checkpoint.preprocessing)
    state = checkpoint.state
    z = torch.nan_to_num((torch.from_numpy(measure(x[:3])) - state["mean"]) / state["scale"])
    torch.testing.assert_close(checkpoint.module()(x[:3]), z @ state["linear.weight"].T + state["linear.bias"])


def test_fitting_twice_gives_the_same_weights(fitted, data, tmp_path):
    """Nothing is drawn by chance."""
    train(TrainingJob(data, TASK, "features-logistic", "default", tmp_path / "again", size=16, device="cpu"))
    first, second = (load_checkpoint(folder / "checkpoint.pt").state for folder in (fitted, tmp_path / "again"))
    assert all(first[name].equal(second[name]) for name in first)


def test_the_penalty_is_the_one_that_validation_prefers(fitted):
    """The configuration lists every candidate with its loss, and the kept one has the smallest."""
    made = load_checkpoint(fitted / "checkpoint.pt").provenance
    best = min(made["penalties"], key=lambda row: row["val_loss"])
    assert made["penalty"] == best["C"]
    assert made["features"].startswith("intensity 1")


def test_coefficients_are_those_of_the_positive_class_strongest_first(fitted):
    """One row per feature; malignant is positive, so its column is the difference of the two outputs' weights."""
    checkpoint = load_checkpoint(fitted / "checkpoint.pt")
    table = coefficients(checkpoint)
    assert set(table["feature"]) == set(feature_names())
    assert table["malignant"].abs().is_monotonic_decreasing
    weight = checkpoint.state["linear.weight"]
    row = feature_names().index(table["feature"][0])
    assert table["malignant"][0] == pytest.approx(float(weight[0, row] - weight[1, row]))  # malignant is class 0
    assert pd.read_csv(fitted / "coefficients.csv")["feature"].tolist() == table["feature"].tolist()


def test_a_model_of_older_features_is_refused(fitted):
    """Weights fitted to numbers that mean something else today give no result."""
    checkpoint = load_checkpoint(fitted / "checkpoint.pt")
    module = checkpoint.module()
    module.versions = module.versions + 1
    with pytest.raises(Refused, match="other versions of the features"):
        module(torch.rand(1, 1, 16, 16))


def test_weights_of_another_length_are_refused(fitted, tmp_path):
    """A file with fewer coefficients than there are features does not load."""
    checkpoint = load_checkpoint(fitted / "checkpoint.pt")
    state = {**checkpoint.state, "mean": checkpoint.state["mean"][1:]}
    broken = {name: getattr(checkpoint, name) for name in checkpoint.__dataclass_fields__} | {"state": state}
    with pytest.raises(Refused, match="mean has another shape"):
        save_checkpoint(type(checkpoint)(**broken), tmp_path / "c.pt")


def test_only_methods_that_cover_parts_can_explain_it(fitted):
    """Occlusion works; Grad-CAM and Integrated Gradients say what to use instead."""
    checkpoint = load_checkpoint(fitted / "checkpoint.pt")
    pixels = bar_images(1, 5)[0][0]
    image = Image(pixels, full_range_window(pixels))
    coarse = {"window": 8, "stride": 8}
    heatmap = explain(checkpoint, image, Request("occlusion", "malignant", parameters=coarse))
    assert heatmap.values.any()
    for method in ("gradcam", "integrated-gradients"):
        with pytest.raises(Refused, match="by Occlusion, LIME, Feature ablation or Shapley values"):
            explain(checkpoint, image, Request(method, "malignant"))


def test_a_class_without_training_images_is_refused(tmp_path):
    """Logistic regression cannot know a class that it has never seen."""
    images, _ = bar_images(24, 0)
    labels = np.zeros((24, 1), np.uint8)
    np.savez(
        tmp_path / "one.npz", train_images=images[:12], train_labels=labels[:12], val_images=images[12:],
        val_labels=labels[12:],
    )  # fmt: skip
    with pytest.raises(Refused, match="no training image of some class"):
        train(TrainingJob(tmp_path / "one.npz", TASK, "features-logistic", "default", tmp_path / "out", size=16))


def test_the_command_trains_it(data, tmp_path, capsys):
    """`python -m core train --architecture features-logistic` needs nothing else; a second run into the folder is refused."""
    out = tmp_path / "run"
    command = ["train", "--data", str(data), "--task", TASK, "--architecture", "features-logistic", "--size", "16"]
    assert main([*command, "--out", str(out)]) == 0
    assert (out / "coefficients.csv").exists()
    assert main([*command, "--out", str(out)]) == 1
    assert "already holds a checkpoint" in capsys.readouterr().err


def test_it_is_an_architecture_like_any_other():
    """Found by name, sized by its registry row, and with one output per class."""
    known = get_architecture("features-logistic")
    assert known.preprocessing().size == (128, 128)
    assert FeaturesLogistic(8)(torch.rand(2, 1, 16, 16)).shape == (2, 8)
    with pytest.raises(Refused, match="at least 8 pixels"):
        known.preprocessing(7)
