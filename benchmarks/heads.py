"""The linear head against scikit-learn's logistic regression, and what an mlp costs, on the present features.

    python -m benchmarks.heads

Runs on the split and features that `dvc repro` left in the repository, after it, and on twelve L2 penalties. Both
minimise the same objective on the same standardised features, warm-started from the strongest penalty down, with the
same number of threads; scikit-learn as its documentation has it (lbfgs). Ours is what the stage does, but that it tries
all twelve: roughly each, then the best to its minimum. Prints one JSON object.
"""

import json
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

from benchmarks.machine import machine
from derm.embedding.features import read_features
from derm.files import read_csv
from derm.heads.head import HeadShape, Member
from derm.heads.inputs import inputs_of
from derm.heads.params import HeadParams
from derm.image_table import read_images
from derm.losses import CROSS_ENTROPY, training_loss
from derm.optimise import TRAINING_THREADS
from derm.params import load
from derm.task import TaskParams, make_task
from derm.training.convex import FINE, ROUGH, LinearProblem
from derm.training.curves import Curves
from derm.training.data import TrainingData
from derm.training.gradient import fit_by_gradient
from derm.training.params import TrainParams

PENALTIES = [float(value) for value in np.geomspace(1, 3e-4, 12)]


def main(
    epochs: Annotated[int, typer.Option(help="Epochs of the mlp.")] = 30,
    tolerance: Annotated[float, typer.Option(help="scikit-learn's; its default.")] = 1e-4,
    each_to_its_minimum: Annotated[bool, typer.Option("--each-to-its-minimum", help="Not the best alone.")] = False,
) -> None:
    """Time a sweep of twelve penalties by both, and one mlp."""
    torch.set_num_threads(TRAINING_THREADS)
    task = make_task(read_images(), load("task", TaskParams))
    split, features = read_csv(Path("data/split/split.csv"), target=int), read_features()
    if len(features.manifest["views"]) > 1:
        raise typer.BadParameter("the features have several views, which scikit-learn would not see: features.views=1")
    parts = {part: split[split["part"] == part] for part in ("train", "val")}
    inputs = {part: inputs_of(features, "pooled", rows["image_id"]) for part, rows in parts.items()}
    targets = {part: rows["target"].to_numpy(copy=True) for part, rows in parts.items()}
    loss = training_loss(CROSS_ENTROPY, targets["train"], len(task.classes), None)
    data = TrainingData(
        train=inputs["train"],
        train_targets=targets["train"],
        val=inputs["val"],
        val_targets=targets["val"],
        loss=loss,
        positive=None,
    )
    head_params, params = load("head", HeadParams), load("train", TrainParams)

    def member(kind: str) -> Member:
        chosen = head_params.model_copy(update={"type": kind, "metadata": False})
        made = Member(HeadShape(params=chosen, channels=data.train.channels, classes=data.classes))
        made.set_standardisation(*data.train.moments())
        return made

    started = time.perf_counter()
    problem, curves = LinearProblem(member("linear"), data, 10_000), Curves()
    fits = list(problem.path(PENALTIES, FINE if each_to_its_minimum else ROUGH, curves))
    best = min(fits, key=lambda fit: fit.val_loss)
    ours = {fit.l2: fit.val_loss for fit in fits} | {best.l2: problem.fit(best.l2, best, FINE, curves).val_loss}
    our_seconds = time.perf_counter() - started
    started = time.perf_counter()
    theirs = sweep_of_scikit_learn(member("linear"), data, tolerance)
    their_seconds = time.perf_counter() - started
    started = time.perf_counter()
    mlp = params.model_copy(update={"epochs": epochs, "patience": epochs})
    fit_by_gradient(member("mlp"), data, mlp, mlp.seed, "mlp")
    mlp_seconds = time.perf_counter() - started
    result = {
        "machine": machine(),
        "encoders": [encoder["encoder"] for encoder in features.manifest["encoders"]],
        "train_images": len(data.train),
        "dim": data.train.channels,
        "penalties": len(PENALTIES),
        "each_to_its_minimum": each_to_its_minimum,
        "linear_seconds": round(our_seconds, 1),
        "scikit_learn_seconds": round(their_seconds, 1),
        "ratio": round(our_seconds / their_seconds, 3),
        "largest_difference_of_val_nll": float(f"{max(abs(ours[l2] - theirs[l2]) for l2 in ours):.2g}"),
        "difference_of_val_nll_at_the_best": float(f"{abs(ours[best.l2] - theirs[best.l2]):.2g}"),
        "val_nll": {f"{l2:.2g}": [round(ours[l2], 6), round(theirs[l2], 6)] for l2 in ours},
        "mlp_epochs": epochs,
        "mlp_hidden": head_params.hidden,
        "mlp_seconds": round(mlp_seconds, 1),
    }
    print(json.dumps(result, indent=2))


def sweep_of_scikit_learn(member: Member, data: TrainingData, tolerance: float) -> dict[float, float]:
    """Penalty -> val NLL. scikit-learn minimises the sum of the losses times C plus ||W||^2 / 2."""
    scaled = member.double().standardise(torch.from_numpy(data.train.pooled()))[:, 0].numpy()
    val = member.standardise(torch.from_numpy(data.val.pooled())).mean(1).numpy()
    model = LogisticRegression(tol=tolerance, max_iter=100_000, warm_start=True)
    found = {}
    with threadpool_limits(TRAINING_THREADS, user_api="blas"):
        for l2 in sorted(PENALTIES, reverse=True):
            model.set_params(C=1 / (l2 * len(scaled)))
            model.fit(scaled, data.train_targets)
            found[l2] = float(log_loss(data.val_targets, model.predict_proba(val)))
    return found


if __name__ == "__main__":
    typer.run(main)
