"""Does the network know what it does not know? AUROC of mutual information for what it was never trained on.

    python -m benchmarks.uncertainty

Runs on the split and features that `dvc repro` left in the repository. A head with dropout (or an ensemble of heads) is
trained with one class left out; val images of that class are told from those of the classes that it knows. The same
with tiles of two ordinary photographs (scikit-learn's) and with noise. Entropy and 1 - the largest probability stand
beside mutual information, which would have to beat them to be worth its passes. Prints one JSON object.
"""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from benchmarks.machine import machine
from benchmarks.strange_pictures import embed, scikit_learn_pictures, tiles, uniform_noise
from derm.calibration.scaling import NoCalibrator
from derm.embedding.features import Features, read_features
from derm.files import read_csv
from derm.heads.head import Head
from derm.heads.inputs import Inputs
from derm.heads.params import HeadParams
from derm.image_table import read_images
from derm.losses import LossParams
from derm.optimise import TRAINING_THREADS
from derm.params import load
from derm.task import Task, TaskParams, make_task
from derm.training.fit import TrainingSections, fit_head
from derm.training.params import TrainParams
from derm.uncertainty import UncertaintyParams, logit_samples, uncertainty

# Mutual information, expected entropy, their sum, and one less the largest probability.
MEASURES = ("epistemic", "aleatoric", "entropy", "unsure")


def main(
    passes: Annotated[int, typer.Option(help="Draws with dropout on; 0: the members alone.")] = 50,
    members: Annotated[int, typer.Option(help="Heads of the ensemble.")] = 1,
    held_out: Annotated[
        list[str] | None, typer.Option(help="Classes to leave out, one at a time; all by default.")
    ] = None,
) -> None:
    """Measure how well uncertainty tells the unknown from the known."""
    torch.set_num_threads(TRAINING_THREADS)
    train = load("train", TrainParams).model_copy(update={"members": members})
    head = load("head", HeadParams).model_copy(update={"type": "mlp", "metadata": False})
    sections = TrainingSections(head=head, loss=load("loss", LossParams), train=train)
    asked = UncertaintyParams(passes=passes, seed=1)
    images, features = read_images(), read_features()
    split = read_csv(Path("data/split/split.csv"), target=int)
    task = make_task(images, load("task", TaskParams))
    strange = {"photographs": tiles(scikit_learn_pictures()), "noise": uniform_noise()}
    embedded = {name: embed(pictures, features) for name, pictures in strange.items()}
    found: dict[str, dict[str, float]] = {}
    sums: dict[str, list[dict[str, float]]] = {name: [] for name in strange}
    val = split[split["part"] == "val"]
    for name in held_out or task.classes:
        trained, classes = trained_without(name, sections, features, split, images, task)
        is_out = val["target"] == task.classes.index(name)
        known, unknown = (
            scores(trained, trained.inputs(features, val[chosen].merge(images, on="image_id")), asked, classes)
            for chosen in (~is_out, is_out)
        )
        found[name] = areas(known, unknown)
        for other, block in embedded.items():
            given = Inputs(block, np.arange(len(block)))
            sums[other].append(areas(known, scores(trained, given, asked, classes)))
    result = {
        "machine": machine(),
        "encoders": [encoder["encoder"] for encoder in features.manifest["encoders"]],
        "passes": passes,
        "members": members,
        "dropout": head.dropout,
        "auroc_held_out_class": found,
        "auroc_mean_over_held_out": mean(list(found.values())),
        **{f"auroc_{name}": mean(rows) for name, rows in sums.items()},
    }
    print(json.dumps(result, indent=2))


def trained_without(
    name: str, sections: TrainingSections, features: Features, split: pd.DataFrame, images: pd.DataFrame, task: Task
) -> tuple[Head, list[str]]:
    """A head that has never seen this class, and the classes that it knows."""
    # Without a positive class, which may be the very one that is left out.
    asked = load("task", TaskParams).model_copy(update={"positive": None})
    fewer = make_task(images[images["diagnosis"] != name], asked)
    kept = split[split["target"] != task.classes.index(name)].copy()
    kept["target"] = [fewer.classes.index(task.classes[target]) for target in kept["target"]]
    return fit_head(sections, features, kept, images, fewer).head, fewer.classes


def scores(head: Head, inputs: Inputs, asked: UncertaintyParams, classes: list[str]) -> pd.DataFrame:
    """Uncertainty of images, uncalibrated: the calibration part holds the class that is left out."""
    samples = logit_samples(head, inputs, asked)
    return uncertainty(samples, NoCalibrator(), classes).assign(
        unsure=1 - softmax(samples, axis=2).mean(axis=0).max(axis=1)
    )


def areas(known: pd.DataFrame, unknown: pd.DataFrame) -> dict[str, float]:
    """AUROC of each measure for telling the unknown."""
    truth = np.r_[np.zeros(len(known)), np.ones(len(unknown))]
    return {column: round(float(roc_auc_score(truth, np.r_[known[column], unknown[column]])), 3) for column in MEASURES}


def mean(rows: list[dict[str, float]]) -> dict[str, float]:
    """Column by column."""
    return {str(name): round(float(value), 3) for name, value in pd.DataFrame(rows).mean().items()}


if __name__ == "__main__":
    typer.run(main)
