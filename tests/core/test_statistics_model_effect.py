"""The effect of the model on readers, on paper, on made studies with a known effect, and at its borders."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core.records import Refused
from core.statistics.crossed_resampling import crossed_estimate, crossed_totals, draw_weights, ratio
from core.statistics.model_effect import COLUMNS, GROUPS, SHARES, effect_by_reader, model_effect
from core.statistics.proportions import wilson_limits

# case, truth, model, then unaided and aided of two readers
PAPER = [
    ("c1", "m", "m", "bm", "mm"),  # r0 goes over to a right model; r1 was right
    ("c2", "m", "b", "mb", "bb"),  # r0 goes over to a wrong model; r1 was wrong with it
    ("c3", "b", "m", "bb", "bm"),  # r1 goes over to a wrong model
    ("c4", "b", "b", "mb", "mb"),  # r0 stays wrong against a right model
    ("c5", "m", "b", "mm", "mm"),  # both hold out against a wrong model
]


def paper(**more):
    """The five cases as a table of ten readings."""
    rows = [
        (case, f"r{i}", truth, model, before[i], after[i])
        for case, truth, model, before, after in PAPER
        for i in (0, 1)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).assign(**more)


def made(cases=120, readers=5, pull=0.4, seed=0):
    """Readers who take the model's class with probability `pull` where they differ."""
    rng = np.random.default_rng(seed)
    truth = rng.random(cases) < 0.4
    model = np.where(rng.random(cases) < 0.8, truth, ~truth)
    rows = []
    for r in range(readers):
        before = np.where(rng.random(cases) < 0.75, truth, ~truth)
        after = np.where(rng.random(cases) < pull, model, before)
        for c in range(cases):
            words = ["bm"[int(x)] for x in (truth[c], model[c], before[c], after[c])]
            rows.append((f"c{c}", f"r{r}", *words))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_shares_on_paper():
    """Counted by hand from the comments above."""
    found = model_effect(paper(), "m").shares
    wanted = {
        "changed": (3, 10), "switched_to_right_model": (1, 2), "switched_to_wrong_model": (2, 5),
        "over_reliance": (2, 5), "under_reliance": (1, 2),
    }  # fmt: skip
    assert {name: (round(e.value * e.n), e.n) for name, e in found.items()} == wanted
    assert set(found) == set(SHARES)


def test_groups_on_paper():
    """Sensitivity on the cancers the model missed (c2, c5) falls from 3 / 4 to 2 / 4; false alarm c3: 2 / 2 to 1 / 2."""
    found = model_effect(paper(), "m").groups
    missed, alarms = found["sensitivity_missed"], found["specificity_false_alarms"]
    assert (missed.unaided.value, missed.aided.value, missed.change.value, missed.change.n) == (0.75, 0.5, -0.25, 4)
    assert (alarms.unaided.n, alarms.unaided.value) == (2, None)  # a single case has no interval, so no value
    everything = found["accuracy"]
    assert (everything.unaided.value, everything.aided.value) == (pytest.approx(0.7), pytest.approx(0.6))
    assert found["sensitivity"].unaided.value == pytest.approx(4 / 6)
    assert set(found) == set(GROUPS)


def test_time_and_likelihood_on_paper():
    """100 s and 80 s: 20 s and a fifth saved, or 180 s in all; from 60 to 70 or 80 is a gain on cancers, a loss elsewhere."""
    table = paper(seconds_unaided=100.0, seconds_aided=80.0, likelihood_unaided=60, likelihood_aided=[70, 80] * 5)
    found = model_effect(table, "m")
    assert (found.seconds.change.value, found.time_saved.value) == (-20.0, pytest.approx(0.2))
    assert (found.seconds_total.value, found.seconds_total.n) == (180.0, 10)
    assert found.likelihood_gain.value == pytest.approx((3 * 10 + 3 * 20 - 2 * 10 - 2 * 20) / 10)
    assert found.likelihood_gain.low < 3 < found.likelihood_gain.high
    half = table.assign(seconds_unaided=[100.0, np.nan] * 5)
    assert model_effect(half, "m").seconds.aided.n == 5
    assert model_effect(paper(), "m").seconds is None
    assert model_effect(paper(), "m").likelihood_gain is None


def test_each_reader_is_measured_against_the_class_they_were_shown():
    """One case, two readers, two classes shown: both change to theirs, each a switch to it."""
    table = paper()
    table.loc[table["case"] == "c1", ["model", "unaided", "aided"]] = [["m", "b", "m"], ["b", "m", "b"]]
    shares = model_effect(table, "m").shares
    assert round(shares["switched_to_right_model"].value * shares["switched_to_right_model"].n) == 1
    assert round(shares["switched_to_wrong_model"].value * shares["switched_to_wrong_model"].n) == 3  # with c2 and c3


def test_a_known_pull_lies_within_the_intervals():
    """Over 60 made studies the interval of the switch rate, which is the pull, holds it in at least 88 %, and has a width."""
    hits = [model_effect(made(seed=s), "m", replicates=300).shares["switched_to_wrong_model"] for s in range(60)]
    assert np.mean([e.low <= 0.4 <= e.high for e in hits]) >= 0.88
    assert np.median([e.high - e.low for e in hits]) < 0.35


def test_an_ignored_model_has_no_effect_but_an_interval():
    """Nobody switches: 0 with Wilson's limits over the cases, and differences of 0 with a width."""
    found = model_effect(made(pull=0.0), "m", replicates=200)
    switched = found.shares["switched_to_wrong_model"]
    assert (switched.value, switched.low) == (0.0, 0.0)
    assert 0.02 < switched.high < 0.3
    change = found.groups["sensitivity"].change
    assert (change.value, change.low) == (0.0, -change.high)
    assert change.high > 0.02


def test_each_reader_alone():
    """Same shares as a table of that reader only; the bootstrap then draws cases."""
    table = made()
    found = effect_by_reader(table, "m", replicates=100)
    assert list(found) == [f"r{i}" for i in range(5)]
    alone = model_effect(table[table["reader"] == "r2"], "m", replicates=100)
    assert found["r2"].shares == alone.shares
    assert "one reader" in alone.shares["changed"].method
    pooled = model_effect(table, "m", replicates=100).shares["changed"].value
    assert np.mean([e.shares["changed"].value for e in found.values()]) == pytest.approx(pooled)


def test_the_same_seed_gives_the_same_interval():
    """And another seed nearly."""
    one, same, other = (model_effect(made(), "m", replicates=500, seed=s).groups["accuracy"].change for s in (0, 0, 1))
    assert one == same
    assert one != other
    assert one.low == pytest.approx(other.low, abs=0.02)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (paper().drop(columns="model"), "model is missing"),
        (paper().iloc[:0], "no readings"),
        (paper(aided=None), "empty cell"),
        (pd.concat([paper(), paper().iloc[:1]]), "two readings of case c1"),
        (paper(truth=["m", "b"] * 5), "two different values of truth"),
        (paper(seconds_unaided=-1, seconds_aided=2), "must lie in"),
        (paper(seconds_unaided="fast", seconds_aided=2), "need numbers"),
        (paper(likelihood_unaided=50, likelihood_aided=101), "must lie in 0 … 100"),
    ],
)
def test_wrong_tables_are_refused(table, words):
    """One sentence each."""
    with pytest.raises(Refused, match=words):
        model_effect(table, "m")


def test_no_positive_case_leaves_sensitivity_undefined():
    """With the reason, and the rest as it is."""
    found = model_effect(made(), "other", replicates=50)
    assert found.groups["sensitivity"].unaided.value is None
    assert found.groups["sensitivity"].unaided.reason == "no such readings"
    assert found.groups["specificity"].unaided.value is not None


def test_crossed_draws_have_the_variance_of_cases_and_readers():
    """Readings that are pure reader effects: the variance of the mean is that of a bootstrap over readers alone."""
    effects = np.arange(6.0)
    cells = {"hits": np.tile(effects, (40, 1)), "n": np.ones((40, 6))}
    totals = crossed_totals(cells, np.zeros(40), replicates=4000)
    draws = ratio("hits", "n")(totals.draws)
    assert draws.mean() == pytest.approx(2.5, abs=0.05)
    assert draws.var() == pytest.approx(effects.var() / 6, rel=0.08)


def test_draws_keep_the_strata():
    """As many positive cases in every draw as in the study, in batches as in one."""
    strata = np.array([0] * 7 + [1] * 3)
    for cases, readers in draw_weights(strata, 4, 25, 0):
        assert (cases[:, 7:].sum(axis=1) == 3).all()
        assert (cases.sum(axis=1) == 10).all()
        assert (readers.sum(axis=1) == 4).all()
    assert sum(len(cases) for cases, _ in draw_weights(np.zeros(300_000), 2, 5, 0)) == 5


def test_no_spread():
    """Shares get Wilson's limits of the cases; figures on other scales say that there is no interval."""
    totals = crossed_totals({"a": np.ones((10, 2)), "n": np.ones((10, 2))}, np.zeros(10), replicates=50)
    share = crossed_estimate(totals, ratio("a", "n"), n=20, units=10, reason="")
    assert (share.value, share.low) == (1.0, wilson_limits(10, 10)[0])
    seconds = crossed_estimate(totals, ratio("a", "n"), n=20, units=10, reason="", bounds=(0.0, np.inf))
    assert (seconds.value, seconds.low) == (1.0, None)
    assert "no spread" in seconds.reason
