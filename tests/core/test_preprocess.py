"""One image gives one tensor, in training and in the app, with corners where they belong."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image as Png

from core.architectures import ARCHITECTURES
from core.datasets import load_dataset, tensors
from core.preprocess import Preprocessing, display_values, preprocess, preprocess_batch
from core.reading import read_upload
from core.records import Image, Refused, Window, full_range_window
from tests.core.bars import TASK, write_png

UNIT = Preprocessing((4, 4), 1, (0.0,), (1.0,))


def _grey(pixels):
    return Image(pixels, full_range_window(pixels))


def test_at_its_own_size_an_image_is_its_display_values():
    """A 4 × 4 ramp at 4 × 4 pixels, mean 0 and std 1, is level / 255, untouched by resizing."""
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    torch.testing.assert_close(preprocess(_grey(pixels), UNIT)[0], torch.from_numpy(pixels / 255).float())


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 13), (40, 4), (3, 2)])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, -1), (-1, 0), (-1, -1)])
def test_a_bright_corner_stays_in_its_corner(height, width, row, column):
    """Whatever the shape, a white corner pixel is brightest in the same corner of the tensor: nothing is turned or cut."""
    pixels = np.zeros((height, width), np.uint8)
    pixels[row, column] = 255
    x = preprocess(_grey(pixels), UNIT)[0]
    assert x[row, column] == x.max() > 0
    assert x.shape == (4, 4)


def test_halving_averages_with_the_antialiasing_triangle():
    """8 → 4 bilinear with antialiasing weighs four neighbours 1/8, 3/8, 3/8, 1/8 (renormalised at the edge)."""
    row = np.array([0, 8, 16, 24, 80, 88, 96, 104], np.uint8)
    got = preprocess(_grey(np.tile(row, (8, 1))), UNIT)[0, 0].numpy() * 255
    inner = [(1 * 8 + 3 * 16 + 3 * 24 + 1 * 80) / 8, (1 * 24 + 3 * 80 + 3 * 88 + 1 * 96) / 8]
    edges = [(3 * 0 + 3 * 8 + 1 * 16) / 7, (1 * 88 + 3 * 96 + 3 * 104) / 7]
    np.testing.assert_allclose(got, [edges[0], *inner, edges[1]], rtol=1e-5)


def test_the_window_decides_what_is_black_and_white():
    """A 12-bit image through its window: below is 0, above is 1, the middle one half, whatever the full range."""
    pixels = np.array([[0, 1000], [1500, 4095]], np.uint16)
    image = Image(pixels, Window(1500, 1000, "LINEAR_EXACT"))
    np.testing.assert_allclose(display_values(image), [[0, 0], [0.5, 1]])
    x = preprocess(image, Preprocessing((2, 2), 1, (0.5,), (0.25,)))
    np.testing.assert_allclose(x[0], [[-2, -2], [0, 2]])


def test_colour_and_grey_meet_either_number_of_channels():
    """Grey is repeated to three channels, each with its own mean; colour becomes BT.601 luma for one."""
    grey = _grey(np.full((4, 4), 51, np.uint8))  # 0.2
    three = Preprocessing((4, 4), 3, (0.0, 0.1, 0.2), (1.0, 1.0, 2.0))
    torch.testing.assert_close(preprocess(grey, three)[:, 0, 0], torch.tensor([0.2, 0.1, 0.0]))
    colour = Image(np.full((4, 4, 3), (255, 0, 51), np.uint8))
    torch.testing.assert_close(preprocess(colour, three)[:, 0, 0], torch.tensor([1.0, -0.1, 0.0]))
    assert float(preprocess(colour, UNIT)[0, 0, 0]) == pytest.approx(0.299 + 0.114 * 0.2, abs=1e-6)


def test_a_batch_is_its_images_one_by_one():
    """Images of different shapes become one tensor whose rows are the single tensors."""
    images = [_grey(np.random.default_rng(i).integers(0, 255, (5 + i, 9), np.uint8)) for i in range(3)]
    batch = preprocess_batch(images, UNIT)
    assert batch.shape == (3, 1, 4, 4)
    assert all(batch[i].equal(preprocess(image, UNIT)) for i, image in enumerate(images))


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_training_and_the_app_see_the_same_tensor(tmp_path, name, colour):
    """The same PNG, uploaded in the app or read from a training folder, gives equal tensors, bit for bit."""
    shape = (37, 53, 3) if colour else (37, 53)
    path = write_png(tmp_path / "test/Benign/p/a.png", np.random.default_rng(0).integers(0, 255, shape, np.uint8))
    spec = ARCHITECTURES[name].preprocessing(64)
    in_training, _ = tensors(load_dataset(tmp_path, TASK), "test", spec)
    (study,) = read_upload("a.png", path.read_bytes(), task=TASK)
    in_app = preprocess_batch(study.images, spec)
    assert in_training.equal(in_app)
    assert in_app.shape == (1, spec.channels, 64, 64)


def test_resizing_agrees_with_pillow_within_two_grey_levels():
    """An outside reference: Pillow's bilinear reduction of the same picture differs by its rounding to whole levels only."""
    pixels = np.random.default_rng(1).integers(0, 255, (60, 90), np.uint8)
    expected = np.asarray(Png.fromarray(pixels).resize((32, 16), Png.Resampling.BILINEAR), np.float32)
    got = preprocess(_grey(pixels), Preprocessing((16, 32), 1, (0.0,), (1.0,)))[0].numpy() * 255
    assert np.abs(got - expected).max() < 2


def test_parameters_survive_json_and_nonsense_is_refused():
    """`from_dict` undoes `as_dict`, lists included; channels, sizes and spreads that cannot be are refused."""
    import json

    spec = ARCHITECTURES["resnet18"].preprocessing(96)
    assert Preprocessing.from_dict(json.loads(json.dumps(spec.as_dict()))) == spec
    for bad in (((4, 4), 2, (0, 0), (1, 1)), ((4, 4), 3, (0,), (1,)), ((0, 4), 1, (0,), (1,)), ((4, 4), 1, (0,), (0,))):
        with pytest.raises(Refused):
            Preprocessing(*bad)


def test_a_jpeg_is_read_alike_on_both_ways(tmp_path):
    """Lossy files too: one decoder, so equal tensors."""
    buffer = io.BytesIO()
    Png.fromarray(np.random.default_rng(2).integers(0, 255, (40, 40, 3), np.uint8)).save(buffer, "JPEG")
    path = tmp_path / "test" / "Benign" / "a.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(buffer.getvalue())
    in_training, _ = tensors(load_dataset(tmp_path, TASK), "test", UNIT)
    assert in_training.equal(preprocess_batch(read_upload("a.jpg", buffer.getvalue())[0].images, UNIT))
