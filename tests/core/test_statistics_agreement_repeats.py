"""Readers against their own second ratings: each reader by known coefficients, all together by the same over pooled pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core.statistics.agreement import cohen_kappa
from core.statistics.agreement_many import gwet_ac
from core.statistics.agreement_numbers import icc_2_1, limits_of_agreement
from core.statistics.agreement_repeats import ALL, repeated_classes, repeated_numbers
from core.statistics.agreement_table import counts_of, first_and_repeat
from core.statistics.proportions import wilson, wilson_limits


def long(codes):
    """A long table of a matrix (N, R); None is a gap."""
    rows = [(f"c{i}", f"r{j}", value) for i, row in enumerate(codes) for j, value in enumerate(row)]
    return pd.DataFrame(rows, columns=["case", "reader", "rating"])


def drawn(values, seed=3, cases=40, readers=4):
    """First and second ratings (N, R) that resemble each other."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, values, (cases, readers))
    return first, np.where(rng.random(first.shape) < 0.7, first, rng.integers(0, values, first.shape))


def test_on_paper():
    """Reader r0 repeats 2 of 3 cases alike, r1 repeats none; third ratings are left out; a gap is no rating."""
    table = pd.concat([long([[1, 1], [2, 1], [1, 2]]), long([[1], [1], [1]]), long([[9]])])
    found = repeated_classes(table)
    assert set(found) == {"r0", ALL}
    assert found["r0"].raw == wilson(2, 3)
    # first 1 2 1, second 1 1 1: 2/3 agree; by chance 2/3 · 1 + 1/3 · 0; kappa (2/3 − 2/3) / (1/3)
    assert found["r0"].kappa.value == pytest.approx(0)
    assert found[ALL].raw.value == pytest.approx(2 / 3)
    first, second = first_and_repeat(table)
    assert (len(first), len(second)) == (6, 3)
    assert repeated_classes(long([[1, 2], [2, 2]])) == repeated_numbers(long([[1, 2], [2, 2]])) == {}
    assert repeated_classes(pd.concat([long([[None]]), long([[1]])])) == {}


@pytest.mark.parametrize("classes", [2, 4])
def test_each_reader_and_all_pairs_have_the_usual_coefficients(classes):
    """Of one reader those of two readers; of all those of the pairs in one list, with an interval about them."""
    first, second = drawn(classes)
    found = repeated_classes(pd.concat([long(first), long(second)]), tuple(map(str, range(classes))))
    for name, a, b in [*((f"r{j}", first[:, j], second[:, j]) for j in range(4)), (ALL, first.ravel(), second.ravel())]:
        counts = counts_of(np.column_stack([a, b]), classes)
        assert found[name].raw.value == pytest.approx((a == b).mean())
        assert found[name].kappa.value == pytest.approx(cohen_kappa(a, b, classes).value)
        assert found[name].ac1.value == pytest.approx(gwet_ac(counts).value)
        for e in vars(found[name]).values():
            assert e.n == len(a)
            assert e.low < e.value < e.high
    assert found["r0"].kappa == cohen_kappa(first[:, 0], second[:, 0], classes)
    assert "40 cases and 4 readers" in found[ALL].kappa.method


def test_numbers_of_each_reader_and_of_all_pairs():
    """ICC(2,1) and limits of second − first are those of two columns, of one reader or of all pairs below each other."""
    first, second = drawn(101)
    found = repeated_numbers(pd.concat([long(first), long(second)]))
    for name, a, b in [("r2", first[:, 2], second[:, 2]), (ALL, first.ravel(), second.ravel())]:
        assert found[name].icc.value == pytest.approx(icc_2_1(np.column_stack([a, b])).value)
        wanted = limits_of_agreement(b, a)
        assert found[name].limits.sd == pytest.approx(wanted.sd)
        for side in ("bias", "lower", "upper"):
            e = getattr(found[name].limits, side)
            assert e.value == pytest.approx(getattr(wanted, side).value)
            assert e.low < e.value < e.high
    with pytest.raises(ValueError, match="numbers"):
        repeated_numbers(pd.concat([long([["x"]]), long([["y"]])]))


def test_perfect_repeats_are_no_certainty():
    """Where all pairs agree the limit is that of as many cases, not of as many pairs."""
    first, _ = drawn(2)
    found = repeated_classes(pd.concat([long(first), long(first)]))[ALL]
    low = wilson_limits(40, 40)[0]
    assert (found.raw.value, found.raw.low, found.raw.high) == (1.0, pytest.approx(low), 1.0)
    shares = np.bincount(first.ravel()) / first.size
    chance = float(shares @ shares)
    assert found.kappa.low == pytest.approx((low - chance) / (1 - chance))
    only = repeated_classes(pd.concat([long([[1], [1]]), long([[1], [1]])]), ("1", "2"))[ALL]
    assert only.kappa.value is None
    assert only.kappa.reason
    assert only.ac1.value == 1.0


def test_intervals_of_all_pairs_hold_what_they_promise():
    """Readers and cases drawn anew: about 95 % of the intervals hold the agreement of the endless study, none too few."""
    rng, held, studies = np.random.default_rng(5), 0, 80
    for _ in range(studies):
        hard, sloppy = rng.random((30, 1)) < 0.3, rng.uniform(0.0, 0.4, (1, 8))
        first = rng.integers(0, 2, (30, 8))
        changed = rng.random(first.shape) < sloppy + 0.3 * hard
        found = repeated_classes(pd.concat([long(first), long(np.where(changed, 1 - first, first))]))[ALL].raw
        held += found.low <= 1 - (0.2 + 0.3 * 0.3) <= found.high
    assert held / studies > 0.9
