"""How honest cross-validated probabilities are, and whether the flag's threshold keeps its sensitivity.

    python -m benchmarks.probabilities best-frozen-2b54af

Reads the finished folds of a cross-validation (`make crossval` tells its name) from the experiments of the repository
it is started in. ECE and classwise ECE of all folds pooled stand beside what perfect probabilities would give, with
labels redrawn by group; the flag's sensitivity and specificity are the mean over the folds; `first_fold` has what
`evaluate` wrote of that one test part. Prints one JSON object.
"""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from benchmarks.machine import machine
from derm.measures.bootstrap import group_weights, percentile_interval
from derm.measures.calibration import calibration_slope, classwise_calibration_error, if_perfect
from derm.measures.weighted import expected_calibration_error, negative_log_likelihood
from experiments.crossval import read_fold

SLOPES = 100


def main(
    label: Annotated[str, typer.Argument(help="Of the cross-validation, without -fold0.")],
    folds: Annotated[int, typer.Option(help="How many.")] = 5,
    draws: Annotated[int, typer.Option(help="Of labels, and of lesions for intervals.")] = 1000,
) -> None:
    """Measure pooled out-of-fold probabilities."""
    tables = [read_fold(f"{label}-fold{fold}").predictions for fold in range(folds)]
    result = {"machine": machine(), "cross_validation": label, "folds": folds, **pooled(pd.concat(tables), draws)}
    result |= flags(tables, draws) | {"first_fold": one_part(f"{label}-fold0")}
    print(json.dumps(result, indent=2))


def pooled(table: pd.DataFrame, draws: int) -> dict:
    """ECE and classwise ECE with what perfect probabilities would give; NLL; slope and its 95 % interval."""
    probabilities = table[[name for name in table if str(name).startswith("p_")]].to_numpy()
    targets, groups = table["target"].to_numpy(), table["group"].to_numpy()
    found: dict = {"images": len(table), "nll": round(float(negative_log_likelihood(probabilities, targets)[0]), 4)}
    for name, measure in (("ece", expected_calibration_error), ("classwise_ece", classwise_calibration_error)):
        perfect = if_perfect(probabilities, groups, draws, 1, measure)
        low, high = percentile_interval(perfect)
        found[name] = {
            "value": round(float(measure(probabilities, targets)[0]), 4),
            "perfect": round(float(perfect.mean()), 4),
            "perfect_low": round(low, 4),
            "perfect_high": round(high, 4),
        }
    slopes = calibration_slope(probabilities, targets, group_weights(groups, targets, SLOPES, 1))
    low, high = percentile_interval(slopes)
    value = float(calibration_slope(probabilities, targets)[0])
    return found | {"slope": {"value": round(value, 3), "low": round(low, 3), "high": round(high, 3)}}


def one_part(experiment: str) -> dict:
    """Of one test part, as `evaluate` wrote it: value and 95 % interval of each number, and what perfect probabilities
    would give; how calibration was chosen to be."""
    from dvc.api import DVCFileSystem

    files = DVCFileSystem(str(Path.cwd()), rev=experiment)
    with files.open("plots/evaluate/calibration_test.csv") as stream:
        rows = pd.read_csv(stream).set_index("metric").to_dict("index")
    told = {
        str(metric): {str(name): round(value, 4) for name, value in row.items() if not np.isnan(value)}
        for metric, row in rows.items()
    }
    return told | {"method": json.loads(files.read_text("metrics/calibrate.json"))["method"]}


def flags(tables: list[pd.DataFrame], draws: int) -> dict:
    """Mean over the folds of the flag's sensitivity and specificity for melanoma, each with its 95 % interval (folds
    resampled each by itself, by group), and every fold's own."""
    found: dict = {}
    for name, is_positive in (("flag_sensitivity", True), ("flag_specificity", False)):
        own, drawn = [], []
        for number, table in enumerate(tables):
            classes = [str(column)[2:] for column in table if str(column).startswith("p_")]
            here = ((table["target"] == classes.index("mel")) == is_positive).to_numpy()
            right = (table["flag"].astype(int) == int(is_positive)).to_numpy()[here]
            groups = table["group"].to_numpy()[here]
            weights = group_weights(groups, np.zeros(len(groups), dtype=int), draws, number)
            own.append(float(right.mean()))
            drawn.append((weights @ right) / weights.sum(axis=1))
        low, high = percentile_interval(np.mean(drawn, axis=0))
        folds = [round(value, 4) for value in own]
        found[name] = {
            "mean": round(float(np.mean(own)), 4),
            "low": round(low, 4),
            "high": round(high, 4),
            "folds": folds,
        }
    return found


if __name__ == "__main__":
    typer.run(main)
