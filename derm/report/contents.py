"""What stands in the report: which numbers, figures and sentences, in which order."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from derm.decisions.outcome import Calibration
from derm.files import read_csv, read_json
from derm.measures.per_class import MEASURES
from derm.report.data import data_part, external_parts
from derm.report.decisions import decisions_part
from derm.report.explanation import explanation_part
from derm.report.page import Figure, Part
from derm.report.photographs import photographs_part
from derm.report.training import beside_tables, training_part
from derm.report.whom import subgroups_part

PLOTS = Path("plots")
FIRST = ("decision.balanced_accuracy", "melanoma.auc", "macro_auc", "ece", "balanced_accuracy", "flag.sensitivity")


def notices(prepared: dict[str, Any], encoders: list[dict[str, Any]]) -> list[str]:
    """What a reader must know before any number; prepared: metrics/prepare.json; encoders: their manifests."""
    told = ["For research. Not a medical device: no decision about a person may rest on these numbers."]
    if prepared["synthetic"]:
        told.insert(0, "The images are SYNTHETIC, drawn by this repository: the numbers mean nothing clinically.")
    told[:0] = [
        f"The weights of {encoder['encoder']} are RANDOM: a trial of the machinery, not of the encoder."
        for encoder in encoders
        if encoder["weights"] == "random"
    ]
    if prepared["without_lesion_id"]:
        told.append(
            f"{prepared['without_lesion_id']} images have no lesion id: a lesion may stand on both sides of the split."
        )
    return told


def facts(prepared: dict[str, Any], features: dict[str, Any], calibration: Calibration) -> dict[str, str]:
    """Data, encoder and decision in a line each; features: their manifest."""
    split, calibrated = read_json(Path("metrics/split.json")), read_json(Path("metrics/calibrate.json"))
    return {
        "images": f"{prepared['images']} in {prepared['groups']} groups; {prepared['rejected']} rows rejected",
        "groups by part": ", ".join(
            f"{part} {counts['groups']}" for part, counts in split.items() if isinstance(counts, dict)
        ),
        "encoder": "; ".join(_encoder(encoder) for encoder in features["encoders"]),
        "encoder weights": "; ".join(encoder.get("weights_digest", "none") for encoder in features["encoders"]),
        "views of an image": ", ".join(features["views"]),
        "decision": _rule(calibration),
        "flag": _flag(calibration, calibrated.get("flag_positives", 0)),
    }


def _encoder(manifest: dict[str, Any]) -> str:
    recipe = manifest["transform"]
    rows, columns = recipe["size"]
    told = f"{manifest['encoder']} at {columns}x{rows} px ({recipe['resize']}, {recipe['interpolation']})"
    return told + f", {manifest['pooling']} pooling, {manifest['precision']}"


def parts() -> list[Part]:
    """The sections of the page, from what the stages wrote under metrics/ and plots/."""
    calibrated = read_json(Path("metrics/calibrate.json"))
    evaluate = PLOTS / "evaluate"
    numbers = read_csv(evaluate / "intervals.csv", value=float, low=float, high=float)
    numbers["told"] = [f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in numbers.itertuples()]
    wide = numbers.pivot(index="metric", columns="part", values="told").fillna("")
    order = [name for name in FIRST if name in wide.index]
    wide = wide.loc[[*order, *(name for name in wide.index if name not in order)]].reset_index()
    return [
        Part(
            "Results",
            "Point estimate and 95 % interval from a bootstrap over lesions, stratified by class; of a share that few "
            "lesions count for, Wilson's. The interval covers "
            "which lesions were drawn for testing, not how the model would differ if it were trained again. "
            "No stage chooses anything on test. Resampling adds to a calibration error, so its interval leans upwards.",
            [("Headline numbers", wide[["metric", "test", "val"]]), *beside_tables()],
            [
                Figure(evaluate / "confusion_test_decision.png", "Test: true class and decision"),
                Figure(evaluate / "confusion_test_predicted.png", "Test: true class and most probable class"),
                Figure(evaluate / "roc_test.png", "Test: ROC, each class against the rest"),
                Figure(evaluate / "precision_recall_test.png", "Test: precision and recall"),
            ],
        ),
        Part(
            "By class",
            "Each class against the rest, by the most probable class.",
            [("Test", _class_table(evaluate / "per_class_test.csv"))],
            [],
        ),
        Part(
            "Probabilities",
            f"Calibration: {calibrated['method']}, fitted on {calibrated['images']} images of "
            f"{calibrated['groups']} groups: ECE there {calibrated['before']['ece']:.3f} before, "
            f"{calibrated['after']['ece']:.3f} after; if the probabilities were perfect it would be "
            f"{calibrated['after']['ece_if_perfect']:.3f} in the mean, on so few images.",
            [("Test: before and after calibration, and if the probabilities were perfect", _calibration_table())],
            [
                Figure(PLOTS / "calibrate/reliability.png", "Calibration part, before and after"),
                Figure(evaluate / "reliability_test.png", "Test: calibrated probabilities"),
            ],
        ),
        decisions_part(),
        subgroups_part(),
        photographs_part(),
        training_part(),
        data_part(),
        *external_parts(),
        explanation_part(),
    ]


def _calibration_table() -> pd.DataFrame:
    """What as many images would give if the probabilities were true stands beside what they give."""
    table = read_csv(PLOTS / "evaluate/calibration_test.csv")
    table = table.assign(**{name: pd.to_numeric(table[name]) for name in table.columns.drop("metric")})
    perfect = [f"{row.perfect:.3f} [{row.perfect_low:.3f}, {row.perfect_high:.3f}]" for row in table.itertuples()]
    return pd.DataFrame(
        {
            "metric": table["metric"].str.replace("_", " "),
            "uncalibrated": [_number(value) for value in table["uncalibrated"]],
            "calibrated": [f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in table.itertuples()],
            "if perfect": [
                "" if np.isnan(mean) else told for mean, told in zip(table["perfect"], perfect, strict=True)
            ],
        }
    )


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"


def _rule(calibration: Calibration) -> str:
    if calibration.rule == "argmax":
        return "the most probable class"
    if calibration.rule == "cost":
        return "the class of lowest expected cost (decide.costs, decide.prevalence)"
    return f"largest log p - {calibration.tau:g} log prior, priors from the training part by lesion"


def _flag(calibration: Calibration, positives: int) -> str:
    if calibration.threshold is None:
        return "none: the task has no positive class"
    return (
        f"p({calibration.positive}) from {calibration.threshold:.4f}, set for a sensitivity of "
        f"{calibration.target_sensitivity:.0%} on {positives} images of the calibration part"
    )


def _class_table(path: Path) -> pd.DataFrame:
    table = read_csv(path)
    rows = []
    for _, row in table.iterrows():
        told = {"class": row["diagnosis"], "images": row["images"], "groups": row["groups"]}
        for measure in MEASURES:
            value, low, high = (row[name] for name in (measure, f"{measure}_low", f"{measure}_high"))
            told[measure] = f"{float(value):.2f} [{float(low):.2f}, {float(high):.2f}]" if value and low else "-"
        rows.append(told)
    return pd.DataFrame(rows)
