"""The reference systems' recipes hold the numbers that those systems document; what they leave open is marked as ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.architectures import get_architecture
from core.recipes import Recipe, load_recipe, recipe_names
from core.records import Refused
from core.training import TrainingJob

R1 = [f"r1-{name}" for name in ("vgg16", "resnet18", "resnet50")]
R2 = [f"r2-{name}" for name in ("vgg16", "resnet18", "resnet50")]
R5 = ["r5-resnet50v2", "r5-resnet50v2-weights-15", "r5-resnet50v2-weights-17"]


def _drawn(name):
    """What a recipe's augmentation changes, by key; what it leaves alone is not listed."""
    plain, given = Recipe().augment, load_recipe(name).augment
    return {key: value for key, value in vars(given).items() if value != getattr(plain, key)}


@pytest.mark.parametrize("name", [*R1, *R2])
def test_r1_and_r2_train_as_documented(name):
    """Cross-entropy, SGD momentum 0.9, weight decay 0.01, max(0.01 · 0.1^⌊epoch/10⌋, 1e-5), batch 32, 224 pixels, best by loss."""
    recipe = load_recipe(name)
    assert (recipe.optimizer, recipe.momentum, recipe.weight_decay, recipe.batch_size) == ("sgd", 0.9, 0.01, 32)
    rates = [recipe.learning_rate(epoch) for epoch in (0, 9, 10, 20, 30, 49)]
    np.testing.assert_allclose(rates, [1e-2, 1e-2, 1e-3, 1e-4, 1e-5, 1e-5])
    assert (recipe.monitor, recipe.size, recipe.class_weights, recipe.label_smoothing) == ("val_loss", 224, "none", 0)
    assert recipe.architecture == name.split("-")[1]


@pytest.mark.parametrize("name", R1)
def test_r1_augments_and_stops_as_documented(name):
    """Flip 0.5, ±15°, crop 0.8–1.0, jitter 0.2 / 0.2 / 0.2 / hue 0.1; patience 5; ImageNet mean and std."""
    recipe = load_recipe(name)
    assert _drawn(name) == {
        "hflip": 0.5, "rotate": 15, "crop": 0.8, "aspect": 1.3333,
        "brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.1,
    }  # fmt: skip
    assert (recipe.patience, recipe.normalise) == (5, "architecture")
    known = get_architecture(recipe.architecture)
    assert (known.mean, known.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize("name", R2)
def test_r2_augments_and_stops_as_documented(name):
    """Translation 10 %, brightness, random resized crop as torchvision, both flips 0.5; patience 7; mean, std 0.5."""
    recipe = load_recipe(name)
    drawn = {"hflip": 0.5, "vflip": 0.5, "shift": 0.1, "crop": 0.08, "aspect": 1.3333, "brightness": 0.2}
    assert _drawn(name) == drawn
    assert (recipe.patience, recipe.normalise) == (7, "half")


def test_r3_has_two_phases():
    """ResNet50, Adam, 150 pixels in 0 to 1; the last layer alone, then the deeper ones at a rate of their own."""
    recipe = load_recipe("r3-resnet50-two-phase")
    assert (recipe.architecture, recipe.optimizer, recipe.size, recipe.normalise) == ("resnet50", "adam", 150, "unit")
    assert set(_drawn(recipe.name)) == {"rotate", "shift", "zoom"}
    phases = [(recipe.frozen(epoch), recipe.learning_rate(epoch)) for epoch in (0, 9, 10, 29)]
    assert phases == [(True, 1e-3), (True, 1e-3), (False, 1e-5), (False, 1e-5)]
    assert recipe.unfreeze == ("layer4",)


@pytest.mark.parametrize(
    ("name", "architecture", "size", "channels"),
    [
        ("r4-vgg16-breast", "vgg16", 32, 3),
        ("r4-resnet50-blood", "resnet50", 100, 3),
        ("r4-cnn-a", "r4-cnn-a", 28, 3),
        ("r4-cnn-b", "r4-cnn-b", 28, 3),
        ("r4-cnn-c", "r4-cnn-c", 28, 1),
        ("r4-cnn-c-augmented", "r4-cnn-c", 28, 1),
    ],
)
def test_r4_ties_each_model_to_its_input(name, architecture, size, channels):
    """Each has its own architecture, input size and channels."""
    recipe = load_recipe(name)
    assert (recipe.architecture, recipe.size) == (architecture, size)
    assert get_architecture(architecture).preprocessing(size).channels == channels


def test_r4_augments_as_documented():
    """Rotation 20° and shift 0.2 with feature-wise centre and std; ResNet50: zoom, 90°, both flips; B and plain C: nothing."""
    turn = {"rotate": 20, "shift": 0.2, "fill": "edge"}
    assert _drawn("r4-cnn-a") == _drawn("r4-vgg16-breast") == _drawn("r4-cnn-c-augmented") == turn
    assert _drawn("r4-resnet50-blood") == {"hflip": 0.5, "vflip": 0.5, "rotate": 90, "zoom": 0.2, "fill": "edge"}
    assert _drawn("r4-cnn-b") == _drawn("r4-cnn-c") == {}
    augmented = ("r4-cnn-a", "r4-vgg16-breast", "r4-cnn-c-augmented", "r4-resnet50-blood")
    assert {load_recipe(name).normalise for name in augmented} == {"dataset"}
    assert {load_recipe(name).normalise for name in ("r4-cnn-b", "r4-cnn-c")} == {"unit"}
    assert load_recipe("r4-cnn-c").kernel_l2 == load_recipe("r4-cnn-c-augmented").kernel_l2 > 0


@pytest.mark.parametrize(("name", "cancer", "normal"), [(R5[0], 23.6, 0.51), (R5[1], 15, 0.5), (R5[2], 17, 0.5)])
def test_r5_weighs_classes_and_stops_on_auc(name, cancer, normal):
    """ResNet50V2 frozen for good, Adam, 256 pixels, best by validation AUC, one weight for each class by its name."""
    recipe = load_recipe(name)
    assert (recipe.architecture, recipe.optimizer, recipe.size, recipe.monitor) == (
        "resnet50v2",
        "adam",
        256,
        "val_auc",
    )
    assert recipe.class_weights == {"cancer": cancer, "normal": normal}
    assert all(recipe.frozen(epoch) for epoch in (0, recipe.epochs - 1, 500))
    assert _drawn(name) == {}


def test_r5s_balanced_weights_are_balanced():
    """43,764 training images, 926 of them with cancer: N / (2 n) is 23.6 and 0.51."""
    assert [round(43_764 / (2 * n), d) for n, d in ((926, 1), (43_764 - 926, 2))] == [23.6, 0.51]


def test_a_recipe_survives_its_dictionary():
    """Every recipe is the same after `as_dict` and back, as resuming needs it."""
    for name in recipe_names():
        assert Recipe.from_dict(load_recipe(name).as_dict()) == load_recipe(name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("class_weights = 'heavy'", "class_weights must be none, balanced, or a table"),
        ("[class_weights]\nbenign = -1", "class_weights must be none, balanced, or a table"),
        ("class_weights = {}", "class_weights must be"),
        ("oversample = 1", "oversample must be true or false"),
        ("unfreeze = 'layer4'", "unfreeze must be a list of layers"),
        ("architecture = 3", "architecture must be a name"),
        ("frozen_epochs = -2", "frozen_epochs must be a whole number"),
        ("precision = 'int8'", "auto, fp32, bf16, fp16"),
        ("[augment]\nfill = 'white'", "black, edge"),
    ],
)
def test_a_wrong_value_is_refused(tmp_path, text, words):
    """Keys of other types or out of range are refused, saying what would be right."""
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(Refused, match=words):
        load_recipe(str(path))


@pytest.mark.parametrize(("epochs", "frozen"), [(None, 10), (3, 1), (1, 1), (12, 4), (60, 10)])
def test_fewer_epochs_keep_both_phases(epochs, frozen):
    """R3's thirty epochs, the first ten frozen, cut to three: the first is frozen and two are not. More epochs change nothing."""
    recipe = TrainingJob(
        Path("d"), "breast-ultrasound", "", "r3-resnet50-two-phase", Path("r"), epochs=epochs
    ).resolved()
    assert recipe.frozen_epochs == frozen
    assert recipe.epochs == (epochs or load_recipe("r3-resnet50-two-phase").epochs)
