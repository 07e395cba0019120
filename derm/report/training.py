"""What the report says of the head: how it was trained, and what its parts do alone."""

from pathlib import Path
from typing import Any

import pandas as pd

from derm.files import read_csv, read_json
from derm.report.page import Figure, Part

PLOTS = Path("plots")
# What is shown of the heads beside the one that predicts.
SHOWN = ("decision.balanced_accuracy", "balanced_accuracy", "macro_auc", "melanoma.auc", "malignant.auc", "nll")
WORDS = {"head": "image and metadata", "image_only": "image only", "metadata_only": "metadata only"}


def training_part() -> Part:
    """Learning curves of the (first) head, the verdict on them, and a row for each member of an ensemble."""
    trained = read_json(Path("metrics/train_head.json"))
    verdict = read_json(PLOTS / "train_head/verdict.json")
    members = read_csv(PLOTS / "train_head/members.csv")
    told = f"Kept: step {trained['best_step']} of {trained['steps']}; val loss {trained['val_loss']:.4f}"
    told += f", training loss {trained['train_loss']:.4f}. " if "train_loss" in trained else ". "
    text = f"{told}Verdict: {verdict['verdict']}. {verdict['why'][0].upper()}{verdict['why'][1:]}."
    tables: list[Any] = []
    if len(members) > 1:
        text += f" The mean probability of {len(members)} heads is told; the curves are those of the first."
        tables = [("Members", members.rename(columns=lambda name: name.replace("_", " ")))]
    figures = [
        Figure(PLOTS / "train_head/curves.png", "Learning curves of the head (one run: no intervals)", wide=True)
    ]
    adapted = read_json(Path("metrics/adapt.json"))
    if adapted["method"] != "none":
        text += (
            f" The encoder was trained before it ({adapted['method']}, {adapted['trained_parameters']:,} parameters): "
            f"epoch {adapted['best_step'] + 1} of {adapted['steps']} kept, val loss {adapted['val_loss']:.4f} with the "
            "classifier it was trained with. The head's own training loss is of images that the encoder knows."
        )
        figures += [
            Figure(PLOTS / "adapt/curves.png", "Learning curves of the encoder (one run: no intervals)", wide=True),
            Figure(PLOTS / "adapt/augmentation.png", "What the encoder was trained on", wide=True),
        ]
    return Part("Training", text, tables, figures)


def beside_tables() -> list[tuple[str, pd.DataFrame]]:
    """With metadata: test numbers of the fusion, of the image alone and of the metadata alone, each trained and
    calibrated by itself in the same way. Empty without metadata."""
    numbers = read_csv(PLOTS / "evaluate/heads.csv", value=float, low=float, high=float)
    numbers = numbers[numbers["head"].isin(WORDS) & numbers["metric"].isin(SHOWN)].copy()
    if numbers["head"].nunique() < 2:
        return []
    numbers["told"] = [f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in numbers.itertuples()]
    wide = pd.DataFrame(numbers.pivot(index="metric", columns=["part", "head"], values="told")["test"])
    wide = wide.reindex(index=[name for name in SHOWN if name in wide.index], columns=list(WORDS)).rename(columns=WORDS)
    return [("Test: what age, sex and body site add", wide.reset_index())]
