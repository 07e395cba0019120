"""Fit what turns logits into probabilities, decisions and flags, on the calibration part."""

from pathlib import Path
from typing import Literal

import numpy as np

from derm.calibration.temperature import apply_temperature, fit_temperature
from derm.decisions.outcome import CALIBRATION_FILE, Calibration, DecideParams
from derm.decisions.threshold import threshold_for_sensitivity
from derm.embedding.features import read_features
from derm.figures import reliability
from derm.files import DECIMALS, read_csv, write_csv, write_figure, write_json
from derm.heads.head import image_logits, read_head
from derm.image_table import read_images
from derm.measures.curves import reliability_bins
from derm.measures.weighted import expected_calibration_error, negative_log_likelihood
from derm.params import Section, load
from derm.task import TaskParams, make_task
from stages.runner import run

PLOTS = Path("plots/calibrate")


class CalibrateParams(Section):
    """Section `calibrate`: how logits become probabilities."""

    method: Literal["temperature", "none"]


def main() -> None:
    params, decide_params = load("calibrate", CalibrateParams), load("decide", DecideParams)
    split = read_csv(Path("data/split/split.csv"), target=int)
    task = make_task(read_images(), load("task", TaskParams))
    classes = task.classes
    part = split[split["part"] == "calibration"]
    targets = part["target"].to_numpy()
    head = read_head()
    logits = image_logits(head, read_features().of(part["image_id"]))
    offset = [round(value, DECIMALS) for value in head.class_weights.double().log().tolist()]
    # Rounded as it is stored: the threshold must be that of the very probabilities that will be told.
    temperature = round(fit_temperature(logits - offset, targets), DECIMALS) if params.method == "temperature" else 1.0
    before, after = apply_temperature(logits, 1.0), apply_temperature(logits - offset, temperature)
    lesions = split[split["part"] == "train"].groupby("target")["group"].nunique()
    priors = (lesions / lesions.sum()).reindex(range(len(classes)), fill_value=0.0)
    threshold, positives = None, np.array([])
    if task.positive is not None:
        positives = after[targets == classes.index(task.positive), classes.index(task.positive)]
        threshold = threshold_for_sensitivity(positives, decide_params.sensitivity)
    calibration = Calibration(
        classes=classes,
        positive=task.positive,
        method=params.method,
        logit_offset=offset,
        temperature=temperature,
        rule=decide_params.rule,
        tau=decide_params.tau,
        priors=[float(prior) for prior in priors],
        threshold=threshold,
        target_sensitivity=decide_params.sensitivity,
    )
    write_json(CALIBRATION_FILE, calibration.model_dump())
    metrics = {"temperature": temperature, "images": len(part), "groups": part["group"].nunique()}
    for name, probabilities in (("before", before), ("after", after)):
        metrics[name] = {
            "nll": negative_log_likelihood(probabilities, targets)[0],
            "ece": expected_calibration_error(probabilities, targets)[0],
        }
    if threshold is not None:
        metrics |= {"flag_threshold": threshold, "flag_positives": len(positives)}
    write_json(Path("metrics/calibrate.json"), metrics)
    bins = {name: reliability_bins(table, targets) for name, table in (("before", before), ("after", after))}
    for name, table in bins.items():
        write_csv(PLOTS / f"reliability_{name}.csv", table)
    write_figure(PLOTS / "reliability.png", reliability(bins, "Calibration part, before and after scaling"))
    print(
        f"temperature {temperature:.3f}, ECE on the calibration part "
        f"{metrics['before']['ece']:.4f} -> {metrics['after']['ece']:.4f}"
    )


if __name__ == "__main__":
    run("calibrate", main)
