"""Figures for people: one function each, a table in, a matplotlib figure out; deterministic, colour-blind-safe."""

from collections.abc import Mapping
from itertools import cycle

import matplotlib as mpl
import numpy as np
import pandas as pd

mpl.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's palette (2008), told apart by colour-blind readers.
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933", "#882255"]


def plain_axes(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    """A figure of one plot, width and height in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def learning_curves(curves: pd.DataFrame, best_step: int, images: Mapping[str, int] | None = None) -> Figure:
    """Training and validation loss, and balanced accuracy, over steps; the kept step is marked. One run: no interval.

    images: how many there are of `train` and `val`, told beside the curves.
    """
    figure = Figure(figsize=(8.4, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    counts = {part: f" ({count:,} images)" for part, count in (images or {}).items()}
    for part, colour in (("train", PALETTE[0]), ("val", PALETTE[1])):
        left.plot(curves["step"], curves[f"{part}_loss"], color=colour, label=f"{part}{counts.get(part, '')}")
    left.set_title("Loss", fontsize=11)
    left.set_ylabel("mean loss of an image")
    right.plot(curves["step"], curves["val_balanced_accuracy"], color=PALETTE[1], label=f"val{counts.get('val', '')}")
    right.set_title("Balanced accuracy", fontsize=11)
    right.set_ylabel("balanced accuracy (1: all right)")
    for axes in (left, right):
        axes.axvline(best_step, color="0.5", linestyle=":", label=f"kept: step {best_step}")
        axes.set_xlabel("step")
        axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def reliability(bins: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """Reliability diagram with 95 % intervals, and the number of images below; bins: name -> table of
    `reliability_bins`."""
    figure = Figure(figsize=(4.8, 5.5), layout="constrained")
    axes, counts = figure.subplots(2, 1, height_ratios=[4, 1], sharex=True)
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1, label="perfect")
    for (name, table), colour in zip(bins.items(), cycle(PALETTE), strict=False):
        error = [table["accuracy"] - table["accuracy_low"], table["accuracy_high"] - table["accuracy"]]
        axes.errorbar(
            table["confidence"],
            table["accuracy"],
            yerr=np.abs(error),
            marker="o",
            markersize=4,
            color=colour,
            label=f"{name} ({table['count'].sum():,} images)",
            elinewidth=1,
        )
        middle = (table["low"] + table["high"]) / 2
        width = table["high"] - table["low"]
        counts.bar(middle, table["count"], width=width * 0.9, color=colour, alpha=0.5)
    axes.set_title(title, fontsize=11)
    axes.set_ylabel("share that is right (bars: 95 %)")
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=3)
    counts.set_ylabel("images")
    counts.set_xlabel("probability of the most probable class")
    counts.set_xlim(0, 1)
    for part in (axes, counts):
        part.spines[["top", "right"]].set_visible(False)
    return figure


def confusion_matrix(
    targets: pd.Series, predicted: pd.Series, classes: list[str], title: str, weights: np.ndarray | None = None
) -> Figure:
    """Counts of images, shaded by share of the true class.

    weights: of a bootstrap, [resamples, n]; with them the share that is right of each class stands beside it, with its
    95 % interval.
    """
    counts = pd.crosstab(targets, predicted).reindex(index=range(len(classes)), columns=range(len(classes)))
    counts = counts.fillna(0).to_numpy().astype(int)
    totals = counts.sum(axis=1)
    share = counts / np.maximum(totals[:, None], 1)
    width = 2.3 + 0.62 * len(classes) + (1.2 if weights is not None else 0)
    figure, axes = plain_axes(width, 1.4 + 0.56 * len(classes), f"{title} ({totals.sum():,} images)")
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        colour = "white" if share[row, column] > 0.55 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), [f"{name} ({total:,})" for name, total in zip(classes, totals, strict=True)])
    axes.set_xlabel("told")
    axes.set_ylabel("true (images)")
    if weights is not None:
        right = axes.secondary_yaxis("right")
        right.set_yticks(range(len(classes)), _recalls(targets.to_numpy(), predicted.to_numpy(), weights, len(classes)))
        right.tick_params(length=0)
        right.set_ylabel("share that is right, 95 %")
    return figure


def _recalls(targets: np.ndarray, predicted: np.ndarray, weights: np.ndarray, classes: int) -> list[str]:
    told = []
    for index in range(classes):
        of = targets == index
        drawn = weights[:, of].sum(axis=1)
        if not drawn.any():
            told.append("-")
            continue
        right = (predicted[of] == index).astype(np.float64)
        low, high = np.percentile((weights[:, of] @ right)[drawn > 0] / drawn[drawn > 0], [2.5, 97.5])
        told.append(f"{right.mean():.2f} [{low:.2f}, {high:.2f}]")
    return told


def curves_by_class(
    curves: Mapping[str, pd.DataFrame],
    x: str,
    y: str,
    title: str,
    diagonal: bool,
    labels: Mapping[str, str] | None = None,
    band: tuple[str, pd.DataFrame] | None = None,
) -> Figure:
    """One curve for each class, one against the rest; curves: class -> table with columns x and y.

    labels: class -> what the legend says of it, such as its number of images and its area with an interval. band: a
    class and a table with columns x, low and high: its 95 % interval, drawn behind its curve; of all classes it would
    hide them.
    """
    figure, axes = plain_axes(5.8, 5.0 if labels is None else 5.0 + 0.17 * -(-len(curves) // 2), title)
    if diagonal:
        axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1)
    for (name, curve), colour in zip(curves.items(), cycle(PALETTE), strict=False):
        if band is not None and band[0] == name:
            axes.fill_between(band[1][x], band[1]["low"], band[1]["high"], color=colour, alpha=0.2, linewidth=0)
        axes.plot(curve[x], curve[y], color=colour, label=(labels or {}).get(name, name), linewidth=1.4)
    axes.set_xlabel(x.replace("_", " "))
    axes.set_ylabel(y + (f" (band: 95 % of {band[0]})" if band is not None else ""))
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.02)
    if labels is None:
        axes.legend(frameon=False, fontsize=8)
    else:
        figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    return figure
