"""Reading strategies against plain loops over every choice of readers, on paper, and at their borders."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from core.records import Refused
from core.statistics.reading_strategies import COLUMNS, FIGURES, STRATEGIES, Scenario, what_if

FULL = {"prevalence": 0.1, "model_threshold": 0.6, "rule_out": 0.3}


def made(cases=40, readers=5, seed=0, gaps=0.0):
    """Recalls of cases, a third of them positive, with the model's score; some readings left out."""
    rng = np.random.default_rng(seed)
    truth = (np.arange(cases) % 3 == 0).astype(int)
    hard = rng.normal(size=cases)
    score = 1 / (1 + np.exp(-(hard + 1.5 * truth - 0.5)))
    recalled = rng.normal(size=(cases, readers)) + hard[:, None] + 1.5 * truth[:, None] > 0.8
    rows = [
        (f"c{c}", f"r{r}", truth[c], int(recalled[c, r]), score[c])
        for c in range(cases)
        for r in range(readers)
        if r < 3 or rng.random() >= gaps
    ]
    return pd.DataFrame(rows, columns=[*COLUMNS, "score"])


def by_hand(own, name, scenario):
    """(probability of recall, readings) of one case, averaged over every ordered choice of three different readers."""
    model = own["score"].iloc[0] >= scenario.model_threshold
    out = own["score"].iloc[0] < scenario.rule_out
    majority = own["recalled"].mean() >= 0.5
    outcomes = []
    for a, b, c in permutations(own["recalled"].astype(bool), 3):
        settled = majority if scenario.arbitration == "consensus" else c
        if name == "single":
            outcomes.append((a, 1))
        elif name == "double":
            outcomes.append((a, 2) if a == b else (settled, 3))
        elif name == "model_second":
            outcomes.append((a, 1) if a == model else (settled, 2))
        else:
            outcomes.append((False, 0) if out else (a, 1))
    return np.mean(outcomes, axis=0)


@pytest.mark.parametrize("arbitration", ["third reader", "consensus"])
@pytest.mark.parametrize("name", list(STRATEGIES))
@pytest.mark.parametrize("gaps", [0.0, 0.5])
def test_closed_forms_are_the_loops(name, arbitration, gaps):
    """Every figure of every strategy, also where some cases were read by three readers only."""
    table, scenario = made(gaps=gaps), Scenario(**FULL, arbitration=arbitration)
    cases = {case: (own["truth"].iloc[0], *by_hand(own, name, scenario)) for case, own in table.groupby("case")}
    truth, recall, reads = np.array(list(cases.values())).T
    sensitivity, alarms = recall[truth == 1].mean(), recall[truth == 0].mean()
    rate = 0.1 * sensitivity + 0.9 * alarms
    wanted = {
        "recall_rate": rate,
        "sensitivity": sensitivity,
        "specificity": 1 - alarms,
        "found_per_1000": 100 * sensitivity,
        "ppv": 0.1 * sensitivity / rate,
        "reads_per_1000": 1000 * (0.1 * reads[truth == 1].mean() + 0.9 * reads[truth == 0].mean()),
    }
    found = what_if(table, scenario, replicates=20)[name].figures
    assert {figure: found[figure].value for figure in FIGURES} == pytest.approx(wanted, abs=1e-12)


def test_on_paper():
    """Three readers, two of whom recall the positive cases: two who read may differ (2 of 3 pairs), and the third settles it."""
    rows = [(f"p{i}", r, 1, int(r != "c")) for i in range(4) for r in "abc"]
    rows += [(f"n{i}", r, 0, 0) for i in range(4) for r in "abc"]
    found = what_if(pd.DataFrame(rows, columns=list(COLUMNS)), Scenario(0.5), replicates=100)
    assert set(found) == {"single", "double"}
    single, double = found["single"].figures, found["double"].figures
    assert single["sensitivity"].value == pytest.approx(2 / 3)
    assert double["sensitivity"].value == pytest.approx(1.0)  # the majority of the three, whoever reads first
    assert double["reads_per_1000"].value == pytest.approx(1000 * (2 + 0.5 * 2 / 3))
    assert (single["ppv"].value, single["specificity"].value) == (1.0, 1.0)
    assert single["specificity"].low < 0.8  # four cases that nobody recalled prove little
    assert "3 readers as they are" in double["sensitivity"].method


def test_intervals_and_changes():
    """Each interval holds its value; changes are the strategy less single reading; single reading is 1,000 by definition."""
    found = what_if(made(cases=90), Scenario(**FULL), replicates=300)
    assert set(found) == set(STRATEGIES)
    for name, strategy in found.items():
        for figure, e in strategy.figures.items():
            assert e.low <= e.value <= e.high
            if name != "single":
                change = strategy.changes[figure]
                assert change.value == pytest.approx(e.value - found["single"].figures[figure].value)
                assert change.low <= change.value <= change.high
    assert found["single"].changes == {}
    reads = found["single"].figures["reads_per_1000"]
    assert (reads.low, reads.value, reads.high) == (1000, 1000, 1000)
    assert found["triage"].changes["reads_per_1000"].high < 0
    assert "5 readers" in found["double"].figures["ppv"].method


def test_intervals_of_single_reading_cover():
    """The expected sensitivity of made readers lies in the interval of at least 88 % of 60 studies."""
    wide = made(cases=30_000, readers=4, seed=99)
    truth = wide[wide["truth"] == 1]["recalled"].mean()
    found = [
        what_if(made(90, 8, seed=s), Scenario(0.1), replicates=200)["single"].figures["sensitivity"] for s in range(60)
    ]
    assert np.mean([e.low <= truth <= e.high for e in found]) >= 0.88


def test_the_prevalence_moves_ppv_and_not_sensitivity():
    """Rare cancers: the same readers find the same share, and more of their recalls are false."""
    rare, often = (what_if(made(), Scenario(p), replicates=50)["single"].figures for p in (0.005, 0.5))
    assert rare["sensitivity"] == often["sensitivity"]
    assert rare["ppv"].value < often["ppv"].value
    assert rare["found_per_1000"].value == pytest.approx(5 * rare["sensitivity"].value)


def test_only_what_the_readings_allow():
    """Without scores no model; with two readers no third one, but a consensus; with one reader only single reading."""
    assert set(what_if(made().drop(columns="score"), Scenario(**FULL), replicates=20)) == {"single", "double"}
    assert set(what_if(made(readers=2), Scenario(**FULL), replicates=20)) == {"single", "model_second", "triage"}
    assert "double" in what_if(made(readers=2), Scenario(**FULL, arbitration="consensus"), replicates=20)
    assert set(what_if(made(readers=1), Scenario(**FULL), replicates=20)) == {"single", "triage"}
    assert set(what_if(made(), Scenario(0.1, model_threshold=0.5), replicates=20)) == {
        "single",
        "double",
        "model_second",
    }


def test_nobody_recalled_has_no_ppv():
    """Undefined with the reason."""
    found = what_if(made().assign(recalled=0), Scenario(0.1), replicates=20)["single"].figures
    assert (found["ppv"].value, found["ppv"].reason) == (None, "no case is recalled")
    assert found["sensitivity"].value == 0


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (made().drop(columns="recalled"), "recalled is missing"),
        (made().iloc[:0], "no readings"),
        (made().assign(recalled=2), "0 or 1"),
        (made().assign(truth="yes"), "0 or 1"),
        (made().assign(score=np.inf), "finite"),
        (made().assign(score=None), "empty cell"),
        (made().assign(truth=1), "Positive and negative"),
        (pd.concat([made(), made().iloc[:1]]), "twice"),
        (made().assign(score=lambda t: np.arange(len(t)) / 1e3), "two different values of score"),
    ],
)
def test_wrong_tables_are_refused(table, words):
    """One sentence each."""
    with pytest.raises(Refused, match=words):
        what_if(table, Scenario(0.1))


def test_wrong_scenarios():
    """A prevalence of 0 or 1 and an unknown way to settle."""
    for prevalence in (0.0, 1.0, -1.0):
        with pytest.raises(Refused, match="prevalence"):
            Scenario(prevalence)
    with pytest.raises(ValueError, match="arbitration"):
        Scenario(0.1, arbitration="coin")
