"""A folder that looks like this repository after `dvc repro`, as small as the report can be made from."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from derm.files import write_tensors
from derm.report.artefacts import Artefacts, Shown

# A class of a hostile dataset: its name is markup in HTML and in Markdown.
HOSTILE = "<b>n|v</b>*`"
CLASSES = ["mel", HOSTILE]
NUMBERS = {
    "accuracy": (0.75, 0.6, 0.9),
    "macro_auc": (0.912345, 0.85, 0.95),
    "ece": (0.05, 0.04, 0.1),
    "melanoma.sensitivity": (0.8, 0.5, 0.95),
}
COUNTS = {"train": 6, "val": 2, "calibration": 2, "test": 4}


class Folder:
    """Writes what the stages would have left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def json(self, name: str, content: Any) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))

    def csv(self, name: str, rows: list[dict]) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(path, index=False)

    def artefacts(self) -> Artefacts:
        """As the stage reads them."""
        sections = {
            "task": {"target": "diagnosis"},
            "split": {"scheme": "holdout", "seed": 1, "keep": "secret/split.csv"},
            "loss": {"gamma": 2.0, "tau": 0.0, "class_weights": "none"},
            "train": {"seed": 1, "sampling": "natural", "l2": [1.0, 0.1]},
            "evaluate": {"resamples": 1000, "seed": 1, "bins": 15},
        }
        return Artefacts({name: Shown.model_validate(section) for name, section in sections.items()})


def part(images: int) -> dict[str, Any]:
    half = {"mel": images // 2, HOSTILE: images // 2}
    return {"images": images, "groups": images, "images_by_class": half, "groups_by_class": half}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """The present folder from now on."""
    monkeypatch.chdir(tmp_path)
    made = Folder(tmp_path)
    made.json(
        "metrics/prepare.json",
        {
            "listed": 15,
            "images": 14,
            "rejected": 1,
            "groups": 14,
            "pairs": {"bytes": 0, "near_identical": 1, "published": 0},
            "pairs_that_join_lesions": 0,
            "synthetic": True,
            "without_lesion_id": 0,
        },
    )
    made.json("metrics/prepare_external.json", {})
    made.json("metrics/split.json", {"digest": "f" * 64} | {name: part(count) for name, count in COUNTS.items()})
    made.json("metrics/adapt.json", {"method": "none"})
    made.json(
        "metrics/train_head.json",
        {"best_step": 3, "steps": 5, "val_loss": 0.5, "train_loss": 0.25, "fit": "fits", "l2": 0.1},
    )
    made.json(
        "metrics/calibrate.json",
        {
            "method": "temperature",
            "images": 2,
            "groups": 2,
            "flag_positives": 1,
            "before": {"ece": 0.2},
            "after": {"ece": 0.1, "ece_if_perfect": 0.08},
            "conformal": {name: {"lesions": 1, "missing": 8} for name in CLASSES},
        },
    )
    made.json("metrics/evaluate.json", {"test": {"accuracy": 0.75, "macro_auc": 0.912345}})
    rows = [
        {"part": which, "metric": metric, "value": value / by, "low": low / by, "high": high / by}
        for which, by in (("val", 2), ("test", 1))
        for metric, (value, low, high) in NUMBERS.items()
    ]
    made.csv("plots/evaluate/intervals.csv", rows)
    measures = ("sensitivity", "specificity", "precision", "f1", "auc")
    of_class = {f"{measure}{end}": 0.5 for measure in measures for end in ("", "_low", "_high")}
    made.csv(
        "plots/evaluate/per_class_test.csv",
        [{"diagnosis": name, "images": 2, "groups": 2} | of_class for name in CLASSES],
    )
    made.csv(
        "plots/evaluate/sets_test.csv",
        [
            {"by": "class", "name": name, "lesions": 2, "coverage": 1.0, "low": 0.3, "high": 1.0, "size": 1.5}
            for name in CLASSES
        ],
    )
    distributions = [("age", "50-59", 14), ("source", "synthetic", 14), ("confirmation", "histo", 14)]
    made.csv(
        "plots/prepare/distributions.csv",
        [
            {"field": field, "value": value, "diagnosis": "mel", "images": images, "lesions": images}
            for field, value, images in distributions
        ],
    )
    made.csv(
        "plots/prepare/missing.csv",
        [{"field": field, "diagnosis": "ALL", "images": 14, "missing": 3} for field in ("age", "sex", "body_site")],
    )
    names = [f"i{number}" for number in range(14)]
    images = pd.DataFrame({"image_id": names, "group": names, "age": "50", "sex": "female", "body_site": ""})
    images = images.assign(confirmation="histo", width=9, height=9)
    made.csv("data/prepared/images.csv", images.to_dict("records"))
    parts = [name for name, count in COUNTS.items() for _ in range(count)]
    made.csv("data/split/split.csv", [{"image_id": n, "part": p} for n, p in zip(names, parts, strict=True)])
    (made.folder / "data/features").mkdir()
    (made.folder / "data/features/features.safetensors").write_bytes(b"features")
    transform = {"size": [9, 9], "resize": "squash", "interpolation": "bilinear"}
    encoder = {"encoder": "filters", "pooling": "own", "precision": "float32", "weights": "none"}
    made.json(
        "models/classifier/classifier.json",
        {
            "encoders": [{"weights": "none", "revision": ""}],
            "features": {"encoders": [encoder | {"transform": transform}], "views": ["identity"]},
            "synthetic": True,
        },
    )
    made.json(
        "models/classifier/calibration.json",
        {
            "classes": CLASSES,
            "positive": "mel",
            "calibrator": {"method": "temperature", "temperature": 1.5},
            "rule": "prior",
            "tau": 1.0,
            "priors": [0.5, 0.5],
            "prevalence": [0.5, 0.5],
            "costs": [[0.0, 1.0], [1.0, 0.0]],
            "threshold": 0.25,
            "target_sensitivity": 0.95,
            "conformal": {
                "alpha": 0.1,
                "thresholds": [1.0, 1.0],
                "marginal": 1.0,
                "lesions": [1, 1],
                "missing": [8, 8],
            },
        },
    )
    shape = {"channels": 8, "members": 1, "encoding": None, "params": {"type": "flat", "dropout": 0.2}}
    write_tensors(Path("models/classifier/head.safetensors"), {"w": np.zeros(2, dtype=np.float32)}, shape)
    return made


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A PNG that fits beside another."""
    path = tmp_path / "picture.png"
    Image.new("RGB", (600, 30), "brown").save(path)
    return path
