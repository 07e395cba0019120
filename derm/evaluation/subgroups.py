"""How the classifier does for whom: a table by age, sex, body site, source and confirmation, and a picture."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from derm.evaluation.slices import Slice
from derm.figures import PALETTE
from derm.lesions import lesions_of
from derm.measures import weighted
from derm.measures.proportion import too_few, wilson_interval

# Below so many there is an interval and no point in drawing it.
DRAWN = 5
NAMES = {
    "decision.accuracy": "decisions that are right",
    "flag.sensitivity": "flag's sensitivity",
    "flag.specificity": "flag's specificity",
}


def subgroup_table(
    predictions: pd.DataFrame, slices: Sequence[Slice], classes: list[str], positive: str | None, weights: np.ndarray
) -> pd.DataFrame:
    """`by, name, images, lesions, positives, metric, value, low, high`: a row for each number of each slice.

    predictions: as `derm.measures.headline.headline` takes them, with `lesion_id, group`; weights: of the bootstrap,
    [resamples, n]. positives: lesions of the positive class. Numbers: how often the decision is right; with a
    positive class also the flag's sensitivity and specificity, and the AUC. What cannot be computed has no row.
    The interval is the bootstrap's; of a proportion among too few lesions (`derm.measures.proportion.too_few`) it is
    Wilson's.
    """
    lesions, targets = lesions_of(predictions), predictions["target"].to_numpy()
    right = (predictions["decision"] == predictions["target"]).to_numpy()
    hit = np.zeros(len(targets), dtype=bool)
    proportions = {"decision.accuracy": (right, np.ones(len(targets), dtype=bool))}
    if positive is not None:
        hit = targets == classes.index(positive)
        flagged = predictions["flag"].to_numpy().astype(int) == 1
        proportions |= {"flag.sensitivity": (flagged, hit), "flag.specificity": (~flagged, ~hit)}
    rows = []
    for by, name, here in slices:
        positives = len(np.unique(lesions[here & hit]))
        facts = (by, name, int(here.sum()), len(np.unique(lesions[here])), positives)
        for metric, (good, among) in proportions.items():
            if (of := here & among).any():
                rows.append((*facts, metric, *proportion(good[of], lesions[of], weights[:, of])))
        if positive is not None and (here & hit).any() and (here & ~hit).any():
            scores = predictions[f"p_{positive}"].to_numpy()[here]
            drawn = weighted.area_under_roc(scores, hit[here], weights[:, here])
            low, high = np.nanpercentile(drawn, [2.5, 97.5])
            rows.append((*facts, "auc", weighted.area_under_roc(scores, hit[here])[0], low, high))
    columns = ["by", "name", "images", "lesions", "positives", "metric", "value", "low", "high"]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def proportion(good: np.ndarray, lesions: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    """Share of images that are good, and its 95 % interval; good: bool [n]; lesions: [n]; weights [resamples, n]."""
    value, count = float(good.mean()), len(np.unique(lesions))
    if too_few(value, count):
        return value, *wilson_interval(value, count)
    drawn = weights.sum(axis=1)
    low, high = np.percentile((weights @ good)[drawn > 0] / drawn[drawn > 0], [2.5, 97.5])
    return value, float(low), float(high)


def subgroup_figure(table: pd.DataFrame, part: str) -> Figure:
    """The proportions of each slice with their intervals, side by side; the number of lesions that count beside."""
    shown = [metric for metric in NAMES if (table["metric"] == metric).any()]
    names = table[["by", "name", "images", "lesions"]].drop_duplicates().reset_index(drop=True)
    places = {(by, name): -place for place, (by, name) in enumerate(zip(names["by"], names["name"], strict=True))}
    figure = Figure(figsize=(2.6 + 2.6 * len(shown), 1.3 + 0.27 * max(3, len(names))), layout="constrained")
    figure.suptitle(f"{part}: for whom it works (95 % intervals; size of a dot: lesions)", fontsize=11)
    for axes, metric in zip(figure.subplots(1, max(1, len(shown)), sharey=True, squeeze=False)[0], shown, strict=False):
        rows = table[table["metric"] == metric]
        heights = np.array([places[pair] for pair in zip(rows["by"], rows["name"], strict=True)])
        counted = rows["positives"] if metric == "flag.sensitivity" else rows["lesions"]
        drawn = (counted >= DRAWN).to_numpy()
        rows, heights, counted = rows[drawn], heights[drawn], counted[drawn]
        error = np.abs([rows["value"] - rows["low"], rows["high"] - rows["value"]])
        axes.errorbar(rows["value"], heights, xerr=error, fmt="none", ecolor="0.55", elinewidth=1.4, zorder=1)
        axes.scatter(rows["value"], heights, s=np.clip(counted, 12, 120), color=PALETTE[0], zorder=2)
        axes.set_xlabel(NAMES[metric])
        axes.set_xlim(-0.02, 1.02)
        axes.grid(axis="x", color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
    if shown:
        words = [
            f"{by}: {name} ({count:,})"
            for by, name, count in zip(names["by"], names["name"], names["lesions"], strict=True)
        ]
        figure.axes[0].set_yticks(list(places.values()), words, fontsize=8)
    return figure
