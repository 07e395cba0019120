"""Train the head of an experiment again, from other seeds, on the very features, split and images that it had."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from derm.calibration.registry import CalibrateParams
from derm.decisions.conformal import ConformalParams
from derm.decisions.fit import fit_calibration
from derm.decisions.outcome import DecideParams, outcomes
from derm.embedding.features import Features, read_features
from derm.errors import UserError
from derm.files import read_csv
from derm.heads.params import HeadParams
from derm.heads.predict import image_logits
from derm.image_table import read_images
from derm.losses import LossParams
from derm.params import load
from derm.seeds import derived
from derm.task import Task, TaskParams, make_task
from derm.training.fit import TrainingSections, fit_head, is_seeded
from derm.training.params import TrainParams

# Predictions are stored with six decimals; a difference above this is another model.
SAME = 2e-6


@dataclass(frozen=True)
class Experiment:
    """What one experiment was trained on, and what it predicted.

    part: the part that is looked at, `val` or the fold's `test`; predictions: its table, as `evaluate` wrote it.
    """

    name: str
    sections: TrainingSections
    calibrate: CalibrateParams
    decide: DecideParams
    conformal: ConformalParams
    task: Task
    features: Features
    split: pd.DataFrame
    images: pd.DataFrame
    part: str
    predictions: pd.DataFrame

    @property
    def seeded(self) -> bool:
        """Whether another seed would give another head."""
        return is_seeded(self.sections)

    def predict(self, number: int) -> pd.DataFrame:
        """Predictions of the head trained from the `number`-th seed; number 0 is the experiment's own.

        Columns: `image_id, group, target`, and what `outcomes` gives. Every seed is calibrated for itself.
        """
        train = self.sections.train
        seed = train.seed if number == 0 else derived(train.seed, number)
        sections = self.sections.model_copy(update={"train": train.model_copy(update={"seed": seed})})
        head = fit_head(sections, self.features, self.split, self.images, self.task).head
        rows = {
            part: self.split[self.split["part"] == part].merge(self.images, on="image_id", suffixes=("", "_of_image"))
            for part in ("calibration", self.part)
        }
        logits = {part: image_logits(head, head.inputs(self.features, table)) for part, table in rows.items()}
        calibration = fit_calibration(
            logits["calibration"],
            rows["calibration"],
            self.split,
            self.task,
            self.calibrate,
            self.decide,
            self.conformal,
        )
        told = outcomes(logits[self.part], calibration)
        return pd.concat([rows[self.part][["image_id", "group", "target"]], told], axis=1)

    def is_what_it_was(self, again: pd.DataFrame) -> bool:
        """Whether the head trained again from its own seed predicts what the experiment's did, and is told alike."""
        columns, told = [f"p_{name}" for name in self.task.classes], ["predicted", "decision", "flag"]
        stored = self.predictions.set_index("image_id")
        other = again.set_index("image_id").reindex(stored.index)
        near = (stored[columns] - other[columns]).abs() < SAME
        return bool(near.to_numpy().all() and (stored[told] == other[told]).to_numpy().all())


@contextmanager
def opened(name: str, part: str) -> Iterator[Experiment]:
    """An experiment or git revision with all that its head was trained on, from git and DVC's cache; its tokens, if
    there are any, are there until the context ends. UserError if there is none of this name, or its data are gone."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        try:
            _fetch(name, place)
            experiment = _read(name, part, place)
        except UserError as error:
            raise UserError(f"{name}: {str(error).replace(f'{place}/', '')}") from None
        yield experiment


def _read(name: str, part: str, place: Path) -> Experiment:
    """From a folder that holds what `_fetch` puts there."""
    params = place / "params.yaml"
    images = read_images(place / "data/prepared/images.csv")
    return Experiment(
        name=name,
        sections=TrainingSections(
            head=load("head", HeadParams, params),
            loss=load("loss", LossParams, params),
            train=load("train", TrainParams, params),
        ),
        calibrate=load("calibrate", CalibrateParams, params),
        decide=load("decide", DecideParams, params),
        conformal=load("conformal", ConformalParams, params),
        task=make_task(images, load("task", TaskParams, params)),
        features=read_features(place / "data/features"),
        split=read_csv(place / "data/split/split.csv", target=int),
        images=images,
        part=part,
        predictions=read_predictions(place / f"data/predictions/{part}.csv"),
    )


def read_predictions(path: Path) -> pd.DataFrame:
    """A table that `evaluate` wrote, with numbers as numbers; `flag` stays text if there is no positive class."""
    table = read_csv(path, target=int, predicted=int, decision=int)
    probabilities = [column for column in table.columns if column.startswith("p_")]
    table = table.astype(dict.fromkeys(probabilities, float))
    return table if (table["flag"] == "").any() else table.astype({"flag": int})


def _fetch(name: str, place: Path) -> None:
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    try:
        files = DVCFileSystem(str(Path.cwd()), rev=name)
        wanted = ["params.yaml", "data/prepared/images.csv", "data/split/split.csv", "data/features/rows.csv"]
        wanted += ["data/features/features.safetensors", "data/predictions/val.csv", "data/predictions/test.csv"]
        if files.exists("data/features/tokens.safetensors"):
            wanted.append("data/features/tokens.safetensors")
        for path in wanted:
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            files.get(path, str(place / path))
    except (DvcException, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"not an experiment or revision whose results are here ({reason}): see `dvc exp list`, or run `dvc pull`"
        ) from None
