"""Random predictions with ties, for tests of the measures."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Predictions:
    """targets, predicted: int [n]; probabilities [n, classes] with many ties; whole-number weights [resamples, n]."""

    targets: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray
    weights: np.ndarray


def random_predictions(seed: int, rows: int = 70, classes: int = 4, resamples: int = 5) -> Predictions:
    generator = np.random.default_rng(seed)
    targets = np.append(np.arange(classes), generator.integers(0, classes, rows - classes))
    scores = generator.normal(size=(rows, classes)) + 1.2 * np.eye(classes)[targets]
    probabilities = np.exp(np.round(scores, 0))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    weights = generator.integers(0, 4, size=(resamples, rows)).astype(float)
    weights[:, :classes] += 1  # every class stays
    return Predictions(targets, probabilities.argmax(axis=1), probabilities, weights)
