"""Temperature scaling: the fit of least log loss, and the probabilities it gives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from statsmodels.discrete.discrete_model import Logit

from core.records import Refused
from core.statistics.temperature import fit_temperature, tempered


def _overconfident(n: int = 4000, factor: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes drawn with honest odds, and probabilities (n, 2) whose log odds are `factor` times too far from 0."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=n)
    y = (rng.random(n) < expit(z)).astype(int)
    p = expit(factor * z)
    return y, np.column_stack([1 - p, p])


def test_the_temperature_is_the_inverse_of_statsmodels_slope_without_intercept():
    """For two classes temperature scaling is logistic regression on the log odds with no intercept."""
    y, p = _overconfident()
    slope = Logit(y, logit(p[:, 1])[:, None]).fit(disp=0).params[0]
    assert fit_temperature(y, p) == pytest.approx(1 / slope, rel=1e-5)
    assert fit_temperature(y, p) == pytest.approx(3.0, rel=0.08)  # what the data were made with


def test_two_classes_agree_with_scikit_learn():
    """A second implementation of the same fit."""
    y, p = _overconfident(500, 0.4)
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10).fit(logit(p[:, 1])[:, None], y)
    assert fit_temperature(y, p) == pytest.approx(1 / model.coef_[0, 0], rel=1e-4)


def test_no_other_temperature_has_a_smaller_log_loss_with_three_classes():
    """Checked over a grid, for probabilities of three classes."""
    rng = np.random.default_rng(1)
    p = rng.dirichlet([0.3, 0.3, 0.3], size=300)
    y = np.array([rng.choice(3, p=tempered(row[None], 2.0)[0]) for row in p])
    best = fit_temperature(y, p)

    def loss(t: float) -> float:
        return -np.log(tempered(p, t)[np.arange(300), y]).mean()

    assert all(loss(best) <= loss(t) + 1e-9 for t in np.geomspace(0.1, 10, 50))


def test_tempered_on_paper():
    """Odds of 9 become 3 at temperature 2 and stay at 1; certainty stays certain; rows sum to 1."""
    np.testing.assert_allclose(tempered(np.array([[0.9, 0.1], [1.0, 0.0]]), 2.0)[0], [0.75, 0.25])
    p = np.array([[0.2, 0.3, 0.5]])
    np.testing.assert_allclose(tempered(p, 1.0), p, atol=1e-12)
    np.testing.assert_allclose(tempered(np.array([[1.0, 0.0]]), 3.0).sum(), 1)


@pytest.mark.parametrize(
    ("labels", "p", "words"),
    [
        ([1, 0, 1], [0.8, 0.3, 0.9], "every validation case is right"),
        ([0, 1, 0], [0.8, 0.3, 0.9], "no better than a guess"),
    ],
)
def test_what_cannot_be_fitted_is_refused(labels, p, words):
    """Separated cases set no limit to certainty; probabilities that point the wrong way have no temperature."""
    scores = np.array(p)
    with pytest.raises(Refused, match=words):
        fit_temperature(np.array(labels), np.column_stack([1 - scores, scores]))
