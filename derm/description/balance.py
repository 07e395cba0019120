"""How alike the parts of a split are, for people."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from derm.figures import PALETTE


def balance_figure(balance: pd.DataFrame) -> Figure:
    """Share of each class in each part, with its images and groups; `balance`: see derm.splits.balance."""
    parts, classes = list(dict.fromkeys(balance["part"])), list(dict.fromkeys(balance["diagnosis"]))
    figure = Figure(figsize=(7.6, 1.4 + 0.2 * len(parts) * len(classes) + 0.12 * len(classes)), layout="constrained")
    axes = figure.subplots()
    height = 0.84 / len(parts)
    for number, part in enumerate(parts):
        rows = balance[balance["part"] == part].set_index("diagnosis").loc[classes]
        places = np.arange(len(classes)) + (number - (len(parts) - 1) / 2) * height
        bars = axes.barh(places, rows["share"], height=height, color=PALETTE[number], label=part.replace("_", " "))
        told = [f"{row.images} in {row.groups} groups" for row in rows.itertuples()]
        axes.bar_label(bars, labels=told, fontsize=7, padding=3)
    axes.set_yticks(range(len(classes)), classes)
    axes.invert_yaxis()
    axes.set_xlim(0, min(1.0, balance["share"].max() * 1.25))
    axes.set_xlabel("share of the part's images")
    axes.set_title("Classes in each part of the split", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return figure
