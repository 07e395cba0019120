"""95 % intervals by resampling groups: the images of one lesion are not independent, so whole groups are drawn."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from tqdm import tqdm

# Resamples computed at once: bounds the memory to a few arrays of [CHUNK, images].
CHUNK = 100


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


def intervals(
    measure: Callable[[np.ndarray | None], dict[str, np.ndarray]], weights: np.ndarray, what: str
) -> pd.DataFrame:
    """Value and 95 % percentile interval of every number that `measure` gives.

    measure: weights [resamples, n] or None -> name -> [resamples]. Returns `metric, value, low, high`; NaN stays NaN.
    It covers which lesions were drawn for testing, not how the model would differ if trained again.
    """
    values = measure(None)
    chunks = [
        measure(weights[start : start + CHUNK])
        for start in tqdm(range(0, len(weights), CHUNK), desc=f"intervals, {what}", unit="chunk")
    ]
    rows = []
    for name, value in values.items():
        drawn = np.concatenate([chunk[name] for chunk in chunks])
        drawn = drawn[~np.isnan(drawn)]
        low, high = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (np.nan, np.nan)
        rows.append({"metric": name, "value": value[0], "low": low, "high": high})
    return pd.DataFrame(rows)
