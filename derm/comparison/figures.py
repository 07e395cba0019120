"""A comparison as a forest plot: every metric's difference with its interval, the one that decides on top."""

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from derm.comparison.words import basis, p_value, shown, verdict
from derm.figures import PALETTE
from derm.measures.paired import Comparison
from derm.measures.paired_bootstrap import LEVEL

FAINT, INK, BAND = "0.45", "0.15", "0.93"
# By the side that a difference favours: colour, and a filled triangle that points to it.
LOOKS = {"A": (PALETTE[1], "<"), "B": (PALETTE[0], ">"), "": (FAINT, "o")}
# Numbers beside the plot: what stands in each column, and where, in shares of their width.
COLUMNS = {"A": 0.13, "B": 0.29, "B − A [95 %]": 0.80, "p": 0.98}
# Not a share like the others: it gets an axis of its own.
OTHER_UNIT = "nll"
# Inches: of a row, and of all that is no row.
ROW, AROUND = 0.26, 2.3


def forest(comparison: Comparison) -> Figure:
    """Differences B - A with their 95 % intervals, turned so that the right is in favour of B, beside the numbers.

    What is shown beyond chance is a filled triangle towards the favoured side, the rest a hollow circle: it can be read
    without colour. The negative log-likelihood is no share and has its own axis.
    """
    table = comparison.table
    same = (table["metric"] == OTHER_UNIT) == (comparison.primary["metric"] == OTHER_UNIT)
    parts = [part for part in (table[same], table[~same]) if len(part)]
    heights = [len(part) + 1.6 for part in parts]
    figure = Figure(figsize=(11, AROUND + ROW * sum(heights)), layout="constrained")
    figure.suptitle(_plain(textwrap.fill(verdict(comparison), 118)), fontsize=11, x=0.01, ha="left", color=INK)
    panels = figure.subplots(len(parts), 2, width_ratios=[1.1, 1], height_ratios=heights, squeeze=False)
    for part, (axes, numbers) in zip(parts, panels, strict=True):
        _draw(axes, numbers, part, exploratory=len(table) - 1)
    told = f"{basis(comparison)}. Intervals are not adjusted for their number; exploratory p are Holm's. "
    told += f"Triangle: shown beyond chance (p at most {LEVEL}); circle: not."
    figure.supxlabel(_plain(textwrap.fill(told, 150)), fontsize=8, x=0.01, ha="left", color=FAINT)
    return figure


def _draw(axes: Axes, numbers: Axes, part: pd.DataFrame, exploratory: int) -> None:
    """One panel: the intervals, and the numbers beside them in the same rows."""
    decides = part["role"].iloc[0] == "primary"
    # The primary metric stands apart, with room for the heading of the others.
    places = [place + (1.2 if decides and place > 0 else 0.0) for place in range(len(part))]
    end = places[-1] + 0.6
    axes.axvline(0, color=INK, linewidth=0.9, zorder=1)
    for place, (_, row) in zip(places, part.iterrows(), strict=True):
        _interval(axes, place, row)
        _numbers(numbers, place, row)
    for panel in (axes, numbers):
        panel.set_ylim(end, -0.6 if decides else -0.9)
        panel.tick_params(axis="y", length=0)
        if decides:
            panel.axhspan(-0.5, 0.5, color=BAND, zorder=0)
    labels = axes.set_yticks(places, [_label(row) for _, row in part.iterrows()], fontsize=9)
    if decides:
        labels[0].label1.set_fontweight("bold")
        if len(places) > 1:
            told = f"exploratory, {exploratory} in all"
            axes.text(0, 1.3, told, transform=axes.get_yaxis_transform(), fontsize=8, color=FAINT, style="italic")
    axes.set_xlim(*_range(part))
    axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
    unit = "nats" if OTHER_UNIT in part["metric"].tolist() else "shares"
    axes.set_xlabel(f"B − A in {unit}, turned round where lower is better", fontsize=8, color=FAINT)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.text(0.0, 1.0, "◂ favours A", transform=axes.transAxes, fontsize=8, color=LOOKS["A"][0], va="bottom")
    axes.text(
        1.0, 1.0, "favours B ▸", transform=axes.transAxes, fontsize=8, color=LOOKS["B"][0], va="bottom", ha="right"
    )
    numbers.set_axis_off()
    numbers.set_xlim(0, 1)
    for heading, place in COLUMNS.items():
        numbers.text(place, 1.0, heading, transform=numbers.transAxes, fontsize=8, color=FAINT, va="bottom", ha="right")


def _range(part: pd.DataFrame) -> tuple[float, float]:
    """All intervals, and of each direction so much that zero is not at the edge."""
    sign = part["better"].map({"higher": 1, "lower": -1})
    ends = part[["low", "high", "difference"]].mul(sign, axis=0).to_numpy()
    low, high = min(ends.min(), 0.0), max(ends.max(), 0.0)
    width = max(high - low, 1e-3)
    return min(low, -0.2 * width) - 0.04 * width, max(high, 0.2 * width) + 0.04 * width


def _interval(axes: Axes, place: float, row: pd.Series) -> None:
    """Turned round where lower is better."""
    sign = 1 if row["better"] == "higher" else -1
    side = shown(row)
    colour, marker = LOOKS[side]
    primary = row["role"] == "primary"
    ends = sorted((sign * row["low"], sign * row["high"]))
    axes.hlines(place, *ends, color=colour, linewidth=3.2 if primary else 1.8, zorder=2)
    axes.plot(
        sign * row["difference"],
        place,
        marker=marker,
        markersize=10 if primary else 7,
        color=colour,
        markerfacecolor=colour if side else "white",
        markeredgewidth=1.4,
        zorder=3,
    )


def _numbers(axes: Axes, place: float, row: pd.Series) -> None:
    interval = f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]".replace("-", "−")
    p = p_value(row["p_adjusted"]).removeprefix("= ")
    cells = (f"{row['a']:.4f}", f"{row['b']:.4f}", interval, p)
    weight = "bold" if row["role"] == "primary" else "normal"
    for left, text in zip(COLUMNS.values(), cells, strict=True):
        axes.text(left, place, text, fontsize=8, color=INK, va="center", ha="right", weight=weight)


def _label(row: pd.Series) -> str:
    """A metric's name, cut in its middle if the class in it has a long one."""
    name = row["metric"] if len(row["metric"]) <= 44 else f"{row['metric'][:18]}…{row['metric'][-25:]}"
    return _plain(f"{name} (lower is better)" if row["better"] == "lower" else name)


def _plain(text: str) -> str:
    """A dollar sign would start a formula."""
    return text.replace("$", r"\$")
