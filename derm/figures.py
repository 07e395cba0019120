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


def learning_curves(curves: pd.DataFrame, best_step: int) -> Figure:
    """Training and validation loss, and balanced accuracy, over steps; the kept step is marked."""
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for column, colour in (("train_loss", PALETTE[0]), ("val_loss", PALETTE[1])):
        left.plot(curves["step"], curves[column], color=colour, label=column.replace("_", " "))
    left.set_title("Loss", fontsize=11)
    right.plot(curves["step"], curves["val_balanced_accuracy"], color=PALETTE[1], label="val balanced accuracy")
    right.set_title("Balanced accuracy", fontsize=11)
    for axes in (left, right):
        axes.axvline(best_step, color="0.5", linestyle=":", label=f"kept: step {best_step}")
        axes.set_xlabel("step")
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def reliability(bins: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """Reliability diagram with 95 % intervals, and the number of images below; bins: name -> table of
    `reliability_bins`."""
    figure = Figure(figsize=(4.8, 5.2), layout="constrained")
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
            label=name,
            elinewidth=1,
        )
        middle = (table["low"] + table["high"]) / 2
        width = table["high"] - table["low"]
        counts.bar(middle, table["count"], width=width * 0.9, color=colour, alpha=0.5)
    axes.set_title(title, fontsize=11)
    axes.set_ylabel("share that is right")
    axes.legend(frameon=False)
    counts.set_ylabel("images")
    counts.set_xlabel("probability of the most probable class")
    counts.set_xlim(0, 1)
    for part in (axes, counts):
        part.spines[["top", "right"]].set_visible(False)
    return figure


def confusion_matrix(targets: pd.Series, predicted: pd.Series, classes: list[str], title: str) -> Figure:
    """Counts, shaded by share of the true class."""
    counts = pd.crosstab(targets, predicted).reindex(index=range(len(classes)), columns=range(len(classes)))
    counts = counts.fillna(0).to_numpy().astype(int)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = plain_axes(1.6 + 0.62 * len(classes), 1.2 + 0.56 * len(classes), title)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        colour = "white" if share[row, column] > 0.55 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("told")
    axes.set_ylabel("true")
    return figure


def curves_by_class(curves: Mapping[str, pd.DataFrame], x: str, y: str, title: str, diagonal: bool) -> Figure:
    """One curve for each class, one against the rest; curves: class -> table with columns x and y."""
    figure, axes = plain_axes(5.4, 4.6, title)
    if diagonal:
        axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1)
    for (name, curve), colour in zip(curves.items(), cycle(PALETTE), strict=False):
        axes.plot(curve[x], curve[y], color=colour, label=name, linewidth=1.4)
    axes.set_xlabel(x.replace("_", " "))
    axes.set_ylabel(y)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.02)
    axes.legend(frameon=False, fontsize=8)
    return figure
