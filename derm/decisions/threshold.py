"""The flag's threshold, set for a wanted sensitivity."""

import math

import numpy as np

from derm.files import DECIMALS


def threshold_for_sensitivity(positive_probabilities: np.ndarray, sensitivity: float) -> float:
    """The highest threshold t such that `p >= t` holds for at least this share of the positives.

    positive_probabilities: of the positive class, for the calibration part's images of it, float [n], n >= 1.
    Rounded down to the decimals that are stored, so that no image at the threshold is lost by rounding.
    """
    ordered = np.sort(positive_probabilities)
    needed = math.ceil(sensitivity * len(ordered) - 1e-9)
    threshold = ordered[len(ordered) - needed]
    return math.floor(threshold * 10**DECIMALS) / 10**DECIMALS
