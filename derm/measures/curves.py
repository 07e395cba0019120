"""Curves for plots: thinned to what a plot can show, without the infinite threshold that breaks JSON readers."""

import numpy as np
import pandas as pd

from derm.measures.weighted import cumulative

POINTS = 200
# Where the bands of curves are computed.
GRID = np.linspace(0, 1, 101)


def roc_points(scores: np.ndarray, positive: np.ndarray) -> pd.DataFrame:
    """`false_positive_rate, sensitivity` of scores [n] for bool [n], at most 200 points."""
    from sklearn.metrics import roc_curve

    false_positive_rate, sensitivity, _ = roc_curve(positive, scores)
    return _thinned(pd.DataFrame({"false_positive_rate": false_positive_rate, "sensitivity": sensitivity}))


def precision_recall_points(scores: np.ndarray, positive: np.ndarray) -> pd.DataFrame:
    """`sensitivity, precision` of scores [n] for bool [n], at most 200 points, from low sensitivity to high."""
    from sklearn.metrics import precision_recall_curve

    precision, sensitivity, _ = precision_recall_curve(positive, scores)
    return _thinned(pd.DataFrame({"sensitivity": sensitivity[::-1], "precision": precision[::-1]}))


def roc_band(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> pd.DataFrame:
    """`false_positive_rate, low, high`: the 95 % interval of the sensitivity at each rate, of scores [n] for bool [n],
    over a bootstrap's weights [resamples, n] that draw both kinds each time."""
    hits, alarms = cumulative(scores, positive, weights)
    sensitivity = [
        np.interp(GRID, np.append(0.0, alarm / alarm[-1]), np.append(0.0, hit / hit[-1]))
        for hit, alarm in zip(hits, alarms, strict=True)
    ]
    return _band("false_positive_rate", sensitivity)


def precision_recall_band(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> pd.DataFrame:
    """`sensitivity, low, high`: the same of the precision at the highest threshold that reaches each sensitivity."""
    hits, alarms = cumulative(scores, positive, weights)
    precision = []
    for hit, alarm in zip(hits, alarms, strict=True):
        reached = np.searchsorted(hit, GRID[1:] * hit[-1] - 1e-9)
        precision.append(hit[reached] / (hit[reached] + alarm[reached]))
    return _band("sensitivity", precision, GRID[1:])


def _band(x: str, drawn: list[np.ndarray], grid: np.ndarray = GRID) -> pd.DataFrame:
    low, high = np.nanpercentile(np.stack(drawn), [2.5, 97.5], axis=0)
    return pd.DataFrame({x: grid, "low": low, "high": high})


def reliability_bins(
    probabilities: np.ndarray, targets: np.ndarray, weights: np.ndarray, bins: int = 15
) -> pd.DataFrame:
    """`low, high, count, confidence, accuracy, accuracy_low, accuracy_high` for each equal-width bin of the top
    probability that holds an image; the last two are the 95 % interval of the accuracy over a bootstrap's weights
    [resamples, n]."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == targets
    member = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = []
    for index in np.unique(member):
        inside = member == index
        drawn = weights[:, inside].sum(axis=1)
        shares = (weights[:, inside] @ correct[inside])[drawn > 0] / drawn[drawn > 0]
        low, high = np.percentile(shares, [2.5, 97.5])
        rows.append(
            {
                "low": index / bins,
                "high": (index + 1) / bins,
                "count": int(inside.sum()),
                "confidence": confidence[inside].mean(),
                "accuracy": correct[inside].mean(),
                "accuracy_low": low,
                "accuracy_high": high,
            }
        )
    return pd.DataFrame(rows)


def _thinned(curve: pd.DataFrame) -> pd.DataFrame:
    if len(curve) <= POINTS:
        return curve
    return curve.iloc[np.unique(np.linspace(0, len(curve) - 1, POINTS).round().astype(int))]
