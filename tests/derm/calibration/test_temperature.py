"""Temperature scaling against simulation, scikit-learn and a grid."""

from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from derm.calibration.temperature import apply_temperature, fit_temperature


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
    ours = apply_temperature(logits, fit_temperature(logits, targets))
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
    np.testing.assert_allclose(apply_temperature(np.array([[np.log(9.0), 0.0]]), 2.0), [[0.75, 0.25]])
    assert np.isfinite(apply_temperature(np.array([[5000.0, -5000.0]]), 0.02)).all()


def test_the_order_of_classes_is_kept() -> None:
    logits, _ = simulated(1.0, rows=200)
    for temperature in (0.1, 7.0):
        assert (apply_temperature(logits, temperature).argmax(axis=1) == logits.argmax(axis=1)).all()
