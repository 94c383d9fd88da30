"""Simulated readers do what their stated model says."""

import numpy as np
import pytest

from core.simulated_readers import SimulatedReader, draw_readers, simulate
from core.statistics.discrimination import auc

N = 2000
TRUTH = np.arange(N) % 2
SCORES = np.clip(0.5 + 0.3 * (TRUTH - 0.5) + np.random.default_rng(1).normal(0, 0.15, N), 0, 1)


def test_the_same_seed_gives_the_same_readings_and_another_seed_others():
    """Nothing depends on when or where it runs."""
    readers = draw_readers(3, 5)
    first, again, other = (simulate(TRUTH, SCORES, readers, seed) for seed in (5, 5, 6))
    assert all((a["aided"].likelihood == b["aided"].likelihood).all() for a, b in zip(first, again, strict=True))
    assert (first[0]["aided"].likelihood != other[0]["aided"].likelihood).any()
    assert readers != draw_readers(3, 6)


def test_another_reading_of_the_same_cases_is_like_the_first_but_not_the_same():
    """The first one stays as it was; the second shares the cases' difficulty, so it resembles the first beyond the truth."""
    (first,), (plain,), (second,) = (
        simulate(TRUTH, SCORES, draw_readers(1, 5), 5, *repeat) for repeat in ((0,), (), (1,))
    )
    a, b = first["unaided"].likelihood, second["unaided"].likelihood
    assert (a == plain["unaided"].likelihood).all()
    assert (a != b).any()
    assert all(np.corrcoef(a[t == TRUTH], b[t == TRUTH])[0, 1] > 0.2 for t in (0, 1))


def test_values_lie_in_the_ranges_of_a_review():
    """0–100, positive from 50 on, positive seconds."""
    for phases in simulate(TRUTH, SCORES, draw_readers(2, 1), 1):
        for read in phases.values():
            assert read.likelihood.min() >= 0
            assert read.likelihood.max() <= 100
            assert read.confidence.min() >= 0
            assert read.confidence.max() <= 100
            assert (read.positive == (read.likelihood >= 50)).all()
            assert (read.seconds > 0).all()


def test_skill_and_trust_act_as_stated():
    """The skilled reader separates better; trust moves likelihoods towards the model; the second look is short."""
    weak, strong = SimulatedReader(0.4, 0, 0, 30), SimulatedReader(1.5, 0, 0, 30)
    blind, believer = simulate(TRUTH, SCORES, [SimulatedReader(1, 0, 0, 30), SimulatedReader(1, 0, 3, 30)], 2)
    noisy = [auc(TRUTH, phases["unaided"].likelihood).value for phases in simulate(TRUTH, SCORES, [weak, strong], 2)]
    assert noisy[1] > noisy[0] + 0.05
    said = SCORES >= 0.5
    assert np.mean(believer["aided"].positive == said) > np.mean(blind["aided"].positive == said) + 0.1
    assert blind["aided"].seconds.mean() == pytest.approx(0.3 * blind["unaided"].seconds.mean(), rel=0.1)
