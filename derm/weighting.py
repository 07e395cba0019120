"""How much an image of each class counts in the loss."""

from typing import Literal

import numpy as np

ClassWeighting = Literal["none", "inverse", "sqrt_inverse"]


def class_weights(
    targets: np.ndarray, classes: int, weighting: ClassWeighting, positive: int | None, boost: float
) -> np.ndarray:
    """Float64 [classes]: 1, 1/share or 1/sqrt(share) of the class, times `boost` for the positive class.

    Scaled so that the mean weight over `targets` (int [n], every class present) is 1: the learning rate and the L2
    penalty keep their meaning from one weighting to the next.
    """
    share = np.bincount(targets, minlength=classes) / len(targets)
    weights = {"none": np.ones(classes), "inverse": 1 / share, "sqrt_inverse": share**-0.5}[weighting]
    if positive is not None:
        weights[positive] *= boost
    return weights / (weights * share).sum()
