"""The data in figures: one function each, a table of this package in, a matplotlib figure out."""

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from derm.description.distributions import BANDS, FIELDS, MISSING, OTHER
from derm.description.missing import ALL, chance, percent
from derm.figures import PALETTE

NAMES = {
    "age": "Age",
    "sex": "Sex",
    "body_site": "Body site",
    "lesion_id": "Lesion id",
    "source": "Source",
    "size": "Size in pixels",
    "confirmation": "Confirmation",
}
# Black is left to text and axes.
COLOURS = [colour for colour in PALETTE if colour != "#000000"]
GREY, INK = "0.72", "0.2"
UNKNOWN: dict[str, Any] = {"facecolor": "white", "edgecolor": GREY, "hatch": "/////"}
# Values told by a colour of their own, and reasons told one by one.
VALUES, REASONS = 8, 20
# Inches of the overview: for each class in a panel, of a panel's width, of a letter of a class's name.
ROW, PANEL, LETTER = 0.24, 3.9, 0.085


def _short(name: str, width: int = 30) -> str:
    """A name cut to what a label has room for, in its middle, as names differ at their ends (`$` starts a formula)."""
    cut = name if len(name) <= width else f"{name[: width - width // 2 - 1]}…{name[-(width // 2) :]}"
    return cut.replace("$", r"\$")


def _bare(figure: Figure, told: str) -> None:
    """Nothing but a sentence, where there is nothing to draw."""
    axes = figure.subplots()
    axes.set_axis_off()
    axes.text(0, 1, textwrap.fill(told, 100), ha="left", va="top", fontsize=10, color=INK, transform=axes.transAxes)


def _open(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def class_counts(counts: pd.DataFrame) -> Figure:
    """Images and lesions of each class, in the given order; counts: `diagnosis, images, lesions`."""
    figure = Figure(figsize=(7.6, 1.2 + 0.42 * len(counts)), layout="constrained")
    axes = figure.subplots()
    _open(axes, f"{counts['images'].sum():,} images by class")
    places = np.arange(len(counts))
    for offset, column, colour in ((-0.2, "images", PALETTE[0]), (0.2, "lesions", PALETTE[4])):
        bars = axes.barh(places + offset, counts[column], height=0.38, color=colour, label=column)
        axes.bar_label(bars, labels=[f"{count:,}" for count in counts[column]], fontsize=8, padding=3)
    axes.set_yticks(places, [_short(name, 40) for name in counts["diagnosis"]])
    axes.set_ylim(len(counts) - 0.4, -0.6)
    axes.set_xlim(0, counts["images"].max() * 1.1)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.legend(frameon=False, loc="lower right")
    return figure


def overview(table: pd.DataFrame, counts: pd.DataFrame) -> Figure:
    """Every field by class: ages as small histograms, the others as shares; one row a class in each panel.

    table: see `distributions`; counts: see `count_classes`. A field that is missing everywhere, or the same everywhere,
    has no panel: the title says so.
    """
    drawn, missing, same = [], [], []
    for field in FIELDS:
        values = table.loc[table["field"] == field, "value"].unique()
        if list(values) == [MISSING]:
            missing.append(NAMES[field].lower())
        elif len(values) == 1:
            same.append(f"{NAMES[field].lower()} ({_short(values[0])})")
        else:
            drawn.append(field)
    told = [f"missing everywhere: {', '.join(missing)}"] if missing else []
    told += [f"the same everywhere: {', '.join(same)}"] if same else []
    head = f"The data: {counts['images'].sum():,} images"
    if not drawn:
        figure = Figure(figsize=(8.4, 1.2), layout="constrained")
        _bare(figure, f"{head}. There is nothing to compare the classes by: {'; '.join(told)}.")
        return figure
    columns = {1: 1, 2: 2, 4: 2}.get(len(drawn), 3)
    rows = -(-len(drawn) // columns)
    longest = max(len(label) for label in _labels(counts))
    # A lone panel must have room for the title.
    width = max(7.0, LETTER * longest + PANEL * columns)
    figure = Figure(figsize=(width, 0.7 + rows * (1.5 + ROW * len(counts))))
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.08)
    figure.suptitle(textwrap.fill("; ".join([head, *told]), int(10 * width)), fontsize=12, x=0.01, ha="left")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for number, (axes, field) in enumerate(zip(panels, drawn, strict=False)):
        part = table[table["field"] == field]
        shown = part.pivot(index="diagnosis", columns="value", values="images").fillna(0)
        shown = shown.loc[counts["diagnosis"], part["value"].unique()]
        if field == "age":
            _histograms(axes, shown)
        else:
            _shares(figure, axes, _few(shown), NAMES[field])
        _class_axis(axes, counts, named=number % columns == 0)
    for axes in panels[len(drawn) :]:
        axes.set_axis_off()
    return figure


def _labels(counts: pd.DataFrame) -> list[str]:
    return [f"{_short(str(row.diagnosis))} ({row.images:,})" for row in counts.itertuples()]


def _class_axis(axes: Axes, counts: pd.DataFrame, named: bool) -> None:
    """One row a class from the top; names and sizes on the left panels only."""
    axes.set_yticks(range(len(counts)), _labels(counts) if named else [])
    axes.set_ylim(len(counts) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines["left"].set_visible(False)


def _few(shown: pd.DataFrame) -> pd.DataFrame:
    """At most `VALUES` known values of a field, the commonest first, then `other` and `missing`.

    shown: images [classes, values].
    """
    kept = [name for name in shown if name not in (OTHER, MISSING)][:VALUES]
    rest = [name for name in shown if name not in (*kept, MISSING)]
    few = shown[kept].copy()
    if rest:
        few[OTHER] = shown[rest].sum(axis=1)
    if MISSING in shown:
        few[MISSING] = shown[MISSING]
    return few


def _shares(figure: Figure, axes: Axes, shown: pd.DataFrame, title: str) -> None:
    """One bar a class, cut into the shares of each value; shown: images [classes, values]."""
    _open(axes, title)
    shares = shown.div(shown.sum(axis=1), axis=0)
    ends = shares.cumsum(axis=1)
    places = np.arange(len(shares))
    colours = iter(COLOURS)
    bars = []
    for value in shares:
        look: dict[str, Any] = UNKNOWN if value == MISSING else {"color": GREY if value == OTHER else next(colours)}
        bars.append(axes.barh(places, shares[value], left=ends[value] - shares[value], height=0.78, **look))
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    axes.spines["bottom"].set_visible(False)
    labels = [_short(str(value), 27) for value in shares]
    axes.legend(
        bars,
        labels,
        ncols=_columns(labels),
        fontsize=8,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=axes.transAxes + ScaledTranslation(0, -22 / 72, figure.dpi_scale_trans),
        borderaxespad=0,
        borderpad=0,
        handlelength=1,
        handleheight=1,
        columnspacing=1,
    )


def _columns(labels: list[str]) -> int:
    """How many columns of a legend in small print find room below a panel."""
    for columns in (3, 2):
        rows = -(-len(labels) // columns)
        longest = (max(map(len, labels[first : first + rows])) for first in range(0, len(labels), rows))
        if sum(0.32 + 0.066 * letters for letters in longest) < PANEL:
            return columns
    return 1


def _histograms(axes: Axes, shown: pd.DataFrame) -> None:
    """One histogram of ages a class, each as high as its row; shown: images [classes, bands]."""
    _open(axes, "Age in years (each class to its own height)")
    last = [name for name in shown if name not in BANDS]
    bands = [*BANDS, *last]
    heights = shown.reindex(columns=bands, fill_value=0).to_numpy()
    heights = 0.82 * heights / heights.max(axis=1, keepdims=True)
    for row, band in np.argwhere(heights > 0):
        look: dict[str, Any] = {"color": PALETTE[0]} if band < len(BANDS) else UNKNOWN
        axes.bar(band, -heights[row, band], bottom=row + 0.4, width=0.86, **look)
    axes.hlines(np.arange(len(heights)) + 0.4, -0.5, len(bands) - 0.5, color="0.85", linewidth=0.6, zorder=0)
    axes.set_xticks(range(len(bands)), bands, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, len(bands) - 0.4)
    axes.spines["bottom"].set_visible(False)


def missing_table(missing: pd.DataFrame) -> Figure:
    """How many images of each class lack each field, shaded by their share; missing: see `count_missing`."""
    fields, classes = list(missing["field"].unique()), list(missing["diagnosis"].unique())
    wide = missing.pivot(index="diagnosis", columns="field", values=["missing", "images"]).loc[classes]
    lacking, images = (wide[name][fields].to_numpy(dtype=float) for name in ("missing", "images"))
    share = lacking / images
    figure = Figure(figsize=(8.4, 1.3 + 0.3 * len(classes)), layout="constrained")
    axes = figure.subplots()
    # Few per cent matter here: the root makes them visible.
    axes.imshow(share, cmap="Blues", norm=PowerNorm(0.5, 0, 1.5), aspect="auto")
    for row, column in np.ndindex(*share.shape):
        told = f"{lacking[row, column]:,.0f}  ({percent(share[row, column])})" if lacking[row, column] else "0"
        colour = "white" if share[row, column] > 0.5 else INK
        axes.text(column, row, told, ha="center", va="center", fontsize=8, color=colour)
    total = missing[missing["diagnosis"] == ALL].set_index("field")
    axes.set_xticks(
        range(len(fields)), [f"{NAMES[field]}\n{_verdict(total.loc[field])}" for field in fields], fontsize=9
    )
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(classes)), [_short(name) for name in classes], fontsize=9)
    axes.axhline(len(classes) - 1.5, color=INK, linewidth=0.8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title("Images without a value (p: do all classes lack it alike?)", fontsize=11, loc="left")
    return figure


def _verdict(total: pd.Series) -> str:
    if total["missing"] == 0:
        return "always there"
    if total["missing"] == total["images"]:
        return "never there"
    return "not tested" if np.isnan(total["p_holm"]) else chance(total["p_holm"])


def rejected_rows(reasons: pd.DataFrame) -> Figure:
    """How many rows were rejected for which reason; reasons: see `count_reasons`."""
    title = f"{reasons['rows'].sum():,} rejected rows by reason"
    shown = reasons.head(REASONS)
    figure = Figure(figsize=(8.4, (0.9 if len(shown) else 0.5) + 0.5 * len(shown)), layout="constrained")
    if reasons.empty:
        _bare(figure, "Nothing was rejected.")
        return figure
    axes = figure.subplots()
    if len(reasons) > len(shown):
        title += f" (the {len(shown)} commonest of {len(reasons)} reasons)"
    _open(axes, title)
    places = np.arange(len(shown))
    bars = axes.barh(places + 0.2, shown["rows"], height=0.34, color=PALETTE[1])
    axes.bar_label(bars, labels=[f"{count:,}" for count in shown["rows"]], fontsize=8, padding=3)
    for place, reason in zip(places, shown["reason"], strict=True):
        axes.text(0, place - 0.05, _short(reason, 110), fontsize=8, color=INK, ha="left", va="bottom")
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(0, shown["rows"].max() * 1.08)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return figure
