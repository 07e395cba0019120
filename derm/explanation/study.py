"""What is known of the maps of one model: which images they are tested on, and the tables that come of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from derm.errors import UserError
from derm.explanation.localisation import mean_and_draws, summary
from derm.explanation.measure import read_mask
from derm.explanation.words import key
from derm.lesions import lesions_of
from derm.measures.bootstrap import group_weights, percentile_interval

# Of what was seen: a small lesion is one that a blob in the middle would already miss.
SIZES = {"small (under 10 %)": (0.0, 0.1), "medium (10 to 30 %)": (0.1, 0.3), "large (over 30 %)": (0.3, 1.0)}


@dataclass(frozen=True)
class Drawn:
    """Images that maps are measured on, in the order of their ids, and how many were passed over for want of a mask, or
    because it is empty or covers the whole frame."""

    rows: pd.DataFrame
    without_mask: int
    useless_mask: int


def draw(rows: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """So many images (all, if there are not more), drawn, in the order in which they stand."""
    drawn = np.random.default_rng(seed).permutation(len(rows))[:count]
    return rows.iloc[np.sort(drawn)]


def draw_with_masks(rows: pd.DataFrame, count: int, seed: int) -> Drawn:
    """So many images with a mask that tells something (all of them, if there are not more).

    rows: of the image table, with `mask, mask_sha256`. A mask is read when its image is drawn, and no sooner.
    """
    kept, without, useless = [], 0, 0
    for place in np.random.default_rng(seed).permutation(len(rows)):
        if len(kept) == count:
            break
        if not rows.iloc[place]["mask"]:
            without += 1
        elif read_mask(rows.iloc[place]) is None:
            useless += 1
        else:
            kept.append(place)
    return Drawn(rows.iloc[sorted(kept)], without, useless)


def targets_of(rows: pd.DataFrame, target: str, classes: Sequence[str], positive: str | None) -> list[int]:
    """The class that each image's map is of: `predicted`, `true` or `positive`. UserError if that is asked for and the
    task has none."""
    if target == "positive":
        if positive is None:
            raise UserError("explain.target is positive, and the task has no such class: set it to predicted or true")
        return [classes.index(positive)] * len(rows)
    return rows["target" if target == "true" else "predicted"].astype(int).tolist()


def weights_of(rows: pd.DataFrame, resamples: int, seed: int) -> np.ndarray:
    """Of a bootstrap over groups, float [resamples, n]; rows: `group`. Not within classes: these are means over
    images of all of them, and a class with one group would add nothing to the interval."""
    return group_weights(rows["group"].to_numpy(), np.zeros(len(rows), dtype=int), resamples, seed)


def localisation_table(
    values: Mapping[str, pd.DataFrame], rows: pd.DataFrame, classes: Sequence[str], weights: np.ndarray
) -> pd.DataFrame:
    """`by, name, method, metric, images, lesions, value, low, high`; by: all, class or size of the lesion.

    values: method or reference -> `area` and `derm.explanation.localisation.MEASURES`, a row for each image of rows.
    """
    lesions, targets = lesions_of(rows), rows["target"].to_numpy()
    area = next(iter(values.values()))["area"].to_numpy() if values else np.zeros(0)
    slices = [("all", "all", np.ones(len(rows), dtype=bool))]
    slices += [("class", name, targets == index) for index, name in enumerate(classes)]
    slices += [("size", name, (area >= low) & (area < high)) for name, (low, high) in SIZES.items()]
    tables = []
    for by, name, here in slices:
        if not here.any():
            continue
        for method, table in values.items():
            told = summary(table[here], weights[:, here])
            known = here & table["energy"].notna().to_numpy()
            tables.append(told.assign(by=by, name=name, method=method, lesions=len(np.unique(lesions[known]))))
    columns = ["by", "name", "method", "metric", "images", "lesions", "value", "low", "high"]
    return pd.concat(tables)[columns] if tables else pd.DataFrame(columns=pd.Index(columns))


def sanity_table(sanity: pd.DataFrame, weights: np.ndarray) -> pd.DataFrame:
    """`method, shuffled, share, images, similarity, low, high`: mean rank correlation with the shuffled network's map.

    sanity: as `derm.explanation.measure.Measured` has it; an image without a map in one of the two has none.
    """
    rows = []
    for (method, shuffled, share), told in sanity.groupby(["method", "shuffled", "share"], sort=False):
        known = told[told["similarity"].notna()]
        if len(known):
            value, drawn = mean_and_draws(known["similarity"].to_numpy(float), weights[:, known["row"].to_numpy(int)])
            rows.append((method, shuffled, share, len(known), value, *percentile_interval(drawn)))
    columns = ["method", "shuffled", "share", "images", "similarity", "low", "high"]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def score_table(scores: Mapping[str, Mapping[str, np.ndarray]], weights: np.ndarray) -> pd.DataFrame:
    """`score, method, images, value, low, high`: the mean of each score (name -> method -> float [n])."""
    rows = []
    for score, of in scores.items():
        for method, values in of.items():
            known = ~np.isnan(values)
            if known.any():
                value, drawn = mean_and_draws(values[known], weights[:, known])
                rows.append((score, method, int(known.sum()), value, *percentile_interval(drawn)))
    return pd.DataFrame(rows, columns=pd.Index(["score", "method", "images", "value", "low", "high"]))


def numbers(table: pd.DataFrame, methods: Sequence[str]) -> dict[str, dict[str, float]]:
    """Method -> measure -> its mean over all images, for the metrics."""
    whole = table[(table["by"] == "all") & table["method"].isin(methods)]
    return {
        key(str(method)): {row["metric"]: row["value"] for row in rows.to_dict("records")}
        for method, rows in whole.groupby("method", sort=False)
    }
