"""Predictions: kept once, given back exactly, never undefined."""

import dataclasses

import numpy as np
import pytest

from core.records import Refused
from db import engine, models, predictions
from db.engine import StoreError
from tests.db import make


@pytest.fixture
def study(store):
    """Id of a study, with a model registered to predict it."""
    (made,) = make.add_studies(1)
    with engine.write() as session:
        models.add_model(session, make.model())
    return made


def keep(prediction, by="Ann") -> int:
    """Keep it in a transaction of its own."""
    with engine.write() as session:
        return predictions.add_prediction(session, prediction, requested_by=by)


def test_a_prediction_comes_back_exactly(study):
    """Every field, the class order, and every bit of the probabilities."""
    third = np.nextafter(1 / 3, 1)
    made = make.prediction(
        study,
        make.version("model"),
        probabilities={"malignant": third, "benign": 1 - third},  # an order that sorting would change
        per_image=np.array([[third, 1 - third]]),
    )
    number = keep(made)
    with engine.read() as session:
        found = predictions.get_prediction(session, study, make.version("model"))
        assert predictions.get_prediction_by_id(session, number) is not None
    assert found is not None
    assert found[0] == number
    assert list(found[1].probabilities) == ["malignant", "benign"]
    np.testing.assert_array_equal(found[1].per_image, made.per_image)
    assert dataclasses.replace(found[1], per_image=made.per_image) == made


def test_without_an_operating_point(study):
    """A task without a positive class has none."""
    keep(make.prediction(study, make.version("model"), operating_point=None))
    with engine.read() as session:
        found = predictions.get_prediction(session, study, make.version("model"))
    assert found is not None
    assert found[1].operating_point is None


def test_a_repeated_prediction_is_kept_once(study):
    """The same study, model and device give the first id; another device is another prediction, and the newest is given."""
    version = make.version("model")
    first = keep(make.prediction(study, version, 0.75))
    assert keep(make.prediction(study, version, 0.8), by="Bob") == first
    second = keep(make.prediction(study, version, 0.75, device="cuda"))
    assert second != first
    with engine.read() as session:
        found = predictions.get_prediction(session, study, version)
        assert predictions.get_prediction(session, study, "other") is None
        assert predictions.get_prediction_by_id(session, 10**6) is None
    assert found is not None
    assert found[0] == second


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probabilities": {"benign": float("nan"), "malignant": 0.5}}, "finite"),
        ({"per_image": np.array([[np.inf, 0.0]])}, "finite"),
        ({"per_image": np.array([[0.2, 0.3, 0.5]])}, "2 classes"),
        ({"per_image": np.array([0.2, 0.8])}, "2 classes"),
        ({"predicted": "normal"}, "none of"),
    ],
)
def test_unfit_predictions_are_refused(study, changes, message):
    """NaN, infinities, wrong shapes and unknown classes never reach the store."""
    with pytest.raises(ValueError, match=message):
        keep(make.prediction(study, make.version("model"), **changes))


def test_unregistered_and_withdrawn_models_predict_nothing_new(study):
    """A model must be registered; once withdrawn, its old predictions stay and no new one is kept."""
    with pytest.raises(Refused, match="not registered"):
        keep(make.prediction(study, make.version("stranger")))
    version = make.version("model")
    first = keep(make.prediction(study, version))
    with engine.write() as session:
        models.set_model_status(session, version, "withdrawn", "Lea")
    with pytest.raises(Refused, match="withdrawn"):
        keep(make.prediction(study, version, device="cuda"))
    assert keep(make.prediction(study, version)) == first


def test_a_prediction_needs_its_study(study):
    """No prediction hangs in the air."""
    with pytest.raises(StoreError):
        keep(make.prediction("no such study", make.version("model")))
