"""What is said of how finely a heatmap sees: the truth, not the grid that its values are painted on."""

from __future__ import annotations

import numpy as np
import pytest

from core.explain import METHODS, Request, explain
from core.explain.fit import unfit
from core.explain.overlay import caption
from core.explain.resolution import caveat, is_painted, resolution
from core.records import Heatmap
from tests.core.test_explain import grey, random_checkpoint


def made(method: str, shape: tuple[int, int], **facts: object) -> Heatmap:
    """A heatmap of ones with those parameters."""
    return Heatmap(np.ones(shape, np.float32), method, "malignant", "input", "v", "h", METHODS[method].signed, facts)


@pytest.mark.parametrize(
    ("method", "shape", "facts", "said", "painted"),
    [
        ("gradcam", (7, 7), {}, "7 × 7", False),
        ("smoothgrad", (224, 224), {}, "224 × 224", False),
        ("occlusion", (224, 224), {"window": [32, 32], "stride": [16, 16]}, "windows of 32 × 32 every 16 pixels", True),
        ("occlusion", (9, 9), {"window": [4, 3], "stride": [2, 1]}, "windows of 4 × 3 every 2 and 1 pixels", True),
        ("lime", (224, 224), {"superpixels": 47}, "47 superpixels", True),
    ],
)
def test_the_resolution_is_what_the_method_covers(method, shape, facts, said, painted):
    """A grid where there is one; windows and superpixels where these were covered; captions and caveats say the same."""
    heatmap = made(method, shape, **facts)
    assert resolution(heatmap) == said
    assert is_painted(heatmap) is painted
    assert said in caption(heatmap)
    assert said in caveat(heatmap)
    assert caveat(heatmap).endswith("; not a lesion outline.")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_that_covers_parts_says_so(method):
    """As `explain` makes them on a small network: no covering method claims the input's grid."""
    checkpoint = random_checkpoint("small-cnn", 32)
    if unfit(METHODS[method], checkpoint):
        pytest.skip("not for this network")
    few = {
        name: 2 for name in ("samples", "permutations", "steps") if name in METHODS[method].defaults((32, 32), (8, 8))
    }
    image = grey(np.random.default_rng(0).integers(0, 255, (32, 32), dtype=np.uint8))
    heatmap = explain(checkpoint, image, Request(method, "malignant", parameters=few))
    covers = method in ("occlusion", "lime", "feature-ablation", "shapley")
    assert is_painted(heatmap) is covers
    assert ("superpixels" in resolution(heatmap) or "windows" in resolution(heatmap)) is covers
