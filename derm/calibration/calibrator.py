"""What every calibrator is."""

from abc import ABC, abstractmethod
from typing import Self

import numpy as np

from derm.files import DECIMALS
from derm.params import Section


class Calibrator(Section, ABC):
    """Logits -> probabilities, with what was fitted on the calibration part.

    What is fitted is rounded as it is stored: thresholds must be those of the very probabilities that will be told.
    """

    @classmethod
    @abstractmethod
    def fit(cls, logits: np.ndarray, targets: np.ndarray) -> Self:
        """logits: float64 [n, classes], targets: int [n], every class among them."""

    @abstractmethod
    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Float64 [..., classes], summing to 1 over the last axis, of logits of that shape."""


def as_stored(values: np.ndarray) -> list[float]:
    """A list of floats, rounded."""
    return [round(float(value), DECIMALS) + 0.0 for value in values]
