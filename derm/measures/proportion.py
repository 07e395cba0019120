"""The interval of a share where there are too few lesions for a bootstrap: it cannot draw what was never seen."""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm


class Proportion(NamedTuple):
    """A share with the 95 % interval of Wilson (1927), and how many lesions it counts as."""

    value: float
    low: float
    high: float
    lesions: float


def wilson_interval(share: float, count: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (1927, J. Am. Stat. Assoc. 22:209) of a share seen among `count`, both may be fractional.

    As scipy's `binomtest(...).proportion_ci(method="wilson")` where share times count is whole. NaN for none.
    """
    if count <= 0:
        return float("nan"), float("nan")
    z = norm.ppf((1 + level) / 2)
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def effective_lesions(lesions: np.ndarray) -> float:
    """As how many lesions of one image each these images [n] count if a lesion's are all alike (Kish 1965): sum(m)^2
    over sum(m^2) for m images of each."""
    images = np.unique(lesions, return_counts=True)[1]
    return float(images.sum() ** 2 / (images**2).sum()) if len(images) else 0.0


def proportion_by_lesion(hit: np.ndarray, lesions: np.ndarray) -> Proportion:
    """The share of images that are hit (bool [n]), and Wilson's interval on the lesions [n] that they show.

    The share counts every image, as a recall does; the interval counts effective lesions: photographs of one lesion
    are no independent evidence. NaN without an image.
    """
    count = effective_lesions(lesions)
    share = float(hit.mean()) if len(hit) else float("nan")
    return Proportion(share, *wilson_interval(share, count), count)
