"""Non-inferiority: a one-sided test of the published difference, its interval's other side, and its error."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from core.records import Refused
from core.statistics.mrmc import analyse
from core.statistics.mrmc_data import CrossedRatings
from core.statistics.mrmc_margin import LEVEL, non_inferiority
from core.statistics.mrmc_records import GENERALISATIONS
from tests.core.readers import made_study, public_study
from tests.core.reference import needs_data, published

BOTH = "readers and cases"


@needs_data
def test_van_dykes_second_modality_against_a_margin():
    """t and p by SciPy from the published difference, standard error and degrees of freedom of random readers and cases."""
    wanted = published()["reader_studies/vandyke.csv"]["random_readers_random_cases"]["delong"]
    (contrast,) = analyse(public_study("vandyke")).analyses[BOTH].differences
    low, high = wanted["ci_difference"]
    found = non_inferiority(contrast, 0.05, "2")
    assert (found.reference, found.low) == ("1", pytest.approx(-high, abs=5e-10))
    t = (-(low + high) / 2 + 0.05) / wanted["stderr_difference"]
    assert found.p == pytest.approx(stats.t.sf(t, wanted["df2"]), rel=1e-5)
    other = non_inferiority(contrast, 0.05, "1")
    assert (other.difference, other.low) == (-found.difference, pytest.approx(low, abs=5e-10))
    assert found.shown != other.shown or found.p < other.p  # modality 2 has the larger AUC


@pytest.mark.parametrize("kind", GENERALISATIONS)
def test_it_rejects_where_the_interval_lies_above_the_margin(kind):
    """At a margin just at the lower limit p is 0.025; a little wider it is less, a little narrower more."""
    (contrast,) = analyse(made_study(2, 5, 80)).analyses[kind].differences
    low = non_inferiority(contrast, 0.5, "m1").low
    assert low < 0
    assert non_inferiority(contrast, -low, "m1").p == pytest.approx(LEVEL, rel=1e-6)
    assert non_inferiority(contrast, -low + 0.001, "m1").shown
    assert not non_inferiority(contrast, -low - 0.001, "m1").shown


def test_it_errs_as_seldom_as_it_says():
    """600 studies whose second modality is worse by exactly the margin: fixed readers reject in about 2.5 %."""
    truth, rng = np.arange(80) % 2, np.random.default_rng(4)
    margin = stats.norm.cdf(0.75) - stats.norm.cdf(0.6)  # gains 1.5 and 1.2 over noise of variance 2
    names = (("old", "new"), ("a", "b", "c"), tuple(map(str, range(80))))
    found = []
    for _ in range(600):
        ratings = rng.normal(size=(2, 3, 80)) + rng.normal(size=80) + np.array([1.5, 1.2])[:, None, None] * truth
        (contrast,) = analyse(CrossedRatings(*names, truth, ratings)).analyses["cases"].differences
        found.append(non_inferiority(contrast, margin, "new").shown)
    assert 0.01 <= np.mean(found) <= 0.045


def test_what_is_undefined_stays_so_and_wrong_margins_are_refused():
    """One reader does not speak for others; margins are positive; a modality that is not there is a mistake of ours."""
    analyses = analyse(made_study(2, 1, 30)).analyses
    found = non_inferiority(analyses["readers"].differences[0], 0.1, "m1")
    assert (found.p, found.low, found.shown) == (None, None, False)
    assert "two readers" in found.reason
    for margin in (0, -0.1, 1):
        with pytest.raises(Refused, match="margin lies between 0 and 1"):
            non_inferiority(analyses["cases"].differences[0], margin, "m1")
    with pytest.raises(ValueError, match="new must be"):
        non_inferiority(analyses["cases"].differences[0], 0.1, "m2")
