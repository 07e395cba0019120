"""95 % intervals by resampling groups: the images of one lesion are not independent, so whole groups are drawn."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from tqdm import tqdm

# Resamples computed at once: bounds the memory to a few arrays of [CHUNK, images].
CHUNK = 100
# Name -> its value, and its value in every resample, float [resamples].
Drawn = dict[str, tuple[float, np.ndarray]]


def group_weights(groups: np.ndarray, strata: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """How often each row is drawn, float64 [resamples, n].

    Groups are drawn with replacement, as many as there are, within each stratum (a group's stratum is that of its
    first row): no class can vanish from a resample, and the class shares stay those of the data.
    """
    generator = np.random.default_rng(seed)
    _, first, member = np.unique(groups, return_index=True, return_inverse=True)
    group_strata = strata[first]
    counts = np.zeros((resamples, len(first)))
    for stratum in np.unique(group_strata):
        columns = np.flatnonzero(group_strata == stratum)
        counts[:, columns] = generator.multinomial(
            len(columns), np.full(len(columns), 1 / len(columns)), size=resamples
        )
    return counts[:, member]


def draws(measure: Callable[[np.ndarray | None], dict[str, np.ndarray]], weights: np.ndarray, what: str) -> Drawn:
    """Value and resamples of every number that `measure` gives; weights [resamples, n] or None -> name -> [resamples].

    It covers which lesions were drawn for testing, not how the model would differ if trained again.
    """
    values = measure(None)
    chunks = [
        measure(weights[start : start + CHUNK])
        for start in tqdm(range(0, len(weights), CHUNK), desc=f"intervals, {what}", unit="chunk")
    ]
    return {
        name: (float(value[0]), np.concatenate([chunk[name] for chunk in chunks])) for name, value in values.items()
    }


def percentile_interval(drawn: np.ndarray) -> tuple[float, float]:
    """95 % of the resamples that are not NaN; NaN if all are."""
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return np.nan, np.nan
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def intervals(
    measure: Callable[[np.ndarray | None], dict[str, np.ndarray]], weights: np.ndarray, what: str
) -> pd.DataFrame:
    """`metric, value, low, high`: value and 95 % percentile interval of every number of `draws`; NaN stays NaN."""
    return as_intervals(draws(measure, weights, what))


def as_intervals(drawn: Drawn) -> pd.DataFrame:
    """`metric, value, low, high` of what `draws` gave."""
    rows = [(name, value, *percentile_interval(resamples)) for name, (value, resamples) in drawn.items()]
    return pd.DataFrame(rows, columns=pd.Index(["metric", "value", "low", "high"]))
