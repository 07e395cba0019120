"""Calibrators that scale logits: one number for all classes, or one and a shift for each (Guo et al. 2017, arXiv
1706.04599)."""

from typing import Any, Literal, Self

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax

from derm.calibration.calibrator import Calibrator, as_stored

# Beyond these bounds of the temperature probabilities are all but uniform, or all but 0 and 1.
LOWEST, HIGHEST = 0.02, 50.0
# How strongly scales are held to 1 and shifts to 0: a normal prior of precision 10, in nats over all images. Without it
# the rare classes of 1,000 images, of which there are a dozen, are overfitted: on HAM10000's five calibration parts,
# cross-fitted, the mean loss is .487, with 1, 3, 10, 30 it is .468, .466, .465, .466 (temperature .473, Platt .467).
PULL = 10.0


class NoCalibrator(Calibrator):
    """Probabilities as the head has them."""

    method: Literal["none"] = "none"

    @classmethod
    def fit(cls, logits: np.ndarray, targets: np.ndarray) -> Self:
        del logits, targets
        return cls()

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        return softmax(logits, axis=-1)


class TemperatureCalibrator(Calibrator):
    """One number that makes probabilities honest, and leaves their order as it is."""

    method: Literal["temperature"] = "temperature"
    temperature: float

    @classmethod
    def fit(cls, logits: np.ndarray, targets: np.ndarray) -> Self:
        """The temperature with the lowest negative log-likelihood, searched on a log scale."""

        def loss(log_temperature: float) -> float:
            return negative_log_likelihood(logits / np.exp(log_temperature), targets)

        found: Any = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
        return cls(temperature=as_stored(np.exp([found.x]))[0])

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        return softmax(logits / self.temperature, axis=-1)


class VectorCalibrator(Calibrator):
    """``softmax(scale * logits + shift)``, one of each a class, held to what the head says by a prior."""

    method: Literal["vector"] = "vector"
    scale: list[float]
    shift: list[float]

    @classmethod
    def fit(cls, logits: np.ndarray, targets: np.ndarray) -> Self:
        """The most probable scales and shifts: the negative log-likelihood and the prior are convex in them."""
        count, classes = logits.shape
        hot = np.eye(classes)[targets]
        start = np.r_[np.ones(classes), np.zeros(classes)]

        def loss(given: np.ndarray) -> tuple[float, np.ndarray]:
            scaled, moved = given[:classes] * logits + given[classes:], given - start
            off = softmax(scaled, axis=1) - hot
            gradient = np.r_[(off * logits).sum(axis=0), off.sum(axis=0)] + PULL * moved
            total = count * negative_log_likelihood(scaled, targets) + PULL * (moved @ moved) / 2
            return total / count, gradient / count

        # No class's probability falls as its logit rises.
        bounds = [(1 / HIGHEST, None)] * classes + [(None, None)] * classes
        options = {"maxiter": 10_000, "ftol": 1e-14, "gtol": 1e-9}
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
        return cls(scale=as_stored(found[:classes]), shift=as_stored(found[classes:]))

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        return softmax(logits * np.array(self.scale) + np.array(self.shift), axis=-1)


def negative_log_likelihood(logits: np.ndarray, targets: np.ndarray) -> float:
    """Mean over images, in nats."""
    return -float(log_softmax(logits, axis=1)[np.arange(len(targets)), targets].mean())
