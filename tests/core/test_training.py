"""Training learns, repeats itself, stops when it should and says what it did."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.architectures import get_architecture
from core.augment import augment_batch
from core.checkpoint import load_checkpoint
from core.datasets import load_dataset
from core.optimisation import class_weights
from core.preprocess import Preprocessing
from core.recipes import Augmentation, Recipe, load_recipe, recipe_names
from core.records import Refused
from core.tasks import get_task
from core.training import COLUMNS, TrainingJob, train
from tests.core.bars import QUICK, TASK, bar_images, write_bars_npz

PLAIN = Preprocessing((4, 4), 1, (0.5,), (0.5,))


@pytest.fixture(scope="module")
def few_npz(tmp_path_factory):
    """A file of 17 training and 8 validation pictures, for trainings that need not learn."""
    return write_bars_npz(tmp_path_factory.mktemp("few") / "few.npz", train=17, val=8, test=0)


def _job(data, out, recipe=QUICK, **more):
    return TrainingJob(data, TASK, "small-cnn", recipe, out, size=16, device="cpu", **more)


def _history(folder):
    with open(folder / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


# -- The run -----------------------------------------------------------------------------------------------------------


def test_training_learns_to_tell_bars_apart(bars_run):
    """The small CNN tells upright from lying bars within a few epochs: validation AUC above 0.95, loss well down."""
    history = load_checkpoint(bars_run / "checkpoint.pt").history
    assert max(row["val_auc"] for row in history) > 0.95
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]


def test_the_run_folder_says_what_made_it(bars_run, bars_npz):
    """config.json holds recipe, seed, dataset and versions; history.csv a row per epoch; no draft files stay behind."""
    config = json.loads((bars_run / "config.json").read_text())
    dataset = load_dataset(bars_npz, TASK)
    assert config["fingerprint"] == dataset.fingerprint
    assert config["counts"] == dataset.counts()
    assert (config["recipe"], config["seed"], config["device"]) == ("quick", 0, "cpu")
    assert config["recipe_values"]["lr"] == QUICK.lr
    assert (
        config["versions"]["torch"] == torch.__version__.split("+")[0]
        or config["versions"]["torch"] == torch.__version__
    )
    assert str(bars_npz.parent) not in (bars_run / "config.json").read_text()
    rows = _history(bars_run)
    assert tuple(rows[0]) == COLUMNS
    assert [row["epoch"] for row in rows] == [str(i + 1) for i in range(len(rows))]
    assert sorted(p.name for p in bars_run.iterdir()) == ["checkpoint.pt", "config.json", "history.csv"]


def test_the_checkpoint_says_the_same_as_the_folder(bars_run):
    """The checkpoint carries the configuration, the history and the size it was trained at."""
    checkpoint = load_checkpoint(bars_run / "checkpoint.pt")
    assert json.loads(json.dumps(checkpoint.provenance)) == json.loads((bars_run / "config.json").read_text())
    assert [f"{row['val_loss']:.6f}" for row in checkpoint.history] == [
        f"{float(row['val_loss']):.6f}" for row in _history(bars_run)
    ]
    assert checkpoint.preprocessing == get_architecture("small-cnn").preprocessing(16)


def test_same_seed_same_weights_and_another_seed_others(few_npz, tmp_path):
    """On the CPU a job repeated gives the same weights, whatever the caller drew between; another seed does not."""
    recipe = replace(QUICK, epochs=2, augment=Augmentation(0.5, 0.5, 0.1, 10, 0.8, 0.2, 0.2))
    states = []
    for i, seed in enumerate((3, 3, 4)):
        torch.rand(i + 1)
        path = train(_job(few_npz, tmp_path / str(i), recipe, seed=seed))
        states.append(load_checkpoint(path).state)
    assert all(states[0][k].equal(states[1][k]) for k in states[0])
    assert not all(states[0][k].equal(states[2][k]) for k in states[0])


def test_training_leaves_the_callers_random_numbers_alone(few_npz, tmp_path):
    """The global generator gives the same numbers after a training as without one."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(_job(few_npz, tmp_path / "r", epochs=1))
    assert torch.rand(3).equal(expected)


def test_training_stops_early_and_keeps_the_best_epoch(few_npz, tmp_path):
    """With steps too large to improve, training ends `patience` epochs after its best one, whose weights are kept."""
    recipe = replace(QUICK, optimizer="sgd", lr=20.0, schedule="constant", monitor="val_loss", epochs=40, patience=3)
    path = train(_job(few_npz, tmp_path / "r", recipe))
    losses = [row["val_loss"] for row in load_checkpoint(path).history]
    assert len(losses) < 40
    assert int(np.argmin(losses)) == len(losses) - 1 - 3
    # One epoch fewer than the best cannot be told apart by length alone: train exactly that long and compare weights.
    best = train(_job(few_npz, tmp_path / "b", replace(recipe, epochs=int(np.argmin(losses)) + 1)))
    kept, expected = load_checkpoint(path).state, load_checkpoint(best).state
    assert all(kept[k].equal(expected[k]) for k in kept)


def test_a_loss_that_is_no_number_stops_training_in_one_sentence(few_npz, tmp_path):
    """An absurd learning rate ends in a refusal that names the epoch and the rate, and no checkpoint is left."""
    recipe = replace(QUICK, optimizer="sgd", lr=1e30, schedule="constant")
    with pytest.raises(
        Refused, match=r"stopped in epoch 1: the loss is no longer a number; .* below 1e\+30"
    ) as refusal:
        train(_job(few_npz, tmp_path / "r", recipe))
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "r" / "checkpoint.pt").exists()


def test_progress_counts_epochs_and_tells_loss_speed_and_time_left(few_npz, tmp_path):
    """Reading comes first as epoch 0, then the fraction grows with every batch up to 1."""
    seen = []
    train(_job(few_npz, tmp_path / "r", epochs=2), seen.append)
    steps = [p for p in seen if p.epoch]
    assert [p.epoch for p in steps] == [1, 1, 2, 2]  # 17 images in batches of at most 16: 9 and 8
    assert [round(p.fraction, 4) for p in steps] == [round(seen / 34, 4) for seen in (9, 17, 26, 34)]
    assert all(p.loss > 0 and p.images_per_second > 0 and p.eta.endswith("left") for p in steps)
    assert seen[0].epoch == 0
    assert seen[0].text


def test_a_folder_with_a_checkpoint_is_not_overwritten(bars_npz, bars_run):
    """Training into a folder that holds a checkpoint is refused."""
    before = (bars_run / "checkpoint.pt").read_bytes()
    with pytest.raises(Refused, match="already holds a checkpoint"):
        train(_job(bars_npz, bars_run))
    assert (bars_run / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("split", "words"), [("train", "no image of class malignant"), ("val", "val_auc is undefined")]
)
def test_a_split_of_one_class_is_refused(tmp_path, split, words):
    """A class without training images, or a validation split without an AUC to watch, is refused before training."""
    with np.load(write_bars_npz(tmp_path / "a.npz", train=8, val=8, test=0)) as file:
        arrays = dict(file)
    arrays[f"{split}_labels"] = np.ones_like(arrays[f"{split}_labels"])
    np.savez(tmp_path / "b.npz", **arrays)
    with pytest.raises(Refused, match=words):
        train(_job(tmp_path / "b.npz", tmp_path / "r"))


def test_without_both_classes_in_validation_there_is_no_operating_point(tmp_path):
    """Watching the loss, validation may hold one class; then no threshold is invented and no AUC written."""
    with np.load(write_bars_npz(tmp_path / "a.npz", train=8, val=8, test=0)) as file:
        arrays = dict(file) | {"val_labels": np.ones(8, np.uint8)}
    np.savez(tmp_path / "b.npz", **arrays)
    path = train(_job(tmp_path / "b.npz", tmp_path / "r", replace(QUICK, monitor="val_loss"), epochs=1))
    assert load_checkpoint(path).operating_point is None
    assert _history(tmp_path / "r")[0]["val_auc"] == ""


def test_eight_classes_train_without_an_operating_point(tmp_path):
    """A task without a positive class watches the mean AUC over classes and stores no threshold."""
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(8), 2)
    images = rng.integers(0, 255, (16, 16, 16, 3)).astype(np.uint8)
    np.savez(tmp_path / "b.npz", train_images=images, train_labels=labels, val_images=255 - images, val_labels=labels)
    job = replace(_job(tmp_path / "b.npz", tmp_path / "r", epochs=1), task="blood-cells")
    checkpoint = load_checkpoint(train(job))
    assert checkpoint.operating_point is None
    assert 0 <= checkpoint.history[0]["val_auc"] <= 1


def test_the_operating_point_is_youdens_on_validation(bars_run):
    """The stored threshold names where it was chosen and lies in 0–1."""
    point = load_checkpoint(bars_run / "checkpoint.pt").operating_point
    assert (point.name, point.chosen_on) == ("youden", "val (n = 32)")
    assert 0 < point.threshold < 1


# -- Recipes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads(name):
    """Each recipe in the folder has known keys with sound values and is named after its file."""
    assert load_recipe(name).name == name


def test_the_step_schedule_is_that_of_reference_system_r1():
    """max(0.01 · 0.1^⌊epoch/10⌋, 1e-5): 0.01, then 0.001 from epoch 10, …, never below 1e-5."""
    recipe = load_recipe("r1-resnet18")
    rates = [recipe.learning_rate(epoch) for epoch in (0, 9, 10, 20, 30, 49)]
    np.testing.assert_allclose(rates, [1e-2, 1e-2, 1e-3, 1e-4, 1e-5, 1e-5])
    assert (recipe.optimizer, recipe.momentum, recipe.weight_decay, recipe.batch_size) == ("sgd", 0.9, 0.01, 32)
    assert (recipe.monitor, recipe.patience, recipe.size) == ("val_loss", 5, 224)


def test_the_cosine_schedule_starts_whole_and_is_half_in_the_middle():
    """lr at epoch 0, lr / 2 half way, near zero at the end."""
    recipe = Recipe(lr=0.4, epochs=10)
    assert recipe.learning_rate(0) == pytest.approx(0.4)
    assert recipe.learning_rate(5) == pytest.approx(0.2)
    assert 0 < recipe.learning_rate(9) < 0.02


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("learning_rate = 0.1", "'learning_rate' in .* is not a key of a recipe"),
        ("name = 'x'", "'name' in .* is not a key"),
        ("[augment]\nmagnify = 1", "'magnify' in .* is not a key"),
        ("augment = 3", "must be a table"),
        ("lr = 'fast'", "lr must be a number"),
        ("lr = 0", "lr must be a number"),
        ("lr = nan", "lr must be a number"),
        ("epochs = 2.5", "epochs must be a whole number"),
        ("epochs = true", "epochs must be a whole number"),
        ("batch_size = 1", "batch_size must be a whole number in 2–4096"),
        ("optimizer = 'lion'", "adamw, adam, sgd"),
        ("[augment]\nhflip = 1.5", "hflip must be a number in 0–1"),
        ("lr = ", "not a TOML file"),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_sentence(tmp_path, text, words):
    """Unknown keys, other types, values out of range and broken TOML are refused, saying what would be right."""
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(Refused, match=words):
        load_recipe(str(path))


def test_an_unknown_recipe_names_the_known_ones():
    """A recipe that is not there, or one outside the folder, is refused with the list."""
    for name in ("nothing", "../recipes/default"):
        with pytest.raises(Refused, match=r"there are .*default, "):
            load_recipe(name)


# -- Augmentation ------------------------------------------------------------------------------------------------------


def _augment(x, augmentation, seed=0):
    return augment_batch(x, augmentation, PLAIN, torch.Generator().manual_seed(seed))


def _grid(n=1):
    return (torch.arange(16.0).reshape(1, 1, 4, 4) / 15 * 2 - 1).repeat(n, 1, 1, 1)  # normalised, 0–1 as shown


def test_no_augmentation_changes_nothing():
    """An empty augmentation gives the same picture back."""
    torch.testing.assert_close(_augment(_grid(3), Augmentation()), _grid(3))


def test_flips_mirror_the_picture():
    """hflip = 1 mirrors columns, vflip = 1 rows, of every image; 0.5 about half of many."""
    torch.testing.assert_close(_augment(_grid(2), Augmentation(hflip=1)), _grid(2).flip(3))
    torch.testing.assert_close(_augment(_grid(2), Augmentation(vflip=1)), _grid(2).flip(2))
    flipped = (_augment(_grid(400), Augmentation(hflip=0.5))[:, 0, 0, 0] > -0.9).sum()
    assert 150 < flipped < 250


def test_a_move_uncovers_black_and_stays_within_the_shift():
    """A white picture moved by at most a quarter of its edge keeps its middle white and shows black (−1) at an edge."""
    moved = _augment(torch.ones(50, 1, 4, 4), Augmentation(shift=0.25))
    torch.testing.assert_close(moved[:, :, 1:3, 1:3], torch.ones(50, 1, 2, 2))
    assert moved.min() < -0.5


def test_a_quarter_turn_is_exact():
    """Turned by exactly 90° (the range drawn from is one point), a picture equals `rot90` one way or the other."""
    from core.augment import _move

    turned = _move(_grid(), torch.tensor([90.0]), torch.ones(1, 2), torch.zeros(1, 2))
    assert any(torch.allclose(turned, torch.rot90(_grid(), k, (2, 3)), atol=1e-5) for k in (1, 3))


def test_a_crop_shows_a_part_of_the_picture_only():
    """A crop to a quarter of the area of a ramp spans about half its range and never leaves the picture."""
    ramp = torch.linspace(-1, 1, 64).repeat(64, 1)[None, None].repeat(30, 1, 1, 1)
    spec = Preprocessing((64, 64), 1, (0.5,), (0.5,))
    kept = augment_batch(ramp, Augmentation(crop=0.25), spec, torch.Generator().manual_seed(0))
    spans = kept.amax(dim=(1, 2, 3)) - kept.amin(dim=(1, 2, 3))
    assert 0.95 < float(spans.min()) < 1.3
    assert float(spans.max()) <= 2.0


def test_brightness_scales_display_values_and_contrast_keeps_their_mean():
    """Brightness multiplies all display values of an image by one factor in range; contrast leaves the mean where it was."""
    shown = torch.full((40, 1, 4, 4), 0.5) + torch.linspace(-0.1, 0.1, 16).reshape(1, 1, 4, 4)
    factor = (_augment(shown * 2 - 1, Augmentation(brightness=0.2)) + 1) / 2 / shown
    torch.testing.assert_close(factor, factor[:, :1, :1, :1].expand_as(factor))
    assert 0.8 <= float(factor.min()) < 0.9
    assert 1.1 < float(factor.max()) <= 1.2
    contrasted = (_augment(shown * 2 - 1, Augmentation(contrast=0.2)) + 1) / 2
    torch.testing.assert_close(contrasted.mean(dim=(1, 2, 3)), torch.full((40,), 0.5))
    assert float(contrasted.std(dim=(1, 2, 3)).std()) > 0


def test_class_weights_are_those_of_scikit_learn(few_npz):
    """ "balanced" gives scikit-learn's balanced class weights; "none" gives none."""
    from sklearn.utils.class_weight import compute_class_weight

    y = torch.tensor([0, 0, 0, 0, 0, 1])
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=y.numpy())
    np.testing.assert_allclose(
        class_weights(Recipe(class_weights="balanced"), y, get_task(TASK)).numpy(), expected, rtol=1e-6
    )
    assert class_weights(Recipe(), y, get_task(TASK)) is None


def test_bars_are_what_they_say():
    """The made-up pictures alternate classes, and their bars lie or stand as the label says."""
    images, labels = bar_images(10, 0)
    assert labels.tolist() == [0, 1] * 5
    for image, label in zip(images.astype(float), labels, strict=True):
        lying, upright = image.mean(axis=1).max(), image.mean(axis=0).max()
        assert (lying > upright) == bool(label)
