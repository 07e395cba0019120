"""Show where the classifier looked, and measure whether that is true: maps, their tests, and what fools the answer."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from derm.decisions.outcome import Calibration, calibration_file, read_calibration
from derm.device import choose_device
from derm.embedding.features import read_features, read_manifest
from derm.embedding.forward import make_ready
from derm.encoders.attention import pool_attention
from derm.encoders.layers import AUTO
from derm.encoders.params import EncoderParams
from derm.encoders.registry import build_for_features
from derm.errors import UserError
from derm.explanation.examine import Examined, Photographs, Subject, examine
from derm.explanation.figures import localisation_figure
from derm.explanation.gallery import gallery
from derm.explanation.model import Explained
from derm.explanation.params import ExplainParams
from derm.explanation.selection import missed, sure_and_right, sure_and_wrong
from derm.explanation.sheets import contact_sheet
from derm.explanation.shortcuts import by_artefact, shortcut_sheet, worst
from derm.explanation.show import cards, for_gallery, tile
from derm.explanation.study import localisation_table, numbers, sanity_table, score_table, weights_of
from derm.explanation.verdict import Evidence, verdicts
from derm.explanation.words import NAMES, key
from derm.files import read_csv, read_json, write_bytes, write_csv, write_figure, write_json, write_png
from derm.heads.head import HEAD, head_file, read_head
from derm.image_table import read_images
from derm.lesions import lesions_of
from derm.measures.headline import POSITIVE_NAMES
from derm.params import load
from stages.runner import run

PLOTS = Path("plots/explain")
SYNTHETIC = "Synthetic images: the numbers mean nothing clinically"


def main() -> None:
    params, encoder_params = load("explain", ExplainParams), load("encoder", EncoderParams)
    calibration, manifest, device = read_calibration(calibration_file(HEAD)), read_manifest(), choose_device()
    encoders = build_for_features(encoder_params, manifest["encoders"])
    for encoder in encoders:
        make_ready(encoder, device)
    layers = [params.layer] if isinstance(params.layer, str) else params.layer
    explained = Explained(encoders, read_head(head_file(HEAD)), manifest.get("token_pooling")).at(layers)
    floats = dict.fromkeys((f"p_{name}" for name in calibration.classes), float)
    predictions = read_csv(Path("data/predictions/test.csv"), target=int, predicted=int, decision=int, **floats)
    rows = predictions.merge(read_images(), on="image_id", suffixes=("", "_of_image"))
    refuse_attention(explained, params)
    shown = show(explained, rows, calibration, params, device)
    subject = Subject(explained, calibration, rows, training_images() if params.sanity else None, device)
    found = examine(subject, params)
    metrics = write_evidence(found, calibration, params)
    if found.changed is not None:
        shown["shortcuts"] = write_shortcuts(found, str(calibration.positive), params)
    write_json(Path("metrics/explain.json"), {"method": params.method, "shown": shown, "test": metrics})


def refuse_attention(explained: Explained, params: ExplainParams) -> None:
    """UserError, before anything is drawn, if attention is asked for and none pools what the head reads."""
    keys = [key for key, asked in (("method", [params.method]), ("methods", params.methods)) if "attention" in asked]
    if keys and explained.reads_tokens:
        raise UserError(f"explain.{keys[0]} is attention, and this head reads patches as they are: leave it out")
    if keys:
        for encoder in explained.encoders:
            pool_attention(encoder)


def training_images() -> tuple[np.ndarray, np.ndarray]:
    """Features float64 [n, dim], the mean over the views, and targets int [n] of the training part."""
    features, split = read_features(), read_csv(Path("data/split/split.csv"), target=int)
    rows = split[split["part"] == "train"]
    return features.pooled[features.rows(rows["image_id"])].mean(axis=1, dtype=float), rows["target"].to_numpy()


def show(
    explained: Explained, rows: pd.DataFrame, calibration: Calibration, params: ExplainParams, device: Any
) -> dict[str, int]:
    """Write the contact sheets and the gallery; returns how many images stand on each."""
    classes, positive, count = calibration.classes, calibration.positive, params.per_sheet
    name = POSITIVE_NAMES.get(positive, positive) if positive else "positives: the task has none"
    right, wrong = sure_and_right(rows, classes, count), sure_and_wrong(rows, classes, count)
    lost = missed(rows, classes, positive, count) if positive else rows.head(0)
    sheets = {
        "sure_and_right": ("Sure and right", "the most confident right answers, classes in turn", right, "told"),
        "sure_and_wrong": ("Sure and wrong", "the most confident wrong answers", wrong, "told"),
        "missed": (f"Missed {name}", "decided to be something else, the least probable first", lost, "decided"),
    }
    first = list(dict.fromkeys(pd.concat([right, wrong, lost])["image_id"]))
    chosen = for_gallery(rows, max(params.gallery, len(first)), first)
    made = {card.image_id: card for card in cards(explained, chosen, calibration, params, device)}
    if params.layer != AUTO and not any(heat.any() for card in made.values() for _, heat in card.maps):
        raise UserError(f"explain.layer is {params.layer}, which has no part in any answer: choose an earlier one")
    listed = []
    for sheet, (title, told, of, judged) in sheets.items():
        tiles = [tile(made[image_id], judged) for image_id in of["image_id"]]
        text = f"test part; {told}; beside each photograph {NAMES[params.method]}, with probabilities"
        write_png(PLOTS / f"{sheet}.png", contact_sheet(title, text, tiles))
        listed.append(of[["image_id", "target", "predicted", "decision", "flag"]].assign(sheet=sheet))
    write_csv(PLOTS / "shown.csv", pd.concat(listed))
    stamp = SYNTHETIC if read_json(Path("metrics/prepare.json"))["synthetic"] else ""
    text = f"Test images: those of the contact sheets, and others of each class. Maps: {NAMES[params.method]}."
    page = gallery("Where the classifier looked", text, list(made.values()), classes, positive, stamp)
    write_bytes(PLOTS / "gallery.html", page.encode())
    return {sheet: len(of) for sheet, (_, _, of, _) in sheets.items()} | {"gallery": len(made)}


def write_evidence(found: Examined, calibration: Calibration, params: ExplainParams) -> dict[str, Any]:
    """Write the tables and pictures of all tests; returns the metrics."""
    methods = [method for method in params.methods if method != "randomcam"]
    rows, measured = found.drawn.rows, found.measured
    weights = weights_of(rows, params.resamples, params.seed)
    score_weights = weights_of(found.scored, params.resamples, params.seed)
    table = localisation_table(measured.values, rows, calibration.classes, weights)
    evidence = Evidence(measured.values, measured.sanity, weights, found.scores, score_weights)
    judged = verdicts(evidence, methods)
    write_csv(PLOTS / "localisation.csv", table)
    write_csv(PLOTS / "sanity.csv", sanity_table(measured.sanity, weights))
    write_csv(PLOTS / "faithfulness.csv", score_table(found.scores, score_weights))
    write_csv(PLOTS / "verdicts.csv", judged)
    write_figure(PLOTS / "localisation.png", localisation_figure(table, methods))
    shortcuts: dict[str, Any] = {"images": 0 if found.changed is None else len(found.shortcuts)}
    changed = pd.DataFrame(columns=pd.Index(["artefact"]))
    if found.changed is not None:
        changed = by_artefact(found.changed, found.shortcuts, params.resamples, params.seed)
        told = changed.to_dict("records")
        shortcuts |= {row["artefact"]: {"change": row["change"], "flag_flips": row["flag"]} for row in told}
    write_csv(PLOTS / "shortcuts.csv", changed)
    return {
        "localisation": {
            "images": len(rows),
            "lesions": len(np.unique(lesions_of(rows))),
            "without_mask": found.drawn.without_mask,
            "useless_mask": found.drawn.useless_mask,
            **numbers(table, methods),
        },
        "sanity": bool(len(measured.sanity)),
        "faithfulness": {"images": len(found.scored)},
        "shortcuts": shortcuts,
        "verdict": {
            key(str(method)): of["verdict"].value_counts().to_dict()
            for method, of in judged.groupby("method", sort=False)
        },
    }


def write_shortcuts(found: Examined, positive: str, params: ExplainParams) -> int:
    """Write the sheet of the largest changes; returns how many there are."""
    assert found.changed is not None
    cases = worst(found.changed, found.shortcuts, params.per_sheet)
    photographs = Photographs(found.shortcuts.set_index("image_id", drop=False).loc[cases["image_id"]])
    write_png(PLOTS / "shortcuts.png", shortcut_sheet(cases, list(photographs), positive, params.seed))
    return len(cases)


if __name__ == "__main__":
    run("explain", main)
