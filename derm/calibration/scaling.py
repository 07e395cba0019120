"""Calibrators that scale logits: one number for all classes, or one and a shift for each (Guo et al. 2017, arXiv
1706.04599)."""

from typing import Any, Literal, Self

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax

from derm.calibration.calibrator import Calibrator, as_stored

# Beyond these bounds of the temperature probabilities are all but uniform, or all but 0 and 1.
LOWEST, HIGHEST = 0.02, 50.0
# A class that one image more or less would make certain is not shifted further than this.
FARTHEST = 20.0


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
    """``softmax(scale * logits + shift)``, one of each a class."""

    method: Literal["vector"] = "vector"
    scale: list[float]
    shift: list[float]

    @classmethod
    def fit(cls, logits: np.ndarray, targets: np.ndarray) -> Self:
        """The scales and shifts with the lowest negative log-likelihood, which is convex in them."""
        classes = logits.shape[1]
        hot = np.eye(classes)[targets]

        def loss(given: np.ndarray) -> tuple[float, np.ndarray]:
            scaled = given[:classes] * logits + given[classes:]
            off = (softmax(scaled, axis=1) - hot) / len(logits)
            return negative_log_likelihood(scaled, targets), np.r_[(off * logits).sum(axis=0), off.sum(axis=0)]

        bounds = [(1 / HIGHEST, 1 / LOWEST)] * classes + [(-FARTHEST, FARTHEST)] * classes
        options = {"maxiter": 10_000, "ftol": 1e-14, "gtol": 1e-9}
        start = np.r_[np.ones(classes), np.zeros(classes)]
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
        shift = found[classes:] - found[classes:].mean()
        return cls(scale=as_stored(found[:classes]), shift=as_stored(shift))

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        return softmax(logits * np.array(self.scale) + np.array(self.shift), axis=-1)


def negative_log_likelihood(logits: np.ndarray, targets: np.ndarray) -> float:
    """Mean over images, in nats."""
    return -float(log_softmax(logits, axis=1)[np.arange(len(targets)), targets].mean())
