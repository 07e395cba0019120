"""The interval of a share where there are too few lesions for a bootstrap: it cannot draw what was never seen."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm

# Fewer lesions than this, or fewer than EACH of them hit or missed, are too few for a bootstrap's percentiles: measured
# by benchmarks/coverage.py.
FEWEST, EACH = 20, 10


class Proportion(NamedTuple):
    """A share with its 95 % interval, and among how many lesions it was seen."""

    value: float
    low: float
    high: float
    lesions: int


def wilson_interval(share: float, count: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (1927, J. Am. Stat. Assoc. 22:209) of a share seen among `count`.

    Share times count need not be whole; where it is, as scipy's `binomtest(...).proportion_ci(method="wilson")`. NaN
    among none.
    """
    if count <= 0:
        return float("nan"), float("nan")
    z = float(norm.ppf((1 + level) / 2))
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * (share * (1 - share) / count + z**2 / (4 * count**2)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def too_few(share: float, lesions: int) -> bool:
    """Whether a share seen among so many lesions should have Wilson's interval and not a bootstrap's."""
    return lesions < FEWEST or lesions * min(share, 1 - share) < EACH


def proportion_by_lesion(hit: np.ndarray, lesions: np.ndarray) -> Proportion:
    """The share of images that are hit (bool [n]), and Wilson's interval on the lesions [n] that they show.

    The share counts every image, as a recall does; the interval counts a lesion once: photographs of one lesion are
    hardly independent. NaN without an image.
    """
    count = len(np.unique(lesions))
    share = float(hit.mean()) if len(hit) else float("nan")
    return Proportion(share, *wilson_interval(share, count), count)


def with_wilson(
    numbers: pd.DataFrame, shares: Mapping[str, tuple[np.ndarray, np.ndarray]], lesions: np.ndarray
) -> pd.DataFrame:
    """`metric, value, low, high`, the interval Wilson's on lesions for those shares that are seen among too few.

    shares: metric -> which images are hit, and among which it is counted, each bool [n]; lesions: [n]. Metrics that
    are no share stay as they are.
    """
    table = numbers.copy()
    for place, metric in zip(table.index, table["metric"], strict=True):
        if metric not in shares:
            continue
        hit, among = shares[metric]
        told = proportion_by_lesion(hit[among], lesions[among])
        if told.lesions and too_few(told.value, told.lesions):
            table.loc[place, ["low", "high"]] = told.low, told.high
    return table
