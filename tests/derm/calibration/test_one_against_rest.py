"""Platt and isotonic calibration against scikit-learn, and by hand."""

from typing import Any

import numpy as np
import pytest
from scipy.special import logit, softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression

from derm.calibration.one_against_rest import IsotonicCalibrator, PlattCalibrator, log_odds
from tests.derm.calibration.test_scaling import Logits, simulated


def test_log_odds_are_those_of_the_probabilities() -> None:
    logits, _ = simulated(1.0, rows=30)
    np.testing.assert_allclose(log_odds(logits), logit(softmax(logits, axis=1)), atol=1e-12)
    far = log_odds(np.array([[800.0, 0.0, -800.0]]))  # where probabilities are 1 and 0
    np.testing.assert_allclose(far, [[800.0, -800.0, -1600.0]])


def test_platt_is_scikit_learns_sigmoid_of_the_log_odds() -> None:
    logits, targets = simulated(3.0, rows=400)
    odds = log_odds(logits)
    whole: Any = False
    frozen = FrozenEstimator(Logits().fit(odds, targets))
    oracle = CalibratedClassifierCV(frozen, method="sigmoid", ensemble=whole).fit(odds, targets)
    told = PlattCalibrator.fit(logits, targets).probabilities(logits)
    np.testing.assert_allclose(told, oracle.predict_proba(odds), atol=2e-4)


def test_platt_by_hand_where_logits_say_nothing() -> None:
    """The smoothed share: the mean of the wanted values, (n+ + 1)/(n+ + 2) and 1/(n- + 2)."""
    targets = np.repeat([0, 1, 2], [2, 3, 5])
    told = PlattCalibrator.fit(np.zeros((10, 3)), targets).probabilities(np.zeros(3))
    shares = np.array([(n * (n + 1) / (n + 2) + (10 - n) / (12 - n)) / 10 for n in (2, 3, 5)])
    np.testing.assert_allclose(told, shares / shares.sum(), atol=1e-5)


def test_isotonic_is_scikit_learns_of_each_class() -> None:
    logits, targets = simulated(2.0, rows=500)
    given = softmax(logits, axis=1)
    each = np.stack(
        [IsotonicRegression().fit(given[:, index], targets == index).predict(given[:, index]) for index in range(4)], 1
    ).clip(1 / 502, 501 / 502)
    told = IsotonicCalibrator.fit(logits, targets).probabilities(logits)
    off = np.abs(told - each / each.sum(axis=1, keepdims=True))
    # The steps are stored with six decimals: on a steep one that shows.
    assert np.quantile(off, 0.95) < 1e-4 and off.mean() < 1e-4


def test_isotonic_is_never_certain_and_rises() -> None:
    logits = np.array([[-2.0, 2.0], [-1.0, 1.0], [1.0, -1.0], [2.0, -2.0]])
    fitted = IsotonicCalibrator.fit(logits, np.array([1, 1, 0, 0]))
    told = fitted.probabilities(np.stack([np.linspace(-5, 5, 50), np.zeros(50)], axis=1))
    assert (np.diff(told[:, 0]) >= 0).all()
    assert told[0, 0] == pytest.approx(1 / 6) and told[-1, 0] == pytest.approx(5 / 6)


@pytest.mark.parametrize("kind", [PlattCalibrator, IsotonicCalibrator])
def test_probabilities_sum_to_one_and_keep_leading_axes(kind: Any) -> None:
    logits, targets = simulated(1.0, rows=60)
    fitted = kind.fit(logits, targets)
    told = fitted.probabilities(logits.reshape(3, 20, 4))
    np.testing.assert_allclose(told.sum(axis=-1), 1)
    np.testing.assert_allclose(told.reshape(60, 4), fitted.probabilities(logits))
    assert kind.model_validate(fitted.model_dump()) == fitted
