"""Groups and seeds resampled together: what a difference of two means over seeds owes to chance.

How each part of it is drawn:

- Which lesions there were. Groups are drawn as in `derm.measures.bootstrap`, the same ones for both sides (paired).
- Which seeds there were. In the same resample each side's S seeds are drawn with replacement, and the deviation of
  their mean is scaled by sqrt(S / chi2), chi2 with S - 1 degrees of freedom: a plain bootstrap of S values has only
  (S - 1) / S of their variance and a normal's tails (Hesterberg 2014, arXiv 1411.5279, narrowness bias); with this it
  has those of Student's t, and the difference those of Behrens and Fisher's distribution, which is a little wide.
- What a seed does on just these images is in both. Drawing rows and columns counts it three times (Owen 2007, "The
  pigeonhole bootstrap", doi 10.1214/07-AOAS122); for the balanced accuracy of MLPs' decisions on HAM10000 it is four
  fifths of the variance between seeds. It stays in the first part, and the second is shrunk to what is left of that
  variance (not below zero), as in an analysis of variance with two random factors.

It covers other lesions and other seeds, not another training set.
"""

from collections.abc import Callable, Sequence

import numpy as np
from tqdm import tqdm

from derm.measures.bootstrap import CHUNK, group_weights

LEVEL = 0.05

Measure = Callable[..., dict[str, np.ndarray]]


def resampled(
    measures: Sequence[Measure], groups: np.ndarray, targets: np.ndarray, resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """Every metric of every table in each resample of the groups: name -> [tables, resamples].

    measures: one for each table, `weights` [k, n] -> name -> [k]. All tables get the same weights; `CHUNK` resamples
    are computed at once, so that memory does not grow with their number.
    """
    starts = range(0, resamples, CHUNK)
    seeds = np.random.SeedSequence(seed).generate_state(len(starts))
    chunks = []
    with tqdm(total=len(starts) * len(measures), desc="paired bootstrap", unit="chunk") as bar:
        for start, of_chunk in zip(starts, seeds, strict=True):
            weights = group_weights(groups, targets, min(CHUNK, resamples - start), int(of_chunk))
            numbers = []
            for measure in measures:
                numbers.append(measure(weights=weights))
                bar.update()
            chunks.append(stacked(numbers))
    return {name: np.concatenate([chunk[name] for chunk in chunks], axis=1) for name in chunks[0]}


def seed_weights(seeds: int, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """What the deviation of each seed weighs in the mean of those drawn, [resamples, seeds]; nothing for one seed.

    Scaled (see above) so that on normal values the mean's deviation is about that of Student's t with S - 1 degrees of
    freedom, times the standard error.
    """
    if seeds == 1:
        return np.zeros((resamples, 1))
    shares = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
    return (shares - 1 / seeds) * np.sqrt(seeds / generator.chisquare(seeds - 1, size=(resamples, 1)))


def seeds_mean(values: np.ndarray, drawn: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A metric's mean over seeds, had other lesions been there and other seeds been taken: [resamples].

    values: [seeds], on the images as they are; drawn: [seeds, resamples] of groups; weights: of `seed_weights`.
    NaN where a seed's number cannot be computed.
    """
    mean = drawn.mean(axis=0)
    known = np.isfinite(mean)
    if len(values) == 1 or not known.any():
        return mean
    between = values.var(ddof=1)
    of_images = (drawn - mean)[:, known].var(axis=1).sum() / (len(values) - 1)
    own = max(0.0, 1 - of_images / between) if between > 0 else 0.0
    return mean + weights @ (values - values.mean()) * np.sqrt(own)


def interval_and_p(drawn: np.ndarray) -> tuple[float, float, float]:
    """95 % percentile interval of a resampled difference, and the two-sided p-value that agrees with it: at most 0.05
    exactly where zero is left out (both count order statistics of R + 1: Davison and Hinkley 1997, chapters 4 and 5).

    NaN are passed over; fewer than 39 numbers are too few, and give NaN.
    """
    drawn = np.sort(drawn[np.isfinite(drawn)])
    # Sums of equal numbers in another order differ in their last digits, which is no difference.
    drawn[np.abs(drawn) < 1e-12] = 0.0
    rank = int((len(drawn) + 1) * LEVEL / 2 + 1e-9)
    if rank < 1:
        return np.nan, np.nan, np.nan
    beyond = 1 + min((drawn <= 0).sum(), (drawn >= 0).sum())
    return float(drawn[rank - 1]), float(drawn[-rank]), min(1.0, float(2 * beyond / (len(drawn) + 1)))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm (1979): the smallest times m, the next times m - 1, and so on; never falling, at most 1."""
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty(len(values))
    adjusted[order] = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    return np.minimum(adjusted, 1.0)


def stacked(numbers: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """name -> [tables, resamples], of name -> [resamples] for each table."""
    return {name: np.stack([of_table[name] for of_table in numbers]) for name in numbers[0]}
