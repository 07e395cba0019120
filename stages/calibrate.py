"""Fit what turns logits into probabilities, decisions and flags, on the calibration part."""

from pathlib import Path

from derm.calibration.temperature import apply_temperature

from derm.decisions.fit import CalibrateParams, fit_calibration
from derm.decisions.outcome import DecideParams, calibration_file
from derm.embedding.features import read_features
from derm.figures import reliability
from derm.files import read_csv, write_csv, write_figure, write_json
from derm.heads.head import HEAD, head_file, head_names, read_head
from derm.heads.predict import image_logits
from derm.image_table import read_images
from derm.measures.curves import reliability_bins
from derm.measures.weighted import expected_calibration_error, negative_log_likelihood
from derm.params import load
from derm.task import TaskParams, make_task
from stages.runner import run

PLOTS = Path("plots/calibrate")


def main() -> None:
    params, decide_params = load("calibrate", CalibrateParams), load("decide", DecideParams)
    split, images, features = read_csv(Path("data/split/split.csv"), target=int), read_images(), read_features()
    task = make_task(images, load("task", TaskParams))
    rows = split[split["part"] == "calibration"].merge(images, on="image_id", suffixes=("", "_of_image"))
    targets = rows["target"].to_numpy()
    logits, calibration = {}, {}
    for name in head_names():
        head = read_head(head_file(name))
        logits[name] = image_logits(head, head.inputs(features, rows))
        calibration[name] = fit_calibration(logits[name], targets, split, task, params.method, decide_params)
        write_json(calibration_file(name), calibration[name].model_dump())
    fitted = calibration[HEAD]
    tables = {
        "before": apply_temperature(logits[HEAD], 1.0),
        "after": apply_temperature(logits[HEAD], fitted.temperature),
    }
    metrics = {"temperature": fitted.temperature, "images": len(rows), "groups": rows["group"].nunique()}
    for name, probabilities in tables.items():
        metrics[name] = {
            "nll": negative_log_likelihood(probabilities, targets)[0],
            "ece": expected_calibration_error(probabilities, targets)[0],
        }
    if task.positive is not None:
        positives = int((targets == task.classes.index(task.positive)).sum())
        metrics |= {"flag_threshold": fitted.threshold, "flag_positives": positives}
    write_json(Path("metrics/calibrate.json"), metrics)
    bins = {name: reliability_bins(table, targets) for name, table in tables.items()}
    for name, table in bins.items():
        write_csv(PLOTS / f"reliability_{name}.csv", table)
    write_figure(PLOTS / "reliability.png", reliability(bins, "Calibration part, before and after scaling"))
    print(
        f"temperature {fitted.temperature:.3f}, ECE on the calibration part "
        f"{metrics['before']['ece']:.4f} -> {metrics['after']['ece']:.4f}"
    )


if __name__ == "__main__":
    run("calibrate", main)
