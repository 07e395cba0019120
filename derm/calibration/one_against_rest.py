"""Calibrators that take each class against the rest, and make the classes' probabilities sum to 1 afterwards (Zadrozny
and Elkan 2002)."""

from typing import Literal, Self

import numpy as np
from scipy.special import expit, logsumexp, softmax
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from derm.calibration.calibrator import Calibrator, as_stored


class PlattCalibrator(Calibrator):
    """A sigmoid of each class's log-odds (Platt 1999, with his smoothed targets)."""

    method: Literal["platt"] = "platt"
    slope: list[float]
    intercept: list[float]

    @classmethod
    def fit(cls, logits: np.ndarray, targets: np.ndarray) -> Self:
        odds = log_odds(logits)
        fitted = [_sigmoid(odds[:, index], targets == index) for index in range(logits.shape[1])]
        slopes, intercepts = np.array(fitted).T
        return cls(slope=as_stored(slopes), intercept=as_stored(intercepts))

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        return _normalised(expit(log_odds(logits) * np.array(self.slope) + np.array(self.intercept)))


class IsotonicCalibrator(Calibrator):
    """Each class's probability through a rising staircase with straight ramps; knots: [from, to] by class.

    Held off 0 and 1 by what one image more would make of the share, so that no answer is certain.
    """

    method: Literal["isotonic"] = "isotonic"
    knots: list[list[list[float]]]
    images: int

    @classmethod
    def fit(cls, logits: np.ndarray, targets: np.ndarray) -> Self:
        given, knots = softmax(logits, axis=1), []
        for index in range(logits.shape[1]):
            stairs = IsotonicRegression(out_of_bounds="clip").fit(given[:, index], (targets == index).astype(float))
            knots.append([as_stored(stairs.X_thresholds_), as_stored(stairs.y_thresholds_)])
        return cls(knots=knots, images=len(targets))

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        given, least = softmax(logits, axis=-1), 1 / (self.images + 2)
        mapped = [np.interp(given[..., index], rises, to) for index, (rises, to) in enumerate(self.knots)]
        return _normalised(np.stack(mapped, axis=-1).clip(least, 1 - least))


def log_odds(logits: np.ndarray) -> np.ndarray:
    """``log p - log(1 - p)`` of each class, float64 [..., classes]."""
    others = np.where(np.eye(logits.shape[-1], dtype=bool), -np.inf, logits[..., None, :])
    return logits - logsumexp(others, axis=-1)


def _sigmoid(odds: np.ndarray, hit: np.ndarray) -> tuple[float, float]:
    """Slope and intercept; a target is (hits + 1) / (hits + 2), or 1 / (misses + 2), instead of 1 and 0."""
    hits, misses = hit.sum(), (~hit).sum()
    wanted = np.where(hit, (hits + 1) / (hits + 2), 1 / (misses + 2))
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
    model.fit(np.r_[odds, odds][:, None], np.repeat([1, 0], len(odds)), np.r_[wanted, 1 - wanted])
    return float(model.coef_[0, 0]), float(np.ravel(model.intercept_)[0])


def _normalised(each: np.ndarray) -> np.ndarray:
    return each / each.sum(axis=-1, keepdims=True)
