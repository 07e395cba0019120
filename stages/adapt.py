"""Train the encoder itself on the training part, if `adapt.method` says so; what follows takes it for any other."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from derm import journal
from derm.adaptation.params import AdaptParams
from derm.encoders.adapted import write_adapted
from derm.encoders.params import EncoderParams, PartParams, parts_of
from derm.errors import UserError
from derm.files import read_csv, write_csv, write_figure, write_json, write_png
from derm.image_table import read_images
from derm.params import load
from derm.task import TaskParams, make_task
from stages.runner import run

PLOTS = Path("plots/adapt")
METRICS = Path("metrics/adapt.json")
COLUMNS = [
    "step",
    "train_loss",
    "val_loss",
    "val_balanced_accuracy",
    "val_macro_f1",
    "val_sensitivity",
    "learning_rate",
]


def main() -> None:
    params, encoder_params = load("adapt", AdaptParams), load("encoder", EncoderParams)
    task_params = load("task", TaskParams)
    if params.method == "none":
        write_adapted({})
        write_csv(PLOTS / "curves.csv", pd.DataFrame(columns=COLUMNS))
        write_json(METRICS, {"method": "none"})
        return
    train(params, trainable(params, encoder_params), task_params)


def trainable(params: AdaptParams, encoder_params: EncoderParams) -> PartParams:
    """The one of the joined encoders that has weights. UserError if that is none or several, or if the weights are not
    those that the method begins with."""
    with_weights = [part for part in parts_of(encoder_params) if part.weights != "none"]
    if len(with_weights) != 1:
        found = " and ".join(part.name for part in with_weights) or "none"
        raise UserError(
            f"adapt.method is {params.method}, which trains one encoder with weights; encoder.name is "
            f"{encoder_params.name}, where {found} {'have' if len(with_weights) > 1 else 'has'} weights: name "
            "one (beside colour-texture, if you like), or set adapt.method=none"
        )
    (part,) = with_weights
    if params.method == "scratch" and part.weights != "random":
        raise UserError(
            f"adapt.method is scratch, which begins with random weights, and encoder.weights is {part.weights!r}: set "
            "encoder.weights=random, or adapt.method=full to go on from these"
        )
    return part


def train(params: AdaptParams, part: PartParams, task_params: TaskParams) -> None:
    """Train one encoder, and write it with its learning curves and a sheet of what augmentation draws."""
    import torch

    from derm.adaptation.fit import adapt, parts_of_split
    from derm.adaptation.sheet import augmentation_sheet
    from derm.device import choose_device
    from derm.encoders.adapted import adapted_manifest
    from derm.encoders.registry import build_as_described, build_encoder
    from derm.figures import learning_curves
    from derm.optimise import TRAINING_THREADS

    torch.set_num_threads(TRAINING_THREADS)
    device = choose_device()
    split, images = read_csv(Path("data/split/split.csv"), target=int), read_images()
    task = make_task(images, task_params)
    encoder = build_encoder(replace(part, precision="float32"))
    parts = parts_of_split(split, images, encoder, params)
    write_png(PLOTS / "augmentation.png", augmentation_sheet(parts.train, parts.train_targets, task.classes))
    counts = {str(name): int(count) for name, count in split["part"].value_counts().items()}

    def draw(curves: pd.DataFrame, best_step: int) -> None:
        write_csv(PLOTS / "curves.csv", curves)
        write_figure(PLOTS / "curves.png", learning_curves(curves, best_step, counts))

    trained = adapt(encoder, parts, task, params, device, draw, journal.step_noted())
    draw(trained.curves, trained.best_step)
    manifest = adapted_manifest(encoder, trained.state, part.precision)
    build_as_described(manifest, trained.state)
    write_adapted({part.name: (manifest, trained.state)})
    write_json(METRICS, {"method": params.method, **trained.facts})
    journal.note("adapted", stage="adapt", device=device.type, **trained.speed)
    trained.checkpoint.delete()
    print(
        f"{trained.facts['trained_parameters']:,} parameters of {part.name} trained; epoch {trained.best_step + 1} of "
        f"{trained.facts['steps']} kept: val loss {trained.facts['val_loss']:.4f}, val balanced accuracy "
        f"{trained.facts['val_balanced_accuracy']:.3f} with the classifier it was trained with"
    )


if __name__ == "__main__":
    run("adapt", main)
