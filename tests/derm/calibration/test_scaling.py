"""Scaling of logits against simulation, scikit-learn and a grid."""

from typing import Any

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from derm.calibration.calibrator import Calibrator
from derm.calibration.scaling import PULL, NoCalibrator, TemperatureCalibrator, VectorCalibrator


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    return TemperatureCalibrator.fit(logits, targets).temperature


def simulated(temperature: float, rows: int = 6000, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `temperature` times too large, and targets drawn from the true probabilities."""
    generator = np.random.default_rng(seed)
    logits = 1.5 * generator.normal(size=(rows, classes))
    return logits * temperature, (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)


class Logits(ClassifierMixin, BaseEstimator):
    """A classifier whose decision function is its input."""

    def __init__(self, classes: int = 4) -> None:
        self.classes = classes

    def fit(self, features: np.ndarray, targets: np.ndarray) -> "Logits":
        self.classes_ = np.arange(self.classes)
        return self

    def decision_function(self, features: np.ndarray) -> np.ndarray:
        return features

    def predict(self, features: np.ndarray) -> np.ndarray:
        return features.argmax(axis=1)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 10.0])
def test_recovers_the_temperature_of_simulated_logits(temperature: float) -> None:
    assert fit_temperature(*simulated(temperature)) == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_probabilities_are_those_of_scikit_learn(temperature: float) -> None:
    logits, targets = simulated(temperature, rows=300)
    frozen = FrozenEstimator(Logits().fit(logits, targets))
    whole: Any = False
    oracle = CalibratedClassifierCV(frozen, method="temperature", ensemble=whole).fit(logits, targets)
    ours = TemperatureCalibrator.fit(logits, targets).probabilities(logits)
    np.testing.assert_allclose(ours, oracle.predict_proba(logits), atol=1e-3)


def test_no_temperature_of_a_fine_grid_has_a_lower_loss() -> None:
    logits, targets = simulated(2.0, rows=80, seed=5)

    def loss(temperature: float) -> float:
        return -log_softmax(logits / temperature, axis=1)[np.arange(len(targets)), targets].mean()

    assert loss(fit_temperature(logits, targets)) <= min(loss(t) for t in np.geomspace(0.02, 50, 3000)) + 1e-9


def test_stays_within_bounds_where_there_is_no_best_temperature() -> None:
    """All right: the colder the better. All wrong: the hotter the better."""
    logits = np.eye(3)
    assert 0.02 <= fit_temperature(0.1 * logits, np.array([0, 1, 2])) < 0.021
    assert 48 < fit_temperature(10 * logits, np.array([1, 2, 0])) <= 50


def test_probabilities_by_hand_and_far_from_overflow() -> None:
    # log 9 over temperature 2 is log 3: odds 3 to 1
    np.testing.assert_allclose(
        TemperatureCalibrator(temperature=2.0).probabilities(np.array([[np.log(9.0), 0.0]])), [[0.75, 0.25]]
    )
    assert np.isfinite(TemperatureCalibrator(temperature=0.02).probabilities(np.array([[5000.0, -5000.0]]))).all()


def test_the_order_of_classes_is_kept() -> None:
    logits, _ = simulated(1.0, rows=200)
    for temperature in (0.1, 7.0):
        assert (
            TemperatureCalibrator(temperature=temperature).probabilities(logits).argmax(axis=1) == logits.argmax(axis=1)
        ).all()


def test_none_is_softmax() -> None:
    logits, targets = simulated(1.0, rows=50)
    told = NoCalibrator.fit(logits, targets).probabilities(logits)
    np.testing.assert_allclose(told, softmax(logits, axis=1), rtol=1e-12)


def test_scales_and_shifts_of_simulated_logits_are_found() -> None:
    logits, targets = simulated(1.0, rows=20_000)
    scale, shift = np.array([0.5, 1.0, 2.0, 1.0]), np.array([0.0, 1.5, -1.0, 0.3])
    fitted = VectorCalibrator.fit((logits - shift) / scale, targets)
    np.testing.assert_allclose(fitted.scale, scale, rtol=0.07)
    np.testing.assert_allclose(fitted.shift, shift - shift.mean(), atol=0.07)
    assert all(round(value, 6) == value for value in fitted.scale + fitted.shift)  # as they are stored


def test_vector_is_at_the_minimum_of_the_loss() -> None:
    """Its gradient by hand: what is told less what happened, in sum, and weighted by the logits, is what the prior
    holds against it."""
    logits, targets = simulated(2.0, rows=400)
    fitted = VectorCalibrator.fit(logits, targets)
    off = fitted.probabilities(logits) - np.eye(4)[targets]
    np.testing.assert_allclose(off.sum(axis=0), -PULL * np.array(fitted.shift), atol=1e-2)
    np.testing.assert_allclose((off * logits).sum(axis=0), -PULL * (np.array(fitted.scale) - 1), atol=1e-2)
    assert sum(fitted.shift) == pytest.approx(0, abs=1e-4)


def test_with_two_classes_and_many_images_vector_is_logistic_regression_on_both_logits() -> None:
    generator = np.random.default_rng(3)
    logits = generator.normal(size=(50_000, 2))
    targets = (generator.random(50_000) < expit(2 * logits[:, 1] - 0.5 * logits[:, 0] + 0.4)).astype(int)
    oracle = LogisticRegression(C=np.inf, tol=1e-10).fit(logits, targets)
    told = VectorCalibrator.fit(logits, targets).probabilities(logits)
    np.testing.assert_allclose(told, oracle.predict_proba(logits), atol=2e-3)


def test_a_few_images_hardly_move_it() -> None:
    """Also where each class is told apart wholly, which has no maximum of the likelihood."""
    logits = np.eye(3)[np.repeat([0, 1, 2], 5)]
    fitted = VectorCalibrator.fit(logits, np.repeat([0, 1, 2], 5))
    assert min(fitted.scale) > 1 and max(fitted.scale) < 1.5 and max(map(abs, fitted.shift)) < 0.5


def test_a_logit_that_speaks_against_its_class_is_not_turned_round() -> None:
    logits, targets = simulated(1.0, rows=2000)
    logits[:, 2] *= -1
    assert VectorCalibrator.fit(logits, targets).scale[2] == 0.02


@pytest.mark.parametrize("kind", [NoCalibrator, TemperatureCalibrator, VectorCalibrator])
def test_leading_axes_are_kept(kind: type[Calibrator]) -> None:
    logits, targets = simulated(1.0, rows=60)
    fitted = kind.fit(logits, targets)
    told = fitted.probabilities(logits.reshape(3, 20, 4))
    np.testing.assert_allclose(told.reshape(60, 4), fitted.probabilities(logits))
