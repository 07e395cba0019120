"""Train the head on the cached features."""

from functools import partial
from pathlib import Path

import torch

from derm.embedding.features import read_features
from derm.errors import UserError
from derm.figures import learning_curves
from derm.files import read_csv, write_csv, write_figure, write_json
from derm.heads.head import Head, HeadParams, write_head
from derm.heads.training import TrainingData, TrainParams
from derm.image_table import read_images
from derm.losses import LossParams, focal_loss
from derm.optimise import TRAINING_THREADS
from derm.params import load
from derm.task import TaskParams, make_task
from derm.weighting import class_weights
from stages.runner import run

PLOTS = Path("plots/train_head")


def main() -> None:
    head_params, loss_params = load("head", HeadParams), load("loss", LossParams)
    params, task_params = load("train", TrainParams), load("task", TaskParams)
    torch.set_num_threads(TRAINING_THREADS)
    split = read_csv(Path("data/split/split.csv"), target=int)
    task = make_task(read_images(), task_params)
    features = read_features()
    train, val = split[split["part"] == "train"], split[split["part"] == "val"]
    train_targets = train["target"].to_numpy(copy=True)
    if task.positive is None and loss_params.melanoma_boost != 1:
        raise UserError("loss.melanoma_boost raises the weight of task.positive, which is null: set it to 1")
    positive = task.classes.index(task.positive) if task.positive else None
    weights = class_weights(
        train_targets, len(task.classes), loss_params.class_weights, positive, loss_params.melanoma_boost
    )
    weights = torch.from_numpy(weights)

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        own = weights.to(logits.dtype)
        return focal_loss(logits, targets, own, loss_params.gamma, loss_params.label_smoothing)

    data = TrainingData(
        features.of(train["image_id"]),
        train_targets,
        features.of(val["image_id"]),
        val["target"].to_numpy(copy=True),
        loss,
    )
    build = partial(Head, dim=features.pooled.shape[-1], classes=len(task.classes))
    if head_params.type == "linear":
        from derm.heads.linear import fit_linear as fit

        head = build(hidden=[], dropout=0.0)
    else:
        from derm.heads.mlp import fit_mlp as fit

        head = build(hidden=head_params.hidden, dropout=head_params.dropout)
    head.fit_standardisation(data.train_features)
    head.class_weights.copy_(weights)
    head, curves, chosen = fit(head, data, params)
    write_head(head)
    write_csv(PLOTS / "curves.csv", curves.table())
    write_figure(PLOTS / "curves.png", learning_curves(curves.table(), chosen["best_step"]))
    best = curves.rows[chosen["best_step"]]
    losses = {key: best[key] for key in ("train_loss", "val_loss", "val_balanced_accuracy")}
    write_json(Path("metrics/train_head.json"), chosen | losses | {"steps": len(curves.rows)})
    if chosen.get("l2_at_edge"):
        print("note: the best L2 penalty stands at the edge of train.l2: widen the list")
    print(f"val loss {best['val_loss']:.4f}, val balanced accuracy {best['val_balanced_accuracy']:.3f}")


if __name__ == "__main__":
    run("train_head", main)
