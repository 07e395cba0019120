"""Measure the calibrated classifier on val, test and external sets; of test only `explain` tells more, of its maps."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from derm.decisions.conformal import prediction_sets
from derm.decisions.outcome import calibration_file, read_calibration
from derm.decisions.quality import read_quality
from derm.embedding.features import read_features
from derm.evaluation.external import COLUMNS, measure_external
from derm.evaluation.honesty import calibration_table
from derm.evaluation.outside import write_outside
from derm.evaluation.pictures import write_pictures
from derm.evaluation.sets import set_numbers, write_sets
from derm.evaluation.slices import subgroup_slices
from derm.evaluation.subgroups import subgroup_figure, subgroup_table
from derm.evaluation.told import Judged, Told, by_lesion, tell
from derm.evaluation.worst import worst
from derm.evaluation.worth import write_worth
from derm.external import read_sets
from derm.files import read_csv, write_csv, write_figure, write_json
from derm.heads.head import HEAD, head_file, head_names, read_head
from derm.image_table import read_appearance, read_images
from derm.lesions import lesions_of
from derm.measures.bootstrap import Drawn, as_intervals, draws, group_weights
from derm.measures.headline import headline, nested, shares
from derm.measures.per_class import class_table
from derm.measures.proportion import with_wilson
from derm.out_of_distribution.distance import read_out_of_distribution
from derm.params import Section, load
from derm.task import Task, TaskParams, make_task
from derm.uncertainty import UncertaintyParams
from stages.runner import run

PARTS = ("val", "test")
PLOTS = Path("plots/evaluate")
# Of labels from the probabilities themselves, for what perfect ones would give.
DRAWS = 200


class EvaluateParams(Section):
    """Section `evaluate`: how the numbers and their intervals are made."""

    resamples: int = Field(ge=100, le=100_000)
    seed: int = Field(ge=0)
    bins: int = Field(ge=2, le=100)


def main() -> None:
    params, images = load("evaluate", EvaluateParams), read_images().merge(read_appearance(), on="image_id")
    task = make_task(images, load("task", TaskParams))
    split, features = read_csv(Path("data/split/split.csv"), target=int), read_features()
    names = head_names()
    judged = Judged(
        {name: read_head(head_file(name)) for name in names},
        {name: read_calibration(calibration_file(name)) for name in names},
        load("uncertainty", UncertaintyParams),
        read_out_of_distribution(),
        read_quality(),
    )
    tables, beside, home = [], [], {}
    for part in PARTS:
        rows = split[split["part"] == part].merge(images, on="image_id", suffixes=("", "_of_image"))
        told = tell(judged, features, rows)
        write_csv(Path(f"data/predictions/{part}.csv"), told.predictions)
        numbers, others, home = measure(told, rows, judged, task, params, part)
        tables.append(numbers.assign(part=part))
        beside.append(others.assign(part=part))
    order = ["part", "metric", "value", "low", "high"]
    table = pd.concat(tables)[order].dropna()
    metrics = {str(part): as_tree(rows) for part, rows in table.groupby("part")}
    write_csv(PLOTS / "intervals.csv", table)
    write_csv(PLOTS / "heads.csv", pd.concat(beside)[["head", *order]].dropna())
    external = [
        measure_external(name, judged, task, home, params.resamples, params.seed, params.bins) for name in read_sets()
    ]
    abroad = pd.concat([pd.DataFrame(columns=pd.Index(COLUMNS)), *external])
    write_csv(PLOTS / "external.csv", abroad)
    if len(abroad):
        metrics["external"] = {str(name): as_tree(rows) for name, rows in abroad.groupby("set")}
    write_json(Path("metrics/evaluate.json"), metrics)
    shown = table[table["part"] == "test"].set_index("metric")
    for name in ("balanced_accuracy", "decision.balanced_accuracy", "macro_auc", "ece"):
        print(f"test {name} {shown.value[name]:.3f} [{shown.low[name]:.3f}, {shown.high[name]:.3f}]")


def measure(
    told: Told, rows: pd.DataFrame, judged: Judged, task: Task, params: EvaluateParams, part: str
) -> tuple[pd.DataFrame, pd.DataFrame, Drawn]:
    """Write a part's tables and pictures; rows: as the image table has them.

    Returns `metric, value, low, high` of the headline numbers, the same with `head` of all heads and by lesion, and the
    headline numbers in every resample.
    """
    predictions, classes, positive = told.predictions, task.classes, task.positive
    targets = predictions["target"].to_numpy()
    weights = weights_of(predictions, params)

    def drawn_of(table: pd.DataFrame, weights: np.ndarray, name: str) -> Drawn:
        words = f"{part}, {name.replace('_', ' ')}"
        return draws(partial(headline, table, classes, positive, bins=params.bins), weights, words)

    def numbers_of(table: pd.DataFrame, drawn: Drawn) -> pd.DataFrame:
        return with_wilson(as_intervals(drawn), shares(table, classes, positive), lesions_of(table))

    drawn = drawn_of(predictions, weights, "headline")
    calibration = judged.calibrations[HEAD]
    by_one = prediction_sets(told.logits, calibration.conformal, marginal=True)
    aged = predictions.assign(age=rows["age"])
    sets = write_sets(aged, by_one, classes, weights, calibration.conformal.alpha, params.seed, PLOTS, part)
    threshold = judged.distribution.threshold
    outside = write_outside(predictions, rows, threshold, weights, params.seed, PLOTS, part)
    numbers = pd.concat([numbers_of(predictions, drawn), set_numbers(sets, positive), outside])
    others = [numbers_of(predictions, drawn).assign(head=HEAD)]
    for name, table in told.beside.items():
        others.append(numbers_of(table, drawn_of(table, weights, name)).assign(head=name))
    lesions = by_lesion(told, calibration)
    drawn_lesions = drawn_of(lesions, weights_of(lesions, params), "by_lesion")
    others.append(numbers_of(lesions, drawn_lesions).assign(head="by_lesion"))
    write_csv(PLOTS / f"per_class_{part}.csv", class_table(predictions, classes, weights, f"{part}, by class"))
    write_pictures(predictions, classes, positive, weights, params.bins, PLOTS, part)
    write_worth(predictions, classes, positive, weights, PLOTS, part)
    subgroups = subgroup_table(predictions, subgroup_slices(rows, targets, classes), classes, positive, weights)
    write_csv(PLOTS / f"subgroups_{part}.csv", subgroups)
    write_figure(PLOTS / f"subgroups_{part}.png", subgroup_figure(subgroups, part))
    honesty = calibration_table(told.logits, predictions, classes, weights, DRAWS, params.seed)
    write_csv(PLOTS / f"calibration_{part}.csv", honesty)
    write_csv(PLOTS / f"worst_{part}.csv", worst(predictions, rows, classes))
    return numbers, pd.concat(others), drawn


def weights_of(table: pd.DataFrame, params: EvaluateParams) -> np.ndarray:
    """Of the bootstrap, for rows with `group, target`: float [resamples, n]."""
    return group_weights(table["group"].to_numpy(), table["target"].to_numpy(), params.resamples, params.seed)


def as_tree(numbers: pd.DataFrame) -> dict:
    """`metric, value` as nested objects."""
    return nested(dict(zip(numbers["metric"], numbers["value"].astype(float), strict=True)))


if __name__ == "__main__":
    run("evaluate", main)
