"""Random changes of colour, size and shape: against torchvision, and against what paper says."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import functional as torchvision

from core.augment import _recoloured, augment_batch
from core.preprocess import Preprocessing
from core.recipes import Augmentation

PLAIN = Preprocessing((8, 8), 3, (0.0,) * 3, (1.0,) * 3)
ALL = Augmentation(0.5, 0.5, 0.1, 20, 0.5, 0.2, 0.2, 1.5, 0.2, 0.2, 0.1)


def _augment(x, augmentation, share=None):
    return augment_batch(x, augmentation, PLAIN, torch.Generator().manual_seed(0), share)


@pytest.mark.parametrize("turn", [-0.5, -0.1, 0.05, 0.3])
def test_hue_turns_as_torchvision_does(turn):
    """The same pixels as `adjust_hue`, whatever the sector of the circle."""
    x = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    ours = _recoloured(x, torch.ones(4), torch.full((4,), turn))
    torch.testing.assert_close(ours, torchvision.adjust_hue(x, turn), atol=1e-5, rtol=0)


@pytest.mark.parametrize("factor", [0.0, 0.8, 1.2])
def test_saturation_scales_as_torchvision_does(factor):
    """The same pixels as `adjust_saturation`; torchvision rounds its grey weights to four digits."""
    x = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    ours = _recoloured(x, torch.full((4,), factor), torch.zeros(4))
    torch.testing.assert_close(ours, torchvision.adjust_saturation(x, factor), atol=2e-4, rtol=0)


@pytest.mark.parametrize("what", ["brightness", "contrast"])
def test_brightness_and_contrast_change_as_torchvision_does(what):
    """The same pixels as `adjust_brightness` and `adjust_contrast` by the factor drawn; contrast turns about the mean luma."""
    x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    ours = _augment(x, Augmentation(**{what: 0.5}))
    draws = torch.Generator().manual_seed(0)
    factor = [float(torch.rand(1, generator=draws)) for _ in range(3)][2] + 0.5  # after those of the two flips
    theirs = getattr(torchvision, f"adjust_{what}")(x, factor)
    torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=0)


def test_where_a_crop_lies_says_nothing_of_the_shift():
    """Centres of a moved white disc scatter as far as crop and shift together allow less often than if both went one way."""
    place = torch.linspace(-1, 1, 64)
    disc = ((place[:, None] ** 2 + place**2) < 0.01).float().expand(400, 3, 64, 64)
    weight = _augment(disc, Augmentation(crop=0.25, shift=0.25, fill="edge"))[:, 0]
    columns = (weight.sum(dim=1) @ place) / weight.sum(dim=(1, 2))
    there = columns[columns.isfinite()]
    assert len(there) > 300  # with one draw for both, the disc leaves the picture in half of all cases
    assert float(there.abs().max()) > 0.8


def test_each_image_gets_its_own_colour():
    """Two images with different turns are turned each by its own."""
    x = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    both = _recoloured(x, torch.ones(2), torch.tensor([0.1, -0.2]))
    for i, turn in enumerate((0.1, -0.2)):
        torch.testing.assert_close(both[i], torchvision.adjust_hue(x[i], turn), atol=1e-5, rtol=0)


def test_grey_images_stay_grey():
    """Hue and saturation leave repeated grey channels alone, and one channel too."""
    grey = torch.rand(3, 1, 8, 8)
    colour = Augmentation(saturation=0.9, hue=0.5)
    torch.testing.assert_close(_augment(grey.expand(-1, 3, -1, -1), colour), grey.expand(-1, 3, -1, -1))


def test_zoom_changes_sizes_both_ways():
    """A white disc on black covers between 1 / 1.5² and 1 / 0.5² of its area, some less and some more."""
    place = torch.linspace(-1, 1, 64)
    disc = ((place[:, None] ** 2 + place**2) < 0.16).float().expand(60, 3, 64, 64)
    area = _augment(disc, Augmentation(zoom=0.5)).mean(dim=(1, 2, 3)) / disc.mean(dim=(1, 2, 3))
    assert 0.40 < float(area.min()) < 0.6
    assert 2.0 < float(area.max()) < 4.2


def test_aspect_stretches_a_crop():
    """With a whole-area crop clamped to the picture nothing leaves it; with half the area width and height differ."""
    place = torch.linspace(0, 1, 64)
    ramps = torch.stack([place.expand(64, 64), place[:, None].expand(64, 64), torch.zeros(64, 64)]).expand(
        80, 3, 64, 64
    )
    kept = _augment(ramps, Augmentation(crop=0.5, aspect=2))
    width, height = (kept[:, c].amax(dim=(1, 2)) - kept[:, c].amin(dim=(1, 2)) for c in (0, 1))
    ratio = width / height
    assert 0.45 < float(ratio.min()) < 0.7
    assert 1.4 < float(ratio.max()) < 2.2


def test_aspect_alone_stretches_too():
    """Without any other move one side of the crop is shorter than the picture's, so the picture is stretched along it."""
    place = torch.linspace(0, 1, 64)
    ramps = torch.stack([place.expand(64, 64), place[:, None].expand(64, 64), torch.zeros(64, 64)]).expand(9, 3, 64, 64)
    assert not _augment(ramps, Augmentation(aspect=2)).allclose(ramps, atol=0.02)


def test_fill_repeats_the_edge():
    """A white picture moved over white edges stays white; over black it does not."""
    white = torch.ones(20, 3, 8, 8)
    torch.testing.assert_close(_augment(white, Augmentation(shift=0.5, fill="edge")), white)
    assert _augment(white, Augmentation(shift=0.5)).min() == 0


def test_a_share_of_a_batch_is_changed_as_in_the_whole():
    """Processes that divide a batch draw what one process would draw for it."""
    x = torch.rand(6, 3, 8, 8)
    whole = _augment(x, ALL)
    for rank in (0, 1):
        places = slice(rank, None, 2)
        torch.testing.assert_close(_augment(x[places], ALL, (6, places)), whole[places])
