"""How heatmaps are judged: each measure on paper, on models whose answer is known, and on methods that must fail."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from core.__main__ import main
from core.architectures import ARCHITECTURES
from core.datasets import load_dataset
from core.datasets.phantom import write_phantoms
from core.explain import METHODS, Cancelled
from core.explain.honesty import benchmark, masks
from core.explain.honesty.beside import badges, check_map, legend, numbers, rivals_of
from core.explain.honesty.faithfulness import (
    RANDOM_ORDERS,
    Area,
    Faithfulness,
    Rivals,
    Scorer,
    moved,
    quick_module,
    stability,
)
from core.explain.honesty.maker import Maker, untrained
from core.explain.honesty.masks import against_masks, best_threshold, better, brightness_map, centre_map
from core.explain.honesty.material import MaskedCase, Material, material_of
from core.explain.honesty.randomisation import median_estimate, randomisation, rank_correlation
from core.explain.honesty.reference import full_colour, reference
from core.explain.honesty.words import colours, not_offered, pointing, randomised, sentence
from core.records import Image, Refused
from tests.core.bars import TASK, write_bars_npz
from tests.core.test_explain import bright_spot_checkpoint, grey, random_checkpoint


def spot_case(row: int, column: int, *, brightest: bool = True, seed: int = 0) -> MaskedCase:
    """A 64 × 64 picture of dim noise with a bright 8 × 8 block that is the lesion."""
    pixels = np.random.default_rng(seed).integers(0, 100, (64, 64), dtype=np.uint8)
    pixels[row : row + 8, column : column + 8] = 250 if brightest else 20
    mask = np.zeros((64, 64), bool)
    mask[row : row + 8, column : column + 8] = True
    return MaskedCase(grey(pixels), mask, "malignant", f"p{seed}")


class Fixed(Maker):
    """A method that looks at the picture alone, whatever the weights."""

    def values(self, image: Image, target: str, other: object = None) -> np.ndarray:
        """Brightness."""
        self.check()
        return brightness_map(image).astype(np.float32)


def test_rank_correlation_is_scipys():
    """With ties too; a flat map against another is 0, two flat ones have none."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (6, 7)), rng.normal(size=(6, 7))
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic)
    assert rank_correlation(a, a * 3.0 + 1) == pytest.approx(1)
    assert rank_correlation(a, -a) == pytest.approx(-1)
    assert rank_correlation(a, np.zeros((6, 7))) == 0
    assert rank_correlation(np.ones((6, 7)), np.zeros((6, 7))) is None
    with pytest.raises(ValueError, match="same number"):
        rank_correlation(a, b[:2])


def test_the_interval_of_a_median_is_the_printed_one():
    """Order statistics of n = 6: both ends; n = 20: the 6th and 15th (binomial table); below six there is none."""
    assert median_estimate(range(6), "").low == 0
    assert median_estimate(range(6), "").high == 5
    twenty = median_estimate(range(1, 21), "")
    assert (twenty.value, twenty.low, twenty.high, twenty.n) == (10.5, 6, 15, 20)
    five = median_estimate(range(5), "")
    assert (five.value, five.low) == (2, None)
    assert "six" in five.reason
    assert median_estimate([], "why").reason == "why"


@pytest.mark.parametrize("architecture", ["small-cnn", "resnet18", "resnet50v2"])
def test_untrained_weights_are_new_repeatable_and_usable(architecture):
    """Every kernel differs, the same seed gives the same, another another; logits are finite; the state of torch stays."""
    checkpoint = random_checkpoint(architecture)
    before = torch.get_rng_state()
    one, again, other = (untrained(checkpoint, seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    kernels = [name for name, value in checkpoint.state.items() if value.ndim >= 2]
    assert kernels
    for name in kernels:
        assert torch.equal(one.state[name], again.state[name])
        assert not torch.equal(one.state[name], other.state[name])
        assert not torch.equal(one.state[name], checkpoint.state[name])
    edge = checkpoint.preprocessing.size[0]
    x = torch.rand(1, checkpoint.preprocessing.channels, edge, edge)
    assert torch.isfinite(one.module()(x)).all()


def test_a_map_of_the_model_passes_the_randomisation_and_a_picture_of_the_input_fails():
    """Grad-CAM of a model that sees a spot changes with the weights; brightness does not: correlation 1, not offered."""
    images = [(spot_case(8 * (i % 7), 16, seed=i).image, "malignant") for i in range(6)]
    checkpoint = bright_spot_checkpoint()
    real = randomisation(Maker(checkpoint, "gradcam"), images, 2)
    assert real["passes"] is True
    assert real["correlation"].n == 6
    fake = benchmark.plain(randomisation(Fixed(checkpoint, "gradcam"), images, 2))
    assert (fake["passes"], fake["correlation"]["value"]) == (False, pytest.approx(1))
    assert "rank correlation 1.00" in not_offered({"randomisation": fake})
    assert sentence({"randomisation": fake}).startswith("Not offered to reviewers")
    assert "passed" in randomised({"randomisation": benchmark.plain(real)})
    assert "not yet checked" in randomised({})


class Sparse(Maker):
    """A method that sees brightness whatever the weights, but nothing at all through models whose turn is in `silent`."""

    silent: frozenset[int] = frozenset()

    def values(self, image: Image, target: str, other: object = None) -> np.ndarray:
        """Brightness, or zeros."""
        if other is not None and id(other) not in (turns := self.__dict__.setdefault("turns", {})):
            turns[id(other)] = (len(turns), other)
        quiet = other is not None and self.turns[id(other)][0] in self.silent
        return np.zeros((64, 64), np.float32) if quiet else brightness_map(image).astype(np.float32)


@pytest.mark.parametrize(
    ("silent", "passes", "drawn", "flat"), [((), False, 3, 0), ((0, 2), False, 5, 12), (range(99), None, 12, 72)]
)
def test_maps_of_nothing_of_other_weights_are_no_difference(silent, passes, drawn, flat):
    """Two of three models without a map once let anything pass: others are drawn; where all are, nothing can be told."""
    images = [(spot_case(8 * (i % 7), 16, seed=i).image, "malignant") for i in range(6)]
    maker = Sparse(bright_spot_checkpoint(), "gradcam")
    maker.silent = frozenset(silent)
    found = benchmark.plain(randomisation(maker, images, 3))
    assert (found["passes"], found["drawn"], found["flat"]) == (passes, drawn, flat)
    assert found["correlation"]["n"] == (0 if passes is None else 6)
    if passes is None:
        assert "every map of re-initialised models is the same everywhere" in not_offered({"randomisation": found})


def test_how_many_maps_were_left_out_is_said():
    """Where the method passes all the same."""
    facts = {"correlation": figure(0.1), "flat": 5}
    assert "5 maps of re-initialised models that are the same everywhere left out" in randomised(
        {"randomisation": facts}
    )
    assert "left out" not in randomised({"randomisation": {**facts, "flat": 0}})


def figure(value: float) -> dict[str, object]:
    """An estimate as a mapping."""
    return {"value": value, "low": 0.0, "high": value + 0.1, "n": 12, "method": "median", "reason": ""}


def signed_fake(change: str) -> type[Maker]:
    """A signed method that sees brightness through every model: with `signs` drawn from the weights, or `places` of them."""

    class Fake(Maker):
        def values(self, image, target, other=None):
            weights = 0 if other is None else int(abs(float(other.state["fc.weight"][0, 1])) * 1e6)
            rng, bright = np.random.default_rng(weights), brightness_map(image).astype(np.float32)
            half = np.where(np.arange(64) < 32, -1, 1)  # its own sign is the column's
            if change == "signs":
                return bright * (half if other is None else rng.choice([-1, 1], (64, 64)))
            return half * rng.permuted(bright.ravel()).reshape(64, 64)

    return Fake


SIGNED = [name for name, method in METHODS.items() if method.signed]


@pytest.mark.parametrize("method", SIGNED)
@pytest.mark.parametrize(
    ("change", "signs_alike", "places_alike"), [("signs", False, True), ("places", True, False), ("none", True, True)]
)
def test_a_signed_method_must_pass_with_its_signs_and_with_its_sizes(method, change, signs_alike, places_alike):
    """Brightness times signs of the weights keeps its places, the column's sign on shuffled brightness keeps its signs.

    Either alone fails every signed method, and the reason says which it was.
    """
    images = [(spot_case(8, 8, seed=i).image, "malignant") for i in range(6)]
    maker = Fixed if change == "none" else signed_fake(change)
    found = benchmark.plain(randomisation(maker(bright_spot_checkpoint(), method), images, 2))
    assert (found["correlation"]["value"] >= 0.5) == signs_alike
    assert (found["magnitudes"]["value"] >= 0.5) == places_alike
    assert found["passes"] is False
    assert ("look the same" if signs_alike else "at the same places") in not_offered({"randomisation": found})
    assert sentence({"randomisation": found}).startswith("Not offered to reviewers")


def test_methods_without_signs_have_one_correlation():
    """There `magnitudes` would say the same once more; a signed method that passes tells both."""
    images = [(spot_case(8 * (i % 7), 16, seed=i).image, "malignant") for i in range(6)]
    assert "magnitudes" not in randomisation(
        Maker(bright_spot_checkpoint(), "smoothgrad", parameters={"samples": 2}), images, 1
    )
    found = benchmark.plain(randomisation(Maker(bright_spot_checkpoint(), "guided-gradcam"), images, 2))
    assert found["passes"] is True
    assert ", of sizes 0." in randomised({"randomisation": found})


@pytest.mark.parametrize(
    ("high", "words"), [(0.49, "randomisation ("), (0.8, "not beyond doubt"), (None, "not beyond doubt")]
)
def test_a_pass_whose_interval_reaches_the_bar_is_said_to_be_doubtful(high, words):
    """0.40 passes; with an interval to 0.80, or with none, that is not sure."""
    facts = {"correlation": {"value": 0.4, "low": 0.1, "high": high, "n": 12}}
    assert not_offered({"randomisation": facts}) == ""
    assert words in randomised({"randomisation": facts})


def test_maps_without_anything_are_undecided_and_not_offered():
    """Six black pictures: Grad-CAM is zero everywhere, so nothing can be compared."""
    black = [(grey(np.zeros((64, 64), np.uint8)), "malignant")] * 6
    found = benchmark.plain(randomisation(Maker(bright_spot_checkpoint(), "gradcam"), black, 1))
    assert (found["passes"], found["correlation"]["value"]) == (None, None)
    assert "same everywhere" in not_offered({"randomisation": found})


def test_the_areas_of_a_model_on_paper():
    """A model that looks at the mean alone: the probability falls in a straight line in any order of a flat picture.

    Against this the perfect order of a picture with one bright block removes the evidence first.
    """
    case = spot_case(40, 8)
    scorer = Scorer(bright_spot_checkpoint(), case.image, "malignant")
    right, wrong = scorer.of_map(case.mask.astype(float)), scorer.of_map(1.0 - case.mask)
    assert right.own.deletion < wrong.own.deletion
    assert right.own.insertion > wrong.own.insertion
    assert right.better("deletion") is True
    assert wrong.better("deletion") is False
    assert right.rivals is wrong.rivals  # made once
    flat = Scorer(bright_spot_checkpoint(), grey(np.full((64, 64), 99, np.uint8)), "malignant")
    found = flat.of_map(np.random.default_rng(0).random((8, 8)))
    assert found.own.deletion == pytest.approx(found.own.insertion)
    assert found.beaten("deletion") == 0  # covering a flat picture with its own mean changes nothing


def test_better_than_random_is_a_randomisation_test():
    """All 19 beaten: p = 1/20, better; 18: 0.10, undecided; 9: more than half are as good, not better. An equal area counts."""
    rivals = Rivals(tuple(Area(a / 100, a / 100) for a in range(1, 20)), Area(0, 0))

    def judged(deletion: float) -> tuple[float, bool | None]:
        found = Faithfulness(Area(deletion, 0), rivals)
        return found.p("deletion"), found.better("deletion")

    assert judged(0.0) == (0.05, True)
    assert judged(0.01) == (0.1, None)
    assert judged(0.1) == (0.55, False)
    assert judged(0.095) == (0.5, None)
    assert Faithfulness(Area(0, 0.195), rivals).better("insertion") is True


def test_an_order_that_knows_nothing_is_seldom_called_better():
    """Of 400 orders drawn like their 19 rivals about a twentieth beats all of them: with seven of eight it was two ninths."""
    rng, green = np.random.default_rng(5), 0
    for _ in range(400):
        own, *others = (Area(area, 0) for area in rng.random(1 + RANDOM_ORDERS))
        green += Faithfulness(own, Rivals(tuple(others), Area(0, 0))).better("deletion") is True
    assert 0.02 < green / 400 < 0.09


def test_a_map_of_nothing_has_no_badge_and_counts_as_random():
    """Zero everywhere: nothing is said of it, green least of all; measured over many maps it gains nothing over random orders."""
    case, maker = spot_case(40, 8), Maker(bright_spot_checkpoint(), "gradcam")
    made = maker.heatmap(case.image, "malignant")
    facts = check_map(maker, case.image, replace(made, values=np.zeros_like(made.values)))
    assert badges(facts) == [("The same everywhere: nothing to check", None)]
    assert (numbers(facts), rivals_of(facts)) == ([], None)
    assert "nothing to compare" in legend(facts)
    found = Scorer(maker.checkpoint, case.image, "malignant").of_map(np.zeros((8, 8)))
    assert found.own.deletion == pytest.approx(np.mean([area.deletion for area in found.rivals.random]))
    assert found.better("deletion") is not True


def test_stability_of_maps_without_anything_is_undefined():
    """Two flat maps are not alike: nothing is known. A map that vanishes when the picture moves is not stable."""

    class Nothing(Maker):
        def values(self, image, target, other=None):
            return np.zeros((64, 64), np.float32)

    case, maker = spot_case(20, 36), Nothing(bright_spot_checkpoint(), "gradcam")
    assert stability(maker, case.image, "malignant", np.zeros((64, 64), np.float32)) == [None] * 3
    assert stability(maker, case.image, "malignant", brightness_map(case.image)) == [0.0] * 3
    areas = {"deletion": 0.5, "insertion": 0.5}
    facts = {"flat": False, "better": dict.fromkeys(areas), "stability": [None] * 3, "random": [areas] * 19}
    assert badges(facts)[-1] == ("Stability: undefined", None)
    assert badges(facts | {"stability": [None, 0.9, None]})[-1] == ("Stable", True)
    assert "–, –, –" in legend(facts)


def test_the_orders_beside_a_map_are_made_once_for_all_methods(monkeypatch):
    """A second map of the same picture and class costs its own curve only, beside a map as over many."""
    case = spot_case(40, 8)
    maker = Maker(bright_spot_checkpoint(), "gradcam")
    made = maker.heatmap(case.image, "malignant")
    first = check_map(maker, case.image, made)
    monkeypatch.setattr(Scorer, "_orders", lambda _: pytest.fail("made again"))
    again = check_map(maker, case.image, made, rivals_of(json.loads(json.dumps(first))))
    assert again == first


def test_measuring_faithfulness_makes_the_orders_once_for_all_methods(monkeypatch):
    """Two methods on three pictures: three times, not six."""
    made: list[int] = []
    orders = Scorer._orders
    monkeypatch.setattr(Scorer, "_orders", lambda scorer: made.append(1) or orders(scorer))
    job = job_on(tuple(spot_case(8 * i, 8, seed=i) for i in range(3)))
    assert len(list(benchmark.measure(job, [("gradcam", "faithfulness"), ("layercam", "faithfulness")]))) == 2
    assert len(made) == 3


@pytest.mark.parametrize("architecture", ["small-cnn", "resnet18"])
def test_curves_come_from_a_faster_network_with_the_same_scores(architecture):
    """Batch norms are folded into the convolutions before them."""
    checkpoint = random_checkpoint(architecture)
    spec = checkpoint.preprocessing
    x = torch.rand(1, spec.channels, *spec.size)
    quick = quick_module(checkpoint, "cpu", x)
    norms = [sum(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules()) for net in (checkpoint.module(), quick)]
    assert norms[1] < norms[0] / 2
    torch.testing.assert_close(quick(x), checkpoint.module()(x), atol=1e-5, rtol=1e-4)


def test_moving_a_picture_repeats_its_edge():
    """Down one, right two; and back."""
    given = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(moved(given, 1, 2), [[0, 0, 0, 1], [0, 0, 0, 1], [4, 4, 4, 5]])
    np.testing.assert_array_equal(moved(given, -1, 0), [[4, 5, 6, 7], [8, 9, 10, 11], [8, 9, 10, 11]])


def test_a_map_that_follows_the_picture_is_stable_and_noise_is_not():
    """Brightness moves with the picture; a map drawn anew each time does not."""
    case = spot_case(20, 36)
    maker = Fixed(bright_spot_checkpoint(), "gradcam")
    own = maker.values(case.image, "malignant")
    assert min(stability(maker, case.image, "malignant", own)) > 0.95

    class Noise(Maker):
        def values(self, image, target, other=None):
            return np.random.default_rng().random((64, 64), dtype=np.float32)

    noise = Noise(bright_spot_checkpoint(), "gradcam")
    assert max(abs(v) for v in stability(noise, case.image, "malignant", noise.values(case.image, ""))) < 0.2


def test_controls_point_where_they_say():
    """The centre map peaks in the middle, the brightness map on the bright block."""
    values = centre_map((5, 9))
    assert np.unravel_index(values.argmax(), values.shape) == (2, 4)
    row, column = np.unravel_index(brightness_map(spot_case(8, 40).image).argmax(), (64, 64))
    assert 8 <= row < 16
    assert 40 <= column < 48


def test_a_model_that_sees_the_lesion_beats_the_centre_but_not_the_brightest_spot():
    """The lesion is the bright block, away from the centre: both hit it always, so neither is better; the page says so."""
    cases = [spot_case(8 * (i % 3), 40 + 8 * (i % 2), seed=i) for i in range(8)]
    found = benchmark.plain(against_masks(Maker(bright_spot_checkpoint(), "gradcam"), cases, cases[:3]))
    assert found["own"]["hit"]["value"] == 1
    assert found["own"]["hit"]["n"] == 8
    assert found["controls"]["centre"]["hit"]["value"] == 0
    assert better(found["differences"]["centre"]["hit"]) is True
    assert better(found["differences"]["brightest"]["hit"]) is None
    said = pointing(found)
    assert "better than the image centre" in said
    assert "not better than the brightest spot" in said
    assert found["empty"] == 0


def test_a_model_that_sees_nothing_is_not_better_than_the_centre():
    """Lesions in the middle, evidence elsewhere: worse than the centre, and the sentence says it."""
    cases = []
    for i in range(8):
        mask = np.zeros((64, 64), bool)
        mask[28:36, 28:36] = True
        cases.append(replace(spot_case(0, 0, seed=i), mask=mask))
    found = benchmark.plain(against_masks(Maker(bright_spot_checkpoint(), "gradcam"), cases))
    assert found["own"]["hit"]["value"] == 0
    assert "worse than the image centre" in pointing(found)
    assert found["own"]["threshold"] == 0.5  # nothing to choose it on


def test_empty_maps_are_misses():
    """A black picture gives no map: energy 0, a miss, counted."""
    case = replace(spot_case(8, 8), image=grey(np.zeros((64, 64), np.uint8)))
    found = against_masks(Maker(bright_spot_checkpoint(), "gradcam"), [case, spot_case(8, 8, seed=1)])
    assert (found["empty"], found["own"]["hit"].value, found["own"]["energy"].n) == (1, 0.5, 2)


def test_the_untrained_control_is_the_upper_median(monkeypatch):
    """Of hit shares 0, 0, … with eight models the fifth smallest counts."""
    cases = [spot_case(8, 8), spot_case(16, 16, seed=1)]
    made = iter([0, 0, 0, 0, 1, 1, 2, 2])  # hits of each model

    def fake(maker, seed, cases, tuning):
        hits = next(made)
        right = [np.where(c.mask, 1.0, 0.1) if i < hits else np.where(c.mask, 0.1, 1.0) for i, c in enumerate(cases)]
        return [masks.overlap(values, c.mask) for values, c in zip(right, cases, strict=True)], 0.5

    monkeypatch.setattr(masks, "_untrained", fake)
    found = against_masks(Maker(bright_spot_checkpoint(), "gradcam"), cases)
    assert found["controls"]["untrained"]["hit"].value == 0.5


def test_the_best_threshold_is_the_one_with_the_largest_overlap():
    """A lesion at 0.8 of the maximum and more, noise at 0.6: thresholds above 0.6 up to 0.8 are perfect, the lowest is taken."""
    mask = np.zeros((4, 4), bool)
    mask[:2, :2] = True
    values = np.where(mask, 0.8, 0.6)
    values[0, 0] = 1
    assert best_threshold([(values, mask)]) == pytest.approx(0.65)
    assert best_threshold([]) == 0.5
    assert best_threshold([(np.zeros((4, 4)), mask)]) == pytest.approx(0.05)


def test_the_reference_is_numpys_quantile_over_all_maps():
    """Of maps on an 8 × 8 grid, with the largest value; nothing to show gives no scale."""
    images = [(spot_case(8 * i, 8, seed=i).image, "malignant") for i in range(5)]
    maker = Maker(bright_spot_checkpoint(), "gradcam")
    facts = reference(maker, images)
    pooled = np.concatenate([maker.values(image, target).ravel() for image, target in images])
    assert facts["n"] == 5
    assert full_colour(facts) == pytest.approx(np.quantile(pooled, 0.99))
    assert facts["maximum"] == pytest.approx(pooled.max())
    assert "5 validation maps" in colours({"reference": facts})
    black = reference(maker, [(grey(np.zeros((64, 64), np.uint8)), "malignant")])
    assert full_colour(black) is None
    assert "No reference scale" in colours({"reference": black})
    assert full_colour(None) is None


@pytest.fixture(scope="module")
def phantom_folder(tmp_path_factory) -> Path:
    """Phantoms with masks."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, patients={"train": 2, "val": 8, "test": 8}, seed=4, size=64)
    return folder


def test_masks_of_a_folder_are_found_and_fit(phantom_folder):
    """Malignant test phantoms with their masks, whose lesion is brighter than the picture; validation pictures of both classes."""
    material = material_of(load_dataset(phantom_folder, "breast-mri"), phantom_folder, 100)
    assert (len(material.images), len(material.cases), len(material.tuning)) == (8, 4, 4)
    for case in material.cases:
        assert case.target == "malignant"
        assert case.image.pixels[case.mask].mean() > case.image.pixels.mean()
    assert len(material_of(load_dataset(phantom_folder, "breast-mri"), phantom_folder, 2).cases) == 2


def test_masks_of_an_npz_are_found_and_must_fit(tmp_path):
    """`test_masks` in the order of the images; empty ones are left out, another size is refused, none is none."""
    file = write_bars_npz(tmp_path / "bars.npz", 4, 4, 6)
    with np.load(file) as there:
        arrays = dict(there)
    assert material_of(load_dataset(file, TASK), file, 9).cases == ()
    arrays["test_masks"] = np.zeros((6, 16, 16), np.uint8)
    arrays["test_masks"][[0, 1, 2], 3, 4] = 1
    np.savez(file, **arrays)
    cases = material_of(load_dataset(file, TASK), file, 9).cases
    assert [case.patient_id for case in cases] == ["test/0", "test/2"]  # 1 is benign, 4 has no lesion
    assert np.argwhere(cases[0].mask).tolist() == [[3, 4]]
    np.savez(file, **{**arrays, "test_masks": arrays["test_masks"][:, :8]})
    with pytest.raises(Refused, match="mask of"):
        material_of(load_dataset(file, TASK), file, 9)


def job_on(cases: tuple[MaskedCase, ...], **more) -> benchmark.Job:
    """A job over these cases, which are validation images too."""
    material = Material("spots", "f" * 64, "breast-mri", tuple(c.image for c in cases), cases, cases[:2])
    return benchmark.Job(bright_spot_checkpoint(), material, **more)


def test_everything_is_measured_and_json_safe():
    """All parts of a cheap method: facts that JSON can hold, progress to exactly the total, sentences that can be said."""
    seen: list[tuple[int, int]] = []
    job = job_on(
        tuple(spot_case(8 * i, 8, seed=i) for i in range(6)), limit=6, report=lambda d, t, _: seen.append((d, t))
    )
    found = {part: facts for _, part, facts in benchmark.measure(job, [("gradcam", part) for part in benchmark.PARTS])}
    assert set(found) == set(benchmark.PARTS)
    json.dumps(found, allow_nan=False)
    assert seen[-1][0] == seen[-1][1] <= len(seen)  # more where models without a map were drawn again
    assert seen == sorted(seen)
    assert found["faithfulness"]["deletion_random"]["n"] == 6
    assert found["faithfulness"]["deletion_beats_random"]["n"] == 6
    assert found["reference"]["milliseconds"] > 0
    assert "Points into the lesion masks" in sentence(found)


def test_a_method_that_cannot_explain_the_model_says_why_and_the_rest_goes_on(monkeypatch):
    """Guided Grad-CAM without ReLUs is refused with its reason; Grad-CAM is measured all the same."""

    def refuse(*_, **__):
        raise Refused("Guided Grad-CAM needs a network with ReLU layers, and this one has none.")

    job = job_on(tuple(spot_case(8, 8, seed=i) for i in range(6)), limit=6)
    keep = benchmark.randomisation
    monkeypatch.setattr(
        benchmark, "randomisation", lambda m, *r: refuse() if m.method == "guided-gradcam" else keep(m, *r)
    )
    wanted = [("guided-gradcam", "randomisation"), ("gradcam", "randomisation")]
    (_, _, first), (_, _, second) = benchmark.measure(job, wanted)
    assert "ReLU" in not_offered({"randomisation": first})
    assert second["passes"] is True


def test_a_measurement_stops_when_asked():
    """After the third map nothing more is made."""
    made: list[int] = []
    job = job_on(
        (spot_case(8, 8), spot_case(8, 16)), report=lambda d, *_: made.append(d), cancelled=lambda: len(made) >= 3
    )
    with pytest.raises(Cancelled):
        list(benchmark.measure(job, [("gradcam", part) for part in benchmark.PARTS]))
    assert len(made) == 3


def test_another_task_and_no_pictures_are_refused():
    """A dataset of another task, and one without validation pictures."""
    cases = (spot_case(8, 8),)
    with pytest.raises(Refused, match="reads breast mri"):
        benchmark.Job(bright_spot_checkpoint(), Material("x", "f", "mammography", ()))
    job = benchmark.Job(bright_spot_checkpoint(), Material("x", "f", "breast-mri", (), cases))
    ((_, _, facts),) = benchmark.measure(job, [("gradcam", "reference")])
    assert "no validation pictures" in facts["refused"]


def test_the_command_prints_and_writes_what_the_store_reads(bars_run, bars_npz, tmp_path, capsys):
    """JSON on standard output equals the file; sentences without --json; unknown methods and limits are refused."""
    out = tmp_path / "found.json"
    words = ["explain-benchmark", str(bars_run / "checkpoint.pt"), "--data", str(bars_npz), "--methods", "gradcam"]
    assert main([*words, "--limit", "6", "--json", "--out", str(out)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == benchmark.read_report(out)
    assert set(printed["methods"]["gradcam"]) == set(benchmark.PARTS) - {"masks"}  # bars have no masks
    assert main([*words, "--limit", "6"]) == 0
    assert "Grad-CAM: " in capsys.readouterr().out
    assert main([*words[:-1], "crystal-ball"]) == 1
    assert main([*words, "--limit", "0"]) == 1
    assert capsys.readouterr().err.count("Refused") == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 1, "model": 3, "methods": {}}',
        '{"format": 9, "model": "a", "methods": {}}',
        '{"format": 1, "model": "a", "methods": {"gradcam": {"magic": {}}}}',
        '{"format": 1, "model": "a", "methods": {"magic": {}}}',
    ],
)
def test_other_files_are_refused(tmp_path, text):
    """In one sentence."""
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(Refused):
        benchmark.read_report(file)
    with pytest.raises(Refused, match="no file"):
        benchmark.read_report(tmp_path / "absent.json")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_can_be_drawn_anew(architecture):
    """Kernels keep their shapes and become other values for each registered network."""
    checkpoint = random_checkpoint(architecture)
    if architecture == "vgg16":  # half a gigabyte of random numbers: its layers are those of the others
        checkpoint = replace(checkpoint, state={k: v for k, v in checkpoint.state.items() if v.numel() < 1e6})
    other = untrained(checkpoint, 0)
    assert {k: v.shape for k, v in other.state.items()} == {k: v.shape for k, v in checkpoint.state.items()}


def test_one_map_is_checked_beside_random_orders_and_moved_copies():
    """A map on the evidence beats all orders; its facts are JSON, its badges and numbers can be said."""
    case = spot_case(40, 8)
    maker = Maker(bright_spot_checkpoint(), "gradcam")
    facts = check_map(maker, case.image, maker.heatmap(case.image, "malignant"))
    facts = json.loads(json.dumps(facts, allow_nan=False))
    assert facts["better"] == {"deletion": True, "insertion": True}
    assert len(facts["random"]) == 19
    assert facts["p"] == {"deletion": 0.05, "insertion": 0.05}
    assert len(facts["stability"]) == 3
    assert badges(facts)[0] == ("Deletion: better", True)
    assert numbers(facts)[1]["it beats"] == "19 of 19, p = 0.05"
    assert "than all 19" in legend(facts)
    stopped = Maker(bright_spot_checkpoint(), "gradcam", cancelled=lambda: True)
    with pytest.raises(Cancelled):
        check_map(stopped, case.image, maker.heatmap(case.image, "malignant"))
