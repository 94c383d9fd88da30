"""A stand-alone model against readers: the published study, and what it must be in simple cases."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from core.records import Refused
from core.statistics.mrmc_standalone import against_readers, split_model
from core.statistics.paired import paired_delong
from tests.core.readers import as_table, made_study
from tests.core.reference import DATA, needs_data, published

NAME = "reader_studies/mammography_cad_vs_9_radiologists.csv"


@needs_data
def test_the_published_study_of_a_cad_system_and_nine_radiologists():
    """AUCs, T, degrees of freedom, p and intervals of both published analyses; ours is the model less the readers."""
    wanted = published()[NAME]
    study, scores = split_model(pd.read_csv(DATA / NAME), "CAD")
    found = against_readers(study, scores)
    assert found.model.value == pytest.approx(wanted["auc_cad"], abs=5e-9)
    assert [e.value for e in found.by_reader.values()] == pytest.approx(wanted["auc_radiologists"], abs=5e-9)
    assert found.panel["readers"].value == pytest.approx(wanted["mean_radiologists"], abs=5e-9)
    for kind, printed in (
        ("readers", wanted["random_readers_fixed_cases"]),
        ("readers and cases", wanted["random_readers_random_cases"]),
    ):
        c = found.differences[kind]
        assert -c.difference.value / c.standard_error == pytest.approx(printed["T"], abs=5e-9)
        assert c.df == pytest.approx(printed["df"], abs=5e-4)
        assert c.difference.p == pytest.approx(printed["p"], abs=5e-9)
        assert (-c.difference.high, -c.difference.low) == pytest.approx(printed["ci_difference"], abs=5e-9)
    # The published interval of the radiologists' mean is that of the difference, moved by the model's AUC.
    shifted = [found.model.value - x for x in (c.difference.high, c.difference.low)]
    assert shifted == pytest.approx(wanted["random_readers_random_cases"]["ci_mean_radiologists"], abs=5e-9)


def test_fixed_cases_is_the_t_test_of_the_readers_against_the_models_auc():
    """SciPy's one-sample t."""
    study = made_study(1, 6, 50)
    model = study.truth + np.random.default_rng(9).normal(size=50)
    found = against_readers(study, model)
    aucs = [roc_auc_score(study.truth, row) for row in study.ratings[0]]
    t = stats.ttest_1samp(aucs, roc_auc_score(study.truth, model))
    c = found.differences["readers"]
    assert (c.difference.value / c.standard_error, c.difference.p) == pytest.approx((-t.statistic, t.pvalue))


def test_each_reader_against_the_model_is_paired_delong():
    """With DeLong covariance, interval and p are those of the test of two models."""
    study = made_study(1, 3, 50)
    model = study.truth + np.random.default_rng(9).normal(size=50)
    for contrast, row in zip(
        against_readers(study, model, covariance="delong").reader_differences, study.ratings[0], strict=True
    ):
        other = paired_delong(study.truth, model, row)
        assert (contrast.difference.value, contrast.difference.p) == pytest.approx((other.value, other.p))


def test_thresholds_of_readers_and_model_may_differ():
    """Readers at 1, the model at 0.3: its hits are those at its own threshold, whatever its scale."""
    study = made_study(1, 3, 50)
    model = 1 / (1 + np.exp(-study.ratings[0, 0]))
    found = against_readers(study, model, "sensitivity", "delong", (1.0, 0.3))
    assert found.model.value == np.mean(model[study.truth == 1] >= 0.3)
    assert found.by_reader["r0"].value == np.mean(study.ratings[0, 0, study.truth == 1] >= 1)
    assert found.model.n == 25
    with pytest.raises(Refused, match="threshold for the readers and one for the model"):
        against_readers(study, model, "sensitivity", "delong", (1.0, None))


def test_a_score_a_rounding_below_the_models_threshold_is_no_hit():
    """0.3 − 0.7 + 0.7 is 0.3, but moved by such floats a score can cross the threshold: each is compared with its own."""
    study = made_study(1, 2, 40)
    below = np.nextafter(0.7, 0)
    model = np.where(study.truth == 1, below, 0.1)
    assert below - 0.7 + 60.0 >= 60.0  # what shifting the scores onto the readers' scale would call a hit
    found = against_readers(study, model, "sensitivity", "delong", (60.0, 0.7))
    assert (found.model.value, found.threshold) == (0.0, 60.0)
    exact = np.where(study.truth == 1, 0.7, 0.1)
    assert against_readers(study, exact, "sensitivity", "delong", (60.0, 0.7)).model.value == 1.0


def test_one_reader_and_a_model_that_is_that_reader():
    """Random readers are undefined for one; the same scores have no difference to test."""
    study = made_study(1, 1, 30)
    found = against_readers(study, study.ratings[0, 0])
    assert "two readers" in found.differences["readers and cases"].difference.reason
    assert found.reader_differences[0].difference.value == 0
    assert found.reader_differences[0].difference.p is None


def test_refusals():
    """Several modalities, a model nobody knows, a model alone, scores of the wrong shape."""
    study = made_study(2, 2, 8)
    with pytest.raises(Refused, match="one modality, not in 2"):
        against_readers(study, np.zeros(8))
    table = as_table(made_study(1, 2, 8))
    with pytest.raises(Refused, match="called 'CAD'"):
        split_model(table, "CAD")
    with pytest.raises(Refused, match="no reader beside"):
        split_model(table[table["reader"] == "r0"], "r0")
    with pytest.raises(Refused, match="one modality"):
        split_model(as_table(study), "r0")
    with pytest.raises(ValueError, match="finite score"):
        against_readers(made_study(1, 2, 8), np.zeros(7))
