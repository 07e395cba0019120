"""Confusion matrices, ROC, precision and recall, reliability: tables for `dvc plots` and pictures for people."""

from pathlib import Path

import numpy as np
import pandas as pd

from derm.figures import confusion_matrix, curves_by_class, reliability
from derm.files import write_csv, write_figure
from derm.measures import weighted
from derm.measures.curves import (
    precision_recall_band,
    precision_recall_points,
    reliability_bins,
    roc_band,
    roc_points,
)


def write_pictures(
    predictions: pd.DataFrame,
    classes: list[str],
    positive: str | None,
    weights: np.ndarray,
    bins: int,
    folder: Path,
    part: str,
) -> None:
    """CSV and PNG of each, named `<what>_<part>`.

    predictions: as `derm.measures.headline.headline` takes them; weights: of the bootstrap, [resamples, n]; bins: of
    the reliability diagram.
    """
    targets = predictions["target"].to_numpy()
    probabilities = predictions[[f"p_{name}" for name in classes]].to_numpy()
    named = predictions[["target", "predicted", "decision"]].map(lambda index: classes[index])
    write_csv(folder / f"confusion_{part}.csv", named.rename(columns={"target": "actual"}))
    roc, precision_recall = {}, {}
    for index, name in enumerate(classes):
        if not (targets == index).any():  # too rare to be in every part (split.rare)
            continue
        roc[name] = roc_points(probabilities[:, index], targets == index)
        precision_recall[name] = precision_recall_points(probabilities[:, index], targets == index)
    told = reliability_bins(probabilities, targets, weights, bins)
    write_csv(folder / f"roc_{part}.csv", _stacked(roc))
    write_csv(folder / f"precision_recall_{part}.csv", _stacked(precision_recall))
    write_csv(folder / f"reliability_{part}.csv", told)
    # `dvc plots` draws one line a file, and its files must always exist: the positive class, or a header alone.
    for name, curves in (("roc", roc), ("precision_recall", precision_recall)):
        shown = curves[positive] if positive in curves else next(iter(curves.values())).head(0)
        write_csv(folder / f"{name}_positive_{part}.csv", shown)
    for column, words in (("predicted", "most probable class"), ("decision", "decision")):
        title = f"{part}: true class and {words}"
        figure = confusion_matrix(predictions["target"], predictions[column], classes, title, weights)
        write_figure(folder / f"confusion_{part}_{column}.png", figure)
    hits = {name: targets == classes.index(name) for name in roc}
    scores = {name: probabilities[:, classes.index(name)] for name in roc}
    for what, curves, x, y, area, band_of, title in (
        ("roc", roc, "false_positive_rate", "sensitivity", weighted.area_under_roc, roc_band, "ROC, area under it"),
        (
            "precision_recall",
            precision_recall,
            "sensitivity",
            "precision",
            weighted.average_precision,
            precision_recall_band,
            "precision and recall, average precision",
        ),
    ):
        labels = {}
        for name in curves:
            low, high = np.nanpercentile(area(scores[name], hits[name], weights), [2.5, 97.5])
            value = area(scores[name], hits[name])[0]
            labels[name] = f"{name} ({hits[name].sum():,}): {value:.2f} [{low:.2f}, {high:.2f}]"
        band = None
        if positive is not None and positive in curves:
            band = positive, band_of(scores[positive], hits[positive], weights)
        figure = curves_by_class(
            curves, x, y, f"{part}: {title} ({len(targets):,} images)", what == "roc", labels, band
        )
        write_figure(folder / f"{what}_{part}.png", figure)
    write_figure(folder / f"reliability_{part}.png", reliability({part: told}, f"{part}: calibrated probabilities"))


def _stacked(curves: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([curve.assign(diagnosis=name) for name, curve in curves.items()])
