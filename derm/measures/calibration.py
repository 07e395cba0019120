"""How honest probabilities are: against what happened, and against what would happen if they were perfect.

Targets int [n]; probabilities float64 [n, classes]; weights float64 [resamples, n], or None for one row of ones.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, logit, softmax

from derm.measures.weighted import (
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
    unit_weights,
)

# A probability of 0 or 1 has no log-odds; this is what is stored at most.
LEAST = 1e-6
STEEPEST = 50.0


def calibration_numbers(
    probabilities: np.ndarray, targets: np.ndarray, groups: np.ndarray, draws: int, seed: int
) -> dict[str, float]:
    """`nll, brier, ece, ece_if_perfect` (its mean if the probabilities were true), `classwise_ece, slope`."""
    return {
        "nll": negative_log_likelihood(probabilities, targets)[0],
        "brier": brier_score(probabilities, targets)[0],
        "ece": expected_calibration_error(probabilities, targets)[0],
        "ece_if_perfect": if_perfect(probabilities, groups, draws, seed).mean(),
        "classwise_ece": classwise_calibration_error(probabilities, targets)[0],
        "slope": calibration_slope(probabilities, targets)[0],
    }


def classwise_calibration_error(
    probabilities: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None, bins: int = 15
) -> np.ndarray:
    """Mean over the classes of the mean gap between probability and frequency, in equal-width bins of the class's own
    probability (Kull et al. 2019, arXiv 1910.12656): float64 [resamples]."""
    weights = unit_weights(len(targets), weights)
    gaps = np.zeros(len(weights))
    for index in range(probabilities.shape[1]):
        told = probabilities[:, index]
        in_bin = np.eye(bins)[np.minimum((told * bins).astype(int), bins - 1)]
        gaps += np.abs(weights @ (in_bin * (told - (targets == index))[:, None])).sum(axis=1)
    return gaps / weights.sum(axis=1) / probabilities.shape[1]


def calibration_slope(probabilities: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """What log-probabilities would have to be multiplied by to fit what happened best: float64 [resamples].

    1 is honest; below it the probabilities are too extreme, above it too timid (Cox 1958, over several classes).
    """
    log_p, rows = np.log(probabilities.clip(LEAST)), np.arange(len(targets))

    def slope(weight: np.ndarray) -> float:
        def gap(tried: float) -> float:
            """The derivative of the log-loss: what the truth's log-probability would be if it were told, less what it
            is. It rises with the slope."""
            told = softmax(tried * log_p, axis=1)
            return float(((told * log_p).sum(axis=1) - log_p[rows, targets]) @ weight)

        if gap(1 / STEEPEST) >= 0:
            return 1 / STEEPEST
        if gap(STEEPEST) <= 0:
            return STEEPEST
        root: Any = brentq(gap, 1 / STEEPEST, STEEPEST, xtol=1e-12)
        return root

    return np.array([slope(weight) for weight in unit_weights(len(targets), weights)])


def slope_and_intercept(told: np.ndarray, hit: np.ndarray) -> tuple[float, float]:
    """Of one class against the rest: the line through its log-odds that fits best (Cox 1958), by maximum likelihood.

    told: its probability [n]; hit: bool [n]. 1 and 0 are honest; an intercept below 0 is told too often. NaN where all
    are hits, or none is.
    """
    if hit.all() or not hit.any():
        return float("nan"), float("nan")
    odds = logit(told.clip(LEAST, 1 - LEAST))
    design, given = np.stack([odds, np.ones(len(odds))], axis=1), np.array([1.0, 0.0])
    for _ in range(100):  # Newton's steps
        p = expit(design @ given)
        step = np.linalg.lstsq((design * (p * (1 - p))[:, None]).T @ design, design.T @ (hit - p), rcond=None)[0]
        given = given + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-10:
            break
    return float(given[0]), float(given[1])


def by_class(probabilities: np.ndarray, targets: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """`diagnosis, images, told, happened, slope, intercept`: the mean probability of each class beside its share."""
    rows = []
    for index, name in enumerate(classes):
        hit = targets == index
        slope, intercept = slope_and_intercept(probabilities[:, index], hit)
        rows.append((name, int(hit.sum()), probabilities[:, index].mean(), hit.mean(), slope, intercept))
    return pd.DataFrame(rows, columns=pd.Index(["diagnosis", "images", "told", "happened", "slope", "intercept"]))


def if_perfect(
    probabilities: np.ndarray,
    groups: np.ndarray,
    draws: int,
    seed: int,
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray] = expected_calibration_error,
) -> np.ndarray:
    """The measure's value in so many worlds in which the probabilities are true: float64 [draws].

    One draw decides for all images of a group: where their probabilities agree they get one label, as photographs of
    one lesion have one diagnosis. Where they do not, each keeps its own chances: a label drawn from their mean would
    make the surer one look too sure.
    """
    generator = np.random.default_rng(seed)
    _, member = np.unique(groups, return_inverse=True)
    cumulative = probabilities.cumsum(axis=1)[:, :-1]
    drawn = generator.random((draws, member.max() + 1))
    return np.array([measure(probabilities, (one[member][:, None] >= cumulative).sum(axis=1))[0] for one in drawn])
