"""Temperature scaling (Guo et al. 2017, arXiv 1706.04599): one number that makes probabilities honest."""

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

# Beyond these bounds probabilities are all but uniform, or all but 0 and 1.
LOWEST, HIGHEST = 0.02, 50.0


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The temperature with the lowest negative log-likelihood, searched on a log scale.

    logits: float64 [n, classes]; targets: int [n], of the calibration part.
    """
    rows = np.arange(len(targets))

    def negative_log_likelihood(log_temperature: float) -> float:
        return -float(log_softmax(logits / np.exp(log_temperature), axis=1)[rows, targets].mean())

    bounds = (np.log(LOWEST), np.log(HIGHEST))
    found: Any = minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded")
    return float(np.exp(found.x))


def apply_temperature(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Calibrated probabilities, float64 [n, classes]."""
    return softmax(logits / temperature, axis=1)
