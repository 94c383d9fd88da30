"""Power from variance components: the algebra of the pilot, simulated studies, and borders."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from core.records import Refused
from core.statistics.mrmc import analyse
from core.statistics.mrmc_planning import cases_needed, power_grid
from core.statistics.mrmc_records import Components
from tests.core.readers import made_study

# Like Van Dyke's study by jackknife: five readers, 114 cases.
PILOT = Components(8e-4, 3.5e-4, 3.4e-4, 2.4e-4, 1.5e-3, 2e-4, None, None, None, 5, 114)


def test_at_the_pilots_own_size_the_test_is_the_pilots():
    """MS(modality × reader) is expected at Var(TR) + error − Cov1 − (Cov2 − Cov3): denominator and df are then the pilot's."""
    pilot = analyse(made_study(2, 5, 120, seed=28)).components
    assert pilot.modality_reader > 0
    assert pilot.cov2 > pilot.cov3
    d, spread = 0.06, pilot.ms_modality_reader + 5 * (pilot.cov2 - pilot.cov3)
    df = 4 * (spread / pilot.ms_modality_reader) ** 2
    wanted = stats.ncf.sf(stats.f.isf(0.05, 1, df), 1, df, 5 * d * d / 2 / spread)
    assert power_grid(pilot, d, [5], [120]).power[0, 0] == pytest.approx(wanted, abs=1e-9)


def test_simulated_means_reject_as_often_as_promised():
    """Reader differences drawn from the components' own distribution: 4,000 paired t tests with fixed cases."""
    pilot, d, r = replace(PILOT, cov1=0.0, cov2=0.0, cov3=0.0, cases=100), 0.05, 6
    spread = 2 * (pilot.modality_reader + pilot.error)
    draws = d + np.sqrt(spread) * np.random.default_rng(1).normal(size=(4000, r))
    simulated = np.mean(stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05)
    promised = power_grid(pilot, d, [r], [100], generalises_to="readers").power[0, 0]
    assert simulated == pytest.approx(promised, abs=0.025)


@pytest.mark.parametrize("kind", ["readers and cases", "cases", "readers"])
def test_power_grows_with_readers_cases_and_difference(kind):
    """Along both axes of the grid, and never outside [level, 1]. (With two readers degrees of freedom can cost more.)"""
    grid = power_grid(PILOT, 0.05, [3, 4, 8, 16], [40, 100, 400, 4000], generalises_to=kind)
    assert grid.power.shape == (4, 4)
    assert (np.diff(grid.power, axis=0) > -1e-12).all()
    assert (np.diff(grid.power, axis=1) > -1e-12).all()
    assert ((grid.power > 0.05) & (grid.power <= 1)).all()
    less = power_grid(PILOT, -0.02, [3, 4, 8, 16], [40, 100, 400, 4000], generalises_to=kind)
    assert (less.power <= grid.power).all()


def test_one_reader_has_no_power_for_a_population_of_readers():
    """NaN, not 0 or 1; but fixed readers may be one."""
    assert np.isnan(power_grid(PILOT, 0.05, [1], [100]).power[0, 0])
    assert power_grid(PILOT, 0.05, [1], [100], generalises_to="cases").power[0, 0] > 0.05


def test_the_fewest_cases_are_the_fewest():
    """One case less is not enough; where readers are the limit there is no number."""
    needed = cases_needed(PILOT, 0.05, [3, 6, 10], power=0.8)
    assert needed[3] is None
    for r in (6, 10):
        powers = power_grid(PILOT, 0.05, [r], [needed[r] - 1, needed[r]]).power[0]
        assert powers[0] < 0.8 <= powers[1]
    assert needed[10] < needed[6]


def test_negative_components_count_as_zero():
    """A negative Var(TR), and Cov2 below Cov3, are what their zeros are."""
    negative = replace(PILOT, modality_reader=-1e-3, cov2=1e-4)
    zero = replace(PILOT, modality_reader=0.0, cov2=PILOT.cov3)
    np.testing.assert_array_equal(
        power_grid(negative, 0.05, [4], [100]).power, power_grid(zero, 0.05, [4], [100]).power
    )


@pytest.mark.parametrize(
    ("pilot", "difference", "readers", "cases"),
    [
        (replace(PILOT, modality_reader=None), 0.05, [4], [100]),
        (PILOT, 0.0, [4], [100]),
        (PILOT, 1.5, [4], [100]),
        (PILOT, 0.05, [], [100]),
        (PILOT, 0.05, [0], [100]),
        (PILOT, 0.05, [4], [2]),
    ],
)
def test_refusals(pilot, difference, readers, cases):
    """One sentence each."""
    with pytest.raises(Refused, match="Planning needs"):
        power_grid(pilot, difference, readers, cases)


def test_a_power_outside_its_range_is_refused():
    """0 and 1 cannot be asked for."""
    with pytest.raises(Refused, match="between 0 and 1"):
        cases_needed(PILOT, 0.05, [4], power=1.0)
