"""Net benefit, decision and cost curves, and operating points: on paper, by brute force and by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from core.records import OperatingPoint, Refused
from core.statistics.decision import cost_curve, decision_curve, expected_cost, net_benefit
from core.statistics.discrimination import confusion_matrix, operating_metrics, roc_curve, youden_threshold
from core.statistics.operating_points import (
    cost_point,
    fixed_point,
    target_sensitivity,
    target_specificity,
    youden_point,
)
from tests.core.test_statistics_discrimination import PAPER, scored


def test_net_benefit_on_paper():
    """Ten cases at t = 0.2: 3 true and 4 false positives, 3/10 − 4/10 · 0.25 = 0.2."""
    labels = [1] * 4 + [0] * 6
    p = [0.9, 0.5, 0.2, 0.1, 0.8, 0.3, 0.3, 0.2, 0.1, 0.0]
    estimate = net_benefit(labels, p, 0.2)
    assert estimate.value == pytest.approx(0.2)
    assert estimate.low < 0.2 < estimate.high
    assert net_benefit([1], [0.5], 0.2).reason
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        net_benefit(labels, p, 1.0)


def test_decision_curve_is_net_benefit_at_each_threshold():
    """Value and limits of every point are those of `net_benefit`; treating all and none are the formula's ends."""
    labels, p = scored(300, seed=1, decimals=2)
    curve = decision_curve(labels, p, [0.0, 0.1, 0.35, 0.5, 0.9])
    for i, threshold in enumerate(curve.thresholds):
        e = net_benefit(labels, p, threshold)
        assert (curve.net_benefit[i], curve.low[i], curve.high[i]) == pytest.approx((e.value, e.low, e.high), abs=1e-12)
        everyone = net_benefit(labels, np.ones(300), threshold).value
        assert curve.treat_all[i] == pytest.approx(everyone, abs=1e-12)
    assert (curve.n, curve.prevalence) == (300, labels.mean())
    assert curve.net_benefit[0] == pytest.approx(curve.prevalence)
    assert len(decision_curve(labels, p).thresholds) == 99
    assert np.isnan(decision_curve([], []).net_benefit).all()


def test_expected_cost_on_paper():
    """Two of four cases missed at 5 each and one false alarm: (10 + 1) / 4."""
    estimate = expected_cost([1, 1, 0, 0], [0.1, 0.2, 0.9, 0.3], 0.5, cost_ratio=5)
    assert estimate.value == pytest.approx(11 / 4)
    assert estimate.low >= 0
    with pytest.raises(ValueError, match="above 0"):
        expected_cost([1, 0], [0.1, 0.2], 0.5, cost_ratio=0)


def test_costs_over_patients_are_wider_and_one_patient_has_none():
    """Every case three times: the interval is not narrower for it; a single patient leaves it undefined."""
    labels, p = scored(90, seed=2)
    three = [np.repeat(x, 3) for x in (labels, p, np.arange(90))]
    for figure in (
        lambda y, q, **k: net_benefit(y, q, 0.4, **k),
        lambda y, q, **k: expected_cost(y, q, 0.4, cost_ratio=3, **k),
    ):
        once, copied = figure(labels, p), figure(three[0], three[1], patients=three[2])
        assert copied.value == pytest.approx(once.value)
        assert copied.high - copied.low == pytest.approx(once.high - once.low, rel=0.03)
        assert figure(labels, p, patients=np.zeros(90)).reason == "an interval needs at least two patients"


def test_cost_curve_on_paper_and_by_brute_force():
    """PAPER at share ½: the best of its cuts costs ¼; everywhere it is the minimum over all thresholds."""
    curve = cost_curve(*PAPER, points=3)
    assert curve.best.tolist() == pytest.approx([0, 0.25, 0])
    assert curve.trivial.tolist() == [0, 0.5, 0]
    labels, scores = scored(200, seed=3, decimals=2)
    curve, roc = cost_curve(labels, scores, points=11), roc_curve(labels, scores)
    lines = (1 - roc.tpr) * curve.positive_cost_share[:, None] + roc.fpr * (1 - curve.positive_cost_share[:, None])
    np.testing.assert_allclose(curve.best, lines.min(axis=1), atol=1e-12)
    assert (curve.best <= curve.trivial + 1e-12).all()
    with pytest.raises(ValueError, match="both classes"):
        cost_curve([1, 1], [0.1, 0.2])


def test_net_benefit_and_cost_intervals_cover_95_percent():
    """2,000 samples of 500 calibrated cases: both truths, by integration, are held in 93–97 %."""
    rng, held = np.random.default_rng(4), np.zeros(2)
    true_positives, false_positives, missed = 0.455, 0.245, 0.045  # uniform p, threshold 0.3
    truths = true_positives - false_positives * 3 / 7, 5 * missed + false_positives
    for _ in range(2000):
        p = rng.random(500)
        labels = (rng.random(500) < p).astype(int)
        found = net_benefit(labels, p, 0.3), expected_cost(labels, p, 0.3, cost_ratio=5)
        held += [e.low <= truth <= e.high for e, truth in zip(found, truths, strict=True)]
    assert ((held / 2000 >= 0.93) & (held / 2000 <= 0.97)).all()


# -- Operating points --------------------------------------------------------------------------------------------------


def test_points_on_paper():
    """PAPER: sensitivity ½ needs 0.8, midway to 0.4; sensitivity 1 needs 0.35; specificity 1 stops above 0.4."""
    assert target_sensitivity(*PAPER, 0.5, chosen_on="val").threshold == pytest.approx(0.6)
    assert target_sensitivity(*PAPER, 0.51, chosen_on="val").threshold == pytest.approx(0.225)
    assert target_specificity(*PAPER, 1.0, chosen_on="val").threshold == pytest.approx(0.6)
    assert target_specificity(*PAPER, 0.5, chosen_on="val").threshold == pytest.approx(0.225)
    assert cost_point(*PAPER, 3.0, chosen_on="val").threshold == pytest.approx(0.225)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("target", [0.5, 0.8, 0.95, 1.0])
def test_targets_are_reached_and_cost_no_more_than_needed(target, seed):
    """The target is met, and no threshold that meets it does better on the other side."""
    labels, p = scored(200, seed, decimals=2)
    curve = roc_curve(labels, p)
    for choose, near, far, met in (
        (target_sensitivity, "sensitivity", "specificity", 1 - curve.fpr[curve.tpr >= target - 1e-9]),
        (target_specificity, "specificity", "sensitivity", curve.tpr[1 - curve.fpr >= target - 1e-9]),
    ):
        point = choose(labels, p, target, chosen_on="val")
        figures = operating_metrics(labels, p, point.threshold)
        assert figures[near].value >= target - 1e-9
        assert figures[far].value == pytest.approx(met.max())


@pytest.mark.parametrize("ratio", [0.2, 1.0, 10.0])
def test_cost_point_is_the_cheapest_of_all(ratio):
    """No threshold on the ROC curve costs less than the chosen one."""
    labels, p = scored(200, seed=5, decimals=2)
    chosen = cost_point(labels, p, ratio, chosen_on="val").threshold

    def cost(threshold: float) -> float:
        (_, fp), (fn, _) = confusion_matrix(labels, p >= threshold, 2)
        return ratio * fn + fp

    assert cost(chosen) == pytest.approx(min(cost(t) for t in roc_curve(labels, p).thresholds))


def test_every_point_says_where_it_was_chosen():
    """Name, threshold, and the split with its n; a fixed one was set beforehand."""
    labels, p = scored(120, seed=6)
    point = youden_point(labels, p, chosen_on="val")
    assert point == OperatingPoint("Youden", youden_threshold(labels, p), "val (n = 120)")
    assert target_sensitivity(labels, p, 0.9, chosen_on="val").name == "sensitivity at least 0.9"
    assert fixed_point(0.55) == OperatingPoint("fixed", 0.55, "set beforehand")


def test_a_negative_on_top_leaves_nothing_to_call():
    """Specificity 1 where the highest score is a negative's: the threshold lies above it, even when that is 1."""
    for top in (0.9, 1.0):
        point = target_specificity([1, 0], [0.2, top], 1.0, chosen_on="val")
        assert point.threshold > top


def test_impossible_requests_are_refused():
    """One class, a target outside (0, 1], a ratio of 0, a fixed threshold above 1."""
    with pytest.raises(Refused, match="positive and negative"):
        target_sensitivity([1, 1], [0.1, 0.2], 0.9, chosen_on="val")
    with pytest.raises(ValueError, match="target sensitivity"):
        target_sensitivity(*PAPER, 0.0, chosen_on="val")
    with pytest.raises(ValueError, match="target specificity"):
        target_specificity(*PAPER, 1.1, chosen_on="val")
    with pytest.raises(ValueError, match="cost ratio"):
        cost_point(*PAPER, 0, chosen_on="val")
    with pytest.raises(ValueError, match="0–1"):
        fixed_point(1.2)
