"""How often the sets of classes hold the true one, and how large they are."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import binomtest

from derm.decisions.conformal import as_sets
from derm.evaluation.slices import Slice, by_age
from derm.figures import PALETTE, plain_axes
from derm.files import write_csv, write_figure
from derm.lesions import lesions_of, one_of_each
from derm.measures.bootstrap import percentile_interval
from derm.measures.headline import POSITIVE_NAMES

COLUMNS = pd.Index(["metric", "value", "low", "high"])


def write_sets(
    predictions: pd.DataFrame,
    marginal: np.ndarray,
    classes: list[str],
    weights: np.ndarray,
    alpha: float,
    seed: int,
    folder: Path,
    part: str,
) -> pd.DataFrame:
    """`sets_<part>.csv` and `.png`; returns the table of `coverage`.

    predictions: `lesion_id, group, target, set, age`; marginal: bool [n, classes], the sets by one threshold for all;
    weights: of the bootstrap, [resamples, n].
    """
    table = coverage(predictions, marginal, classes, weights, seed)
    write_csv(folder / f"sets_{part}.csv", table)
    write_figure(folder / f"sets_{part}.png", coverage_figure(table, alpha, part))
    return table


def set_numbers(table: pd.DataFrame, positive: str | None) -> pd.DataFrame:
    """`metric, value, low, high`, as `derm.measures.bootstrap.intervals` gives them: `conformal.coverage` and
    `conformal.mean_size` over all lesions, `conformal.melanoma_coverage` over the positive class's."""
    whole = table[table["by"] == "all"].iloc[0]
    positives = table[(table["by"] == "class") & (table["name"] == positive)]
    rows = [("coverage", *whole[["coverage", "low", "high"]]), ("mean_size", *whole[["size", "size_low", "size_high"]])]
    for _, of in positives.iterrows():
        rows.append((f"{POSITIVE_NAMES.get(str(positive), positive)}_coverage", *of[["coverage", "low", "high"]]))
    return pd.DataFrame([(f"conformal.{name}", *map(float, numbers)) for name, *numbers in rows], columns=COLUMNS)


def coverage(
    predictions: pd.DataFrame, marginal: np.ndarray, classes: list[str], weights: np.ndarray, seed: int
) -> pd.DataFrame:
    """`by, name, lesions, coverage, low, high, size, size_low, size_high, marginal_coverage, images, image_coverage`;
    by: all, class or age.

    One image of each lesion, drawn, as the thresholds were made: what is promised is about them. Its interval is
    Wilson's (1927), that of the mean size of a set from the bootstrap (weights: [resamples, n]). Over all images,
    several of one lesion among them, the coverage stands apart, and nothing is promised of it.
    """
    sets, targets = as_sets(predictions["set"], classes), predictions["target"].to_numpy()
    rows = np.arange(len(targets))
    hit, by_one, size = sets[rows, targets], marginal[rows, targets], sets.sum(axis=1)
    drawn = np.zeros(len(targets), dtype=bool)
    drawn[one_of_each(lesions_of(predictions), seed)] = True
    told = []
    for by, name, here in _slices(predictions, classes):
        of = here & drawn
        if not of.any():
            continue
        interval = binomtest(int(hit[of].sum()), int(of.sum())).proportion_ci(method="wilson")
        told.append(
            {
                "by": by,
                "name": name,
                "lesions": int(of.sum()),
                "coverage": hit[of].mean(),
                "low": interval.low,
                "high": interval.high,
                "size": size[of].mean(),
                **dict(zip(("size_low", "size_high"), _interval_of_mean(size[of], weights[:, of]), strict=True)),
                "marginal_coverage": by_one[of].mean(),
                "images": int(here.sum()),
                "image_coverage": hit[here].mean(),
            }
        )
    return pd.DataFrame(told)


def _interval_of_mean(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """95 %, from resamples that hold any of these rows."""
    drawn = weights.sum(axis=1)
    return percentile_interval((weights @ values)[drawn > 0] / drawn[drawn > 0])


def _slices(predictions: pd.DataFrame, classes: list[str]) -> list[Slice]:
    targets = predictions["target"].to_numpy()
    slices = [("all", "all", np.ones(len(targets), dtype=bool))]
    slices += [("class", name, targets == index) for index, name in enumerate(classes)]
    return slices + by_age(predictions["age"])


def coverage_figure(table: pd.DataFrame, alpha: float, part: str) -> Figure:
    """Coverage by class and age with its interval, what was asked for, and the mean size of the sets."""
    figure, axes = plain_axes(6.4, 1.4 + 0.33 * len(table), f"{part}: how often the set holds the true class")
    places = np.arange(len(table))[::-1]
    error = np.abs([table["coverage"] - table["low"], table["high"] - table["coverage"]])
    axes.axvline(1 - alpha, color="0.5", linestyle="--", linewidth=1, label="asked for")
    axes.errorbar(table["coverage"], places, xerr=error, fmt="o", markersize=5, color=PALETTE[0], label="lesions, 95 %")
    axes.plot(table["marginal_coverage"], places, "x", color=PALETTE[1], label="by one threshold for all classes")
    words = [
        f"{name} ({lesions:,} lesions; size {size:.1f})"
        for name, lesions, size in zip(table["name"], table["lesions"], table["size"], strict=True)
    ]
    axes.set_yticks(places, words)
    axes.set_xlabel("coverage")
    axes.set_xlim(min(0.5, float(table[["low", "marginal_coverage"]].min().min()) - 0.03), 1.01)
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=3)
    return figure
