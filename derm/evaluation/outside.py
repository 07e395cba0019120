"""How many images of a part lie outside what was trained on, and how far all of them do."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import binomtest

from derm.figures import PALETTE, plain_axes
from derm.files import write_figure
from derm.lesions import lesions_of, one_of_each
from derm.measures.bootstrap import intervals
from derm.out_of_distribution.distance import Threshold

# Of the histogram, at most one more.
BARS = 40


def outside_numbers(outside: np.ndarray, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """`ood.outside`: the share of the images (1 outside, 0 inside) that is, float64 [resamples]."""
    drawn = np.ones((1, len(outside))) if weights is None else weights
    return {"ood.outside": drawn @ outside / drawn.sum(axis=1)}


def write_outside(
    told: pd.DataFrame,
    rows: pd.DataFrame,
    threshold: Threshold,
    weights: np.ndarray,
    seed: int,
    folder: Path,
    part: str,
) -> pd.DataFrame:
    """`ood_<part>.png`; returns `metric, value, low, high` of `outside_numbers`.

    told: as `OutOfDistribution.told`; rows: `lesion_id, group`; weights: of the bootstrap, [resamples, n].
    """
    drawn = told.iloc[one_of_each(lesions_of(rows), seed)]
    write_figure(folder / f"ood_{part}.png", outside_figure(drawn, threshold, part))
    return intervals(partial(outside_numbers, told["ood"].to_numpy()), weights, f"{part}, out of distribution")


def outside_figure(told: pd.DataFrame, threshold: Threshold, part: str) -> Figure:
    """Histogram of the distances of one image of each lesion, and the threshold; the interval is Wilson's (1927)."""
    scores, outside = told["ood_score"], told["ood"] == 1
    count, every = int(outside.sum()), len(told)
    interval = binomtest(count, every).proportion_ci(method="wilson")
    figure, axes = plain_axes(6.4, 3.6, f"{part}: distance from the training images, {every:,} lesions")
    width = float(np.ptp(scores)) / BARS or 1.0
    first, last = np.floor((scores.min() - threshold.score) / width), np.ceil((scores.max() - threshold.score) / width)
    # One of them is the threshold.
    edges = threshold.score + width * np.arange(first, max(last, first + 1) + 1)
    told_outside = f"outside: {count / every:.1%} [{interval.low:.1%}, {interval.high:.1%}]"
    axes.hist(
        [scores[~outside], scores[outside]],
        bins=[float(edge) for edge in edges],
        stacked=True,
        color=PALETTE[:2],
        label=[f"inside: {every - count:,} lesions", told_outside],
    )
    words = f"threshold: {threshold.share:.0%} of {threshold.lesions:,} calibration lesions"
    axes.axvline(threshold.score, color="0.3", linestyle="--", linewidth=1, label=words)
    axes.set_xlabel("Mahalanobis distance (standard deviations)")
    axes.set_ylabel("lesions")
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=3)
    return figure
