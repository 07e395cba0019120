"""Train the head on the cached features."""

import sys
from pathlib import Path

import torch

from derm.embedding.features import read_features
from derm.figures import learning_curves
from derm.files import read_csv, write_csv, write_figure, write_json
from derm.heads.head import BESIDE, HEAD, head_file, write_head
from derm.heads.params import HeadParams
from derm.image_table import read_images
from derm.journal import step_noted
from derm.losses import LossParams
from derm.optimise import TRAINING_THREADS
from derm.params import load
from derm.task import TaskParams, make_task
from derm.training.fit import TrainingSections, fit_head
from derm.training.params import TrainParams
from stages.runner import run

PLOTS = Path("plots/train_head")


def main() -> None:
    sections = TrainingSections(
        head=load("head", HeadParams), loss=load("loss", LossParams), train=load("train", TrainParams)
    )
    task_params = load("task", TaskParams)
    torch.set_num_threads(TRAINING_THREADS)
    split, images, features = read_csv(Path("data/split/split.csv"), target=int), read_images(), read_features()
    task = make_task(images, task_params)
    if sections.head.metadata and sections.head.metadata_missing:
        print(
            "WARNING: head.metadata_missing is true: the head can learn that an unknown value means a diagnosis "
            "(in HAM10000 no image of unknown sex is malignant)",
            file=sys.stderr,
        )
    trained = fit_head(sections, features, split, images, task, watch=step_noted())
    write_head(trained.head, head_file(HEAD))
    if sections.head.metadata:
        for name, looks in zip(BESIDE, ("image", "metadata"), strict=True):
            write_head(fit_head(sections, features, split, images, task, looks).head, head_file(name))
    write_csv(PLOTS / "curves.csv", trained.curves.table())
    write_csv(PLOTS / "members.csv", trained.members)
    images_of = {str(part): int(count) for part, count in split["part"].value_counts().items()}
    write_figure(PLOTS / "curves.png", learning_curves(trained.curves.table(), trained.best_step, images_of))
    write_json(PLOTS / "verdict.json", {"verdict": trained.facts["fit"], "why": trained.why})
    write_json(Path("metrics/train_head.json"), trained.facts)
    if trained.facts.get("l2_at_edge"):
        print("note: the best L2 penalty stands at the edge of train.l2: widen the list")
    print(
        f"val loss {trained.facts['val_loss']:.4f}, val balanced accuracy "
        f"{trained.facts['val_balanced_accuracy']:.3f}; {trained.facts['fit']}: {trained.why}"
    )


if __name__ == "__main__":
    run("train_head", main)
