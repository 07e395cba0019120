"""Pictures of what is known of the maps: how far each method's lie on the lesion, beside what knows nothing of it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from derm.explanation.words import called
from derm.figures import PALETTE

SHOWN = {
    "enrichment": "energy in the lesion over its area (1: as anywhere)",
    "pointing": "highest place is in the lesion (share of images)",
}


def localisation_figure(table: pd.DataFrame, methods: Sequence[str]) -> Figure:
    """`SHOWN` of each method and reference with 95 % intervals; table: as `derm.explanation.study.localisation_table`,
    its rows of all images. References are drawn apart."""
    whole = table[table["by"] == "all"]
    known = [method for method in dict.fromkeys(whole["method"]) if method in methods and method != "randomcam"]
    rest = [method for method in dict.fromkeys(whole["method"]) if method not in known]
    order = [*known, *rest]
    figure = Figure(figsize=(9.4, 1.6 + 0.3 * max(2, len(order))), layout="constrained")
    images = int(whole["images"].max()) if len(whole) else 0
    lesions = int(whole["lesions"].max()) if len(whole) else 0
    figure.suptitle(
        f"test: do the maps lie on the lesion? ({images:,} images of {lesions:,} lesions, 95 %)", fontsize=11
    )
    places = {method: -place - (0.5 if place >= len(known) else 0) for place, method in enumerate(order)}
    for axes, metric in zip(figure.subplots(1, 2, sharey=True), SHOWN, strict=True):
        rows = whole[whole["metric"] == metric]
        for chosen, colour, marker in ((known, PALETTE[0], "o"), (rest, PALETTE[1], "s")):
            here = rows[rows["method"].isin(chosen)]
            heights = [places[method] for method in here["method"]]
            error = np.abs([here["value"] - here["low"], here["high"] - here["value"]])
            axes.errorbar(here["value"], heights, xerr=error, fmt=marker, markersize=5, color=colour)
        axes.set_xlabel(SHOWN[metric])
        axes.grid(axis="x", color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
        if metric == "enrichment":
            axes.axvline(1, color="0.5", linestyle="--", linewidth=1)
            axes.set_yticks(list(places.values()), [called(method) for method in order], fontsize=9)
    return figure
