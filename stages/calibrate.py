"""Fit what turns logits into probabilities, decisions and flags, on the calibration part; and how far is too far."""

from pathlib import Path

import pandas as pd

from derm.calibration.registry import CalibrateParams, cross_fitted
from derm.calibration.scaling import NoCalibrator
from derm.decisions.conformal import ConformalParams
from derm.decisions.fit import fit_calibration
from derm.decisions.outcome import Calibration, DecideParams, calibration_file, outcomes
from derm.decisions.quality import FILE as QUALITY
from derm.decisions.quality import Quality, QualityParams, fit_quality
from derm.embedding.features import Features, read_features
from derm.figures import reliability
from derm.files import read_csv, write_csv, write_figure, write_json
from derm.heads.head import HEAD, head_file, head_names, read_head
from derm.heads.predict import image_logits
from derm.image_table import read_appearance, read_images
from derm.lesions import lesions_of
from derm.measures.bootstrap import group_weights
from derm.measures.calibration import by_class, calibration_numbers
from derm.measures.curves import reliability_bins
from derm.measures.proportion import proportion_by_lesion
from derm.out_of_distribution.distance import write_out_of_distribution
from derm.out_of_distribution.fit import OodParams, fit_out_of_distribution
from derm.params import load
from derm.task import TaskParams, make_task
from stages.runner import run

PLOTS = Path("plots/calibrate")
# For the intervals of the picture, and for what a perfect calibration would give.
RESAMPLES, DRAWS = 1000, 200


def main() -> None:
    params, decide_params = load("calibrate", CalibrateParams), load("decide", DecideParams)
    conformal_params = load("conformal", ConformalParams)
    split, images, features = read_csv(Path("data/split/split.csv"), target=int), read_images(), read_features()
    task = make_task(images, load("task", TaskParams))
    rows = split[split["part"] == "calibration"].merge(images, on="image_id", suffixes=("", "_of_image"))
    write_out_of_distribution(fit_out_of_distribution(features, split, rows, load("ood", OodParams)))
    targets, groups = rows["target"].to_numpy(), rows["group"].to_numpy()
    logits, calibration = {}, {}
    for name in head_names():
        head = read_head(head_file(name))
        logits[name] = image_logits(head, head.inputs(features, rows))
        calibration[name] = fit_calibration(logits[name], rows, split, task, params, decide_params, conformal_params)
        write_json(calibration_file(name), calibration[name].model_dump())
    fitted = calibration[HEAD]
    quality = judge_quality(split, images, features, fitted)
    write_json(QUALITY, quality.model_dump())
    tables = {
        "before": NoCalibrator().probabilities(logits[HEAD]),
        "after": fitted.calibrator.probabilities(logits[HEAD]),
    }
    metrics = {
        "method": fitted.calibrator.method,
        # Of images whose lesion was not fitted on: what `auto` chooses by.
        "cross_fitted_nll": cross_fitted(logits[HEAD], targets, groups, params.seed),
        "images": len(rows),
        "groups": rows["group"].nunique(),
    }
    for name, probabilities in tables.items():
        metrics[name] = calibration_numbers(probabilities, targets, groups, DRAWS, params.seed)
        write_csv(PLOTS / f"by_class_{name}.csv", by_class(probabilities, targets, task.classes))
    metrics["quality"] = {name: note.model_dump(exclude_none=True) for name, note in quality.notes.items()}
    metrics["conformal"] = {
        name: {"lesions": lesions, "missing": missing}
        for name, lesions, missing in zip(task.classes, fitted.conformal.lesions, fitted.conformal.missing, strict=True)
    }
    if task.positive is not None:
        index = task.classes.index(task.positive)
        here = targets == index
        # So many lesions are what the threshold rests on: how far off its sensitivity may be on others.
        kept = proportion_by_lesion(tables["after"][here, index] >= fitted.threshold, lesions_of(rows[here]))
        metrics |= {"flag_threshold": fitted.threshold, "flag_positives": int(here.sum())}
        metrics["flag_sensitivity"] = {"value": kept.value, "low": kept.low, "high": kept.high, "lesions": kept.lesions}
    write_json(Path("metrics/calibrate.json"), metrics)
    weights = group_weights(groups, targets, RESAMPLES, params.seed)
    bins = {name: reliability_bins(table, targets, weights) for name, table in tables.items()}
    for name, table in bins.items():
        write_csv(PLOTS / f"reliability_{name}.csv", table)
    write_figure(PLOTS / "reliability.png", reliability(bins, "Calibration part, before and after"))
    print(
        f"{fitted.calibrator.method}, NLL on the calibration part "
        f"{metrics['before']['nll']:.4f} -> {metrics['after']['nll']:.4f}, "
        f"ECE {metrics['before']['ece']:.4f} -> {metrics['after']['ece']:.4f}"
    )


def judge_quality(split: pd.DataFrame, images: pd.DataFrame, features: Features, fitted: Calibration) -> Quality:
    """Notes by the training images' looks, judged by the decisions on val and calibration, where nobody trained."""
    looks, head = read_appearance(), read_head(head_file(HEAD))
    train = split[split["part"] == "train"].merge(looks, on="image_id")
    known = images.drop(columns="group").merge(looks, on="image_id")
    rows = split[split["part"].isin(("val", "calibration"))].merge(known, on="image_id")
    told = outcomes(image_logits(head, head.inputs(features, rows)), fitted)
    wrong = (told["decision"] != rows["target"]).to_numpy()
    return fit_quality(train, rows, wrong, rows["group"].to_numpy(), load("quality", QualityParams))


if __name__ == "__main__":
    run("calibrate", main)
