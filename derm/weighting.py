"""How much an image of each class counts in the loss."""

from typing import Literal

import numpy as np

ClassWeighting = Literal["none", "inverse", "sqrt_inverse", "effective"]


def class_weights(
    targets: np.ndarray,
    classes: int,
    weighting: ClassWeighting,
    effective_beta: float,
    factors: np.ndarray,
) -> np.ndarray:
    """Float64 [classes], times `factors` [classes], scaled so that the mean weight over `targets` is 1: the learning
    rate and the L2 penalty keep their meaning from one weighting to the next.

    none: 1. inverse: 1/n of the class's images, so that every class counts alike. sqrt_inverse: 1/sqrt(n). effective:
    ``(1 - beta)/(1 - beta^n)``, the inverse of the effective number of samples (Cui et al. 2019, arXiv 1901.05555).
    targets: int [n], every class present.
    """
    counts = np.bincount(targets, minlength=classes)
    match weighting:
        case "none":
            weights = np.ones(classes)
        case "inverse":
            weights = 1 / counts
        case "sqrt_inverse":
            weights = counts**-0.5
        case "effective":
            weights = (1 - effective_beta) / -np.expm1(counts * np.log(effective_beta))
    weights = weights * factors
    return weights * len(targets) / (weights * counts).sum()
