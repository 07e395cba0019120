"""Measure the calibrated classifier on val and on test; the only stage whose numbers come from test."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from derm.decisions.conformal import prediction_sets
from derm.decisions.outcome import calibration_file, outcomes, read_calibration
from derm.embedding.features import read_features
from derm.evaluation.outside import write_outside
from derm.evaluation.sets import set_numbers, write_sets
from derm.evaluation.worth import write_worth
from derm.figures import confusion_matrix, curves_by_class, reliability
from derm.files import read_csv, write_csv, write_figure, write_json
from derm.heads.head import HEAD, head_file, head_names, read_head
from derm.heads.predict import image_logits
from derm.image_table import read_images
from derm.measures.bootstrap import group_weights, intervals
from derm.measures.curves import precision_recall_points, reliability_bins, roc_points
from derm.measures.headline import headline, nested
from derm.measures.per_class import class_table
from derm.out_of_distribution.distance import read_out_of_distribution
from derm.params import Section, load
from derm.task import TaskParams, make_task
from derm.uncertainty import UncertaintyParams, logit_samples, uncertainty
from stages.runner import run

PARTS = ("val", "test")
PLOTS = Path("plots/evaluate")


class EvaluateParams(Section):
    """Section `evaluate`: how the numbers and their intervals are made."""

    resamples: int = Field(ge=100, le=100_000)
    seed: int = Field(ge=0)
    bins: int = Field(ge=2, le=100)


def main() -> None:
    params, uncertain, images = load("evaluate", EvaluateParams), load("uncertainty", UncertaintyParams), read_images()
    task = make_task(images, load("task", TaskParams))
    classes = task.classes
    split, features = read_csv(Path("data/split/split.csv"), target=int), read_features()
    heads = {name: read_head(head_file(name)) for name in head_names()}
    calibrations = {name: read_calibration(calibration_file(name)) for name in heads}
    metrics, tables, beside = {}, [], []
    distribution = read_out_of_distribution()
    for part in PARTS:
        rows = split[split["part"] == part].merge(images, on="image_id", suffixes=("", "_of_image"))
        given = {name: head.inputs(features, rows) for name, head in heads.items()}
        told = {name: outcomes(image_logits(head, given[name]), calibrations[name]) for name, head in heads.items()}
        known = rows[["image_id", "lesion_id", "group", "target"]]
        samples = logit_samples(heads[HEAD], given[HEAD], uncertain)
        doubt = uncertainty(samples, calibrations[HEAD].calibrator, classes)
        predictions = pd.concat([known, told[HEAD]], axis=1)
        far = distribution.told(features.pooled[features.rows(rows["image_id"])])
        write_csv(Path(f"data/predictions/{part}.csv"), pd.concat([predictions, doubt, far], axis=1))
        groups, targets = predictions["group"].to_numpy(), predictions["target"].to_numpy()
        weights = group_weights(groups, targets, params.resamples, params.seed)
        for name, table in told.items():
            measure = partial(headline, pd.concat([known, table], axis=1), classes, task.positive, bins=params.bins)
            numbers = intervals(measure, weights, f"{part}, headline" + (f", {name}" if name != HEAD else ""))
            values = nested(dict(zip(numbers["metric"], numbers["value"], strict=True)))
            if name == HEAD:
                metrics[part] = values
                tables.append(numbers.assign(part=part))
            beside.append(numbers.assign(part=part, head=name))
        write_csv(PLOTS / f"per_class_{part}.csv", class_table(predictions, classes, weights, f"{part}, by class"))
        draw(predictions, classes, task.positive, weights, params, part)
        write_worth(predictions, classes, task.positive, weights, PLOTS, part)
        conformal, logits = calibrations[HEAD].conformal, image_logits(heads[HEAD], given[HEAD])
        by_one = prediction_sets(logits, conformal, marginal=True)
        aged = predictions.assign(age=rows["age"])
        sets = write_sets(aged, by_one, classes, conformal.alpha, params.seed, PLOTS, part)
        metrics[part] |= {"conformal": set_numbers(sets, task.positive)}
        outside = write_outside(far, rows, distribution.threshold, weights, params.seed, PLOTS, part)
        metrics[part] |= nested(dict(zip(outside["metric"], outside["value"], strict=True)))
        tables[-1] = pd.concat([tables[-1], outside.assign(part=part)])
    write_csv(PLOTS / "intervals.csv", pd.concat(tables)[["part", "metric", "value", "low", "high"]].dropna())
    # With metadata: the fusion beside what the image alone and the metadata alone would do.
    write_csv(PLOTS / "heads.csv", pd.concat(beside)[["head", "part", "metric", "value", "low", "high"]].dropna())
    write_json(Path("metrics/evaluate.json"), metrics)
    shown = tables[-1].set_index("metric")
    for name in ("balanced_accuracy", "decision.balanced_accuracy", "macro_auc", "ece"):
        print(f"test {name} {shown.value[name]:.3f} [{shown.low[name]:.3f}, {shown.high[name]:.3f}]")


def draw(
    predictions: pd.DataFrame,
    classes: list[str],
    positive: str | None,
    weights: np.ndarray,
    params: EvaluateParams,
    part: str,
) -> None:
    """Tables for `dvc plots` and pictures for people."""
    targets = predictions["target"].to_numpy()
    probabilities = predictions[[f"p_{name}" for name in classes]].to_numpy()
    named = predictions[["target", "predicted", "decision"]].map(lambda index: classes[index])
    write_csv(PLOTS / f"confusion_{part}.csv", named.rename(columns={"target": "actual"}))
    roc, precision_recall = {}, {}
    for index, name in enumerate(classes):
        if not (targets == index).any():  # too rare to be in every part (split.rare)
            continue
        roc[name] = roc_points(probabilities[:, index], targets == index)
        precision_recall[name] = precision_recall_points(probabilities[:, index], targets == index)
    bins = reliability_bins(probabilities, targets, weights, params.bins)
    write_csv(PLOTS / f"roc_{part}.csv", _stacked(roc))
    write_csv(PLOTS / f"precision_recall_{part}.csv", _stacked(precision_recall))
    write_csv(PLOTS / f"reliability_{part}.csv", bins)
    # `dvc plots` draws one line a file, and its files must always exist: the positive class, or a header alone.
    for name, curves in (("roc", roc), ("precision_recall", precision_recall)):
        shown = curves[positive] if positive in curves else next(iter(curves.values())).head(0)
        write_csv(PLOTS / f"{name}_positive_{part}.csv", shown)
    for column, words in (("predicted", "most probable class"), ("decision", "decision")):
        figure = confusion_matrix(
            predictions["target"], predictions[column], classes, f"{part}: true class and {words}"
        )
        write_figure(PLOTS / f"confusion_{part}_{column}.png", figure)
    write_figure(
        PLOTS / f"roc_{part}.png",
        curves_by_class(roc, "false_positive_rate", "sensitivity", f"{part}: ROC", diagonal=True),
    )
    write_figure(
        PLOTS / f"precision_recall_{part}.png",
        curves_by_class(precision_recall, "sensitivity", "precision", f"{part}: precision and recall", diagonal=False),
    )
    write_figure(PLOTS / f"reliability_{part}.png", reliability({part: bins}, f"{part}: calibrated probabilities"))


def _stacked(curves: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([curve.assign(diagnosis=name) for name, curve in curves.items()])


if __name__ == "__main__":
    run("evaluate", main)
