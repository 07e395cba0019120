"""Folders as `dvc repro` would leave them, of 300 invented images and features: what a comparison starts from."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from derm.appearance import MEASURES
from derm.embedding.features import Features, write_features
from derm.evaluation import outside, sets
from derm.files import file_digest, write_csv
from derm.image_table import COLUMNS
from derm.params import read_all
from stages import calibrate, evaluate, train_head

REPOSITORY = Path(__file__).resolve().parents[2]
COLOURS = {"bkl": (190, 150, 90), "mel": (90, 50, 40), "nv": (150, 90, 70)}
CLASSES = list(COLOURS)
LESIONS = 200
# Of each class every fifth lesion, and so on; the rest trains.
PARTS = ("test", "val", "calibration", "train", "train")
SMALL = {
    "head": {"hidden": [8], "metadata_hidden": [4]},
    "train": {"epochs": 5, "batch_size": 32, "learning_rate": 0.03, "warmup_epochs": 0, "l2": [0.3, 0.1, 0.03]},
    "evaluate": {"resamples": 100},
}
# The sections that are read here: to parse all of them takes longer than to train.
READ = (
    *("task", "split", "head", "loss", "train", "calibrate", "decide", "conformal", "quality", "ood"),
    *("uncertainty", "evaluate", "compare"),
)
Changes = dict[str, dict[str, Any]]


def params(changes: Changes) -> dict[str, Any]:
    """Of the repository's params.yaml what is read here, with small numbers, and then with `changes`."""
    content = read_all(REPOSITORY / "params.yaml")
    content = {section: content[section] for section in READ}
    for section, values in (*SMALL.items(), *changes.items()):
        content[section] |= values
    return content


def write_data(folder: Path) -> None:
    """Photographs, image table and features: two images of every other lesion, classes that overlap."""
    generator = np.random.default_rng(4)
    rows, features = [], []
    (folder / "photographs").mkdir(parents=True)
    for lesion in range(LESIONS):
        target = int(generator.choice(len(CLASSES), p=(0.3, 0.2, 0.5)))
        centre = 0.7 * np.eye(10)[target] + generator.normal(0, 0.6, 10)
        for photograph in range(1 + lesion % 2):
            name, path = f"i{lesion:03d}{photograph}", f"photographs/i{lesion:03d}{photograph}.jpg"
            Image.new("RGB", (40 + 2 * photograph, 30), COLOURS[CLASSES[target]]).save(folder / path)
            known = {"age": str(30 + 15 * target), "sex": "male" if lesion % 3 else "", "body_site": "back"}
            described = {"image_id": name, "path": path, "diagnosis": CLASSES[target], "source": "invented"}
            whose = {"lesion_id": f"l{lesion:03d}", "group": f"l{lesion:03d}"}
            size = {"width": 40 + 2 * photograph, "height": 30, "sha256": file_digest(folder / path)}
            rows.append(described | whose | known | size)
            features.append(centre + generator.normal(0, 0.4, 10))
    table = pd.DataFrame(rows).reindex(columns=COLUMNS)
    write_csv(folder / "data/prepared/images.csv", table)
    looks = pd.DataFrame(generator.normal(50, 5, (len(table), len(MEASURES))), columns=pd.Index(MEASURES))
    write_csv(folder / "data/prepared/appearance.csv", pd.concat([table["image_id"], looks], axis=1))
    write_csv(folder / "data/external/sets.csv", pd.DataFrame({"name": []}))
    pooled = np.array(features, dtype=np.float16)[:, None]
    write_features(Features(pooled, list(table["image_id"]), {"encoders": ["invented"]}), folder / "data/features")


def write_split(folder: Path, fold: int) -> None:
    """Whole lesions, class by class; another fold tests other lesions."""
    images = pd.read_csv(folder / "data/prepared/images.csv", dtype=str)
    lesions = images.drop_duplicates("lesion_id")
    places = lesions.groupby("diagnosis").cumcount().to_numpy() + len(PARTS) - fold
    part = dict(zip(lesions["lesion_id"], [PARTS[place % len(PARTS)] for place in places], strict=True))
    target = images["diagnosis"].map(CLASSES.index)
    split = images[["image_id", "lesion_id", "group"]].assign(part=images["lesion_id"].map(part), fold="")
    write_csv(folder / "data/split/split.csv", split.assign(target=target))


class Trained:
    """One such folder for each set of params, with heads, calibrations and predictions that the stages made."""

    def __init__(self, root: Path) -> None:
        self._root = root
        write_data(root / "data-alone")

    def folder(self, name: str, changes: Changes, fold: int = 0) -> Path:
        """A new folder of this name, in which the three stages ran."""
        made = self._root / name
        shutil.copytree(self._root / "data-alone", made)
        write_split(made, fold)
        (made / "params.yaml").write_text(yaml.safe_dump(params(changes)), encoding="utf-8")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(made)
            patch.setenv("DVC_ROOT", str(made))
            # Nobody looks at these pictures, and to draw them takes longer than all else.
            drawn = [(train_head, "learning_curves"), (calibrate, "reliability"), (evaluate, "subgroup_figure")]
            drawn += [(evaluate, "write_pictures"), (evaluate, "write_worth"), (sets, "coverage_figure")]
            drawn += [(outside, "outside_figure")]
            drawn += [(module, "write_figure") for module in (train_head, calibrate, evaluate, sets, outside)]
            for module, name_of_function in drawn:
                patch.setattr(module, name_of_function, lambda *_: None)
            # So small that threads would only wait for each other.
            patch.setattr(train_head, "TRAINING_THREADS", 1)
            for stage in (train_head, calibrate, evaluate):
                stage.main()
        return made
