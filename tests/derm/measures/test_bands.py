"""Bands of curves against scikit-learn's curves of each resample."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_curve

from derm.measures.curves import precision_recall_band, roc_band


@pytest.fixture
def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores with ties, what is positive, and whole numbers of draws."""
    generator = np.random.default_rng(3)
    positive = np.arange(60) % 3 == 0
    scores = (generator.normal(size=60) + positive).round(1)
    weights = generator.poisson(1, (40, 60)).astype(float)
    weights[:, :2] = 1  # each kind is drawn each time
    return scores, positive, weights


def repeated(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    times = weights.astype(int)
    return np.repeat(positive, times), np.repeat(scores, times)


def test_roc_band_is_the_percentiles_of_the_resampled_curves(drawn: tuple[np.ndarray, ...]) -> None:
    scores, positive, weights = drawn
    band = roc_band(scores, positive, weights)
    curves = []
    for row in weights:
        rate, sensitivity, _ = roc_curve(*repeated(scores, positive, row), drop_intermediate=False)
        curves.append(np.interp(band["false_positive_rate"], rate, sensitivity))
    low, high = np.percentile(curves, [2.5, 97.5], axis=0)
    assert np.allclose(band["low"], low)
    assert np.allclose(band["high"], high)
    assert (high > low).any()


def test_precision_recall_band_is_the_percentiles_of_the_resampled_curves(drawn: tuple[np.ndarray, ...]) -> None:
    scores, positive, weights = drawn
    band = precision_recall_band(scores, positive, weights)
    curves = []
    for row in weights:
        precision, sensitivity, _ = precision_recall_curve(*repeated(scores, positive, row))
        order = slice(-2, None, -1)  # from the highest threshold down, without scikit-learn's added point
        told, reached = precision[order], sensitivity[order]
        curves.append([told[np.argmax(reached >= wanted - 1e-9)] for wanted in band["sensitivity"]])
    low, high = np.percentile(curves, [2.5, 97.5], axis=0)
    assert np.allclose(band["low"], low)
    assert np.allclose(band["high"], high)
    assert (high > low).any()
