"""What the benchmarks measure, where it is more than a clock."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks.out_of_distribution import METHODS, alarms, held_out, redrawn
from benchmarks.strange_pictures import blank_frames, noises, tiles
from benchmarks.uncertainty import MEASURES, areas, scores, trained_without
from derm.embedding.features import Features
from derm.out_of_distribution.fit import OodParams
from derm.params import load
from derm.task import TaskParams, make_task
from derm.training.fit import TrainingSections
from derm.uncertainty import UncertaintyParams
from tests.closure import ROOT
from tests.derm.heads.data import head_params, table
from tests.derm.training.data import loss_params, params

CLASSES = ["bkl", "mel", "nv"]


@pytest.mark.parametrize("left_out", CLASSES)
def test_every_class_can_be_left_out_and_the_unknown_is_told(
    left_out: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also the positive one; its images lie half-way between the two others: every draw of dropout is undecided there,
    so that entropy tells them, and mutual information does not."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    _, targets = table(300, 1)
    place = np.zeros(3)
    place[[CLASSES.index(name) for name in CLASSES if name != left_out]] = (-3, 3)
    values = place[targets][:, None] + np.random.default_rng(1).normal(size=(300, 3))
    ids = [f"i{number:03d}" for number in range(300)]
    images = pd.DataFrame({"image_id": ids, "diagnosis": np.array(CLASSES)[targets]})
    split = pd.DataFrame({"image_id": ids, "target": targets, "part": np.where(np.arange(300) % 3, "train", "val")})
    head = head_params(type="mlp", hidden=[8], dropout=0.5)
    sections = TrainingSections(
        head=head, loss=loss_params(), train=params(epochs=20, batch_size=20, learning_rate=0.02)
    )
    features, task = Features(values.astype(np.float16)[:, None], ids, {}), make_task(images, load("task", TaskParams))
    trained, classes = trained_without(left_out, sections, features, split, images, task)
    assert classes == [name for name in CLASSES if name != left_out]
    asked, val = UncertaintyParams(passes=20, seed=1), split[split["part"] == "val"]
    out = val["target"] == CLASSES.index(left_out)
    known, unknown = (scores(trained, trained.inputs(features, val[rows]), asked, classes) for rows in (~out, out))
    assert ((known["unsure"] >= 0) & (known["unsure"] <= 0.5)).all()
    told = areas(known, unknown)
    assert set(told) == set(MEASURES)
    assert min(told["entropy"], told["aleatoric"], told["unsure"]) > 0.9 and told["epistemic"] < 0.5


@pytest.mark.parametrize("name", METHODS)
def test_a_class_that_was_left_out_is_told_where_it_lies_apart(name: str) -> None:
    """The third class is far from the two others, which lie in one place."""
    generator, targets = np.random.default_rng(1), np.arange(300) % 3
    values = generator.normal(size=(300, 1, 4)) + 20 * (targets == 2)[:, None, None]
    half = np.arange(300) < 150
    known, of = {"train": values[half], "val": values[~half]}, {"train": targets[half], "val": targets[~half]}
    found = held_out(METHODS[name], known, of, ["a", "b", "far"], ["val"])["val"]
    assert found["far"] == 1 and abs(found["a"] - 0.5) < 0.3 and abs(found["b"] - 0.5) < 0.3


def test_false_alarms_are_counted_by_image_and_by_lesion() -> None:
    rows = pd.DataFrame({"lesion_id": ["a", "a", "a", "b"], "group": "g"})
    assert alarms(np.array([3.0, 3.0, 3.0, 1.0]), 2.0, rows, 1) == {"images": 0.75, "lesions": 0.5}


def test_dealt_out_again_false_alarms_are_as_often_as_asked_for() -> None:
    lesions = {part: [f"{part}{number}" for number in range(399)] for part in ("calibration", "test")}
    parts = {part: pd.DataFrame({"lesion_id": names, "group": names}) for part, names in lesions.items()}
    scores = {part: np.random.default_rng(index).normal(size=399) for index, part in enumerate(parts)}
    told = redrawn(scores, parts, OodParams(share=0.95, seed=1))
    assert told["low"] < 0.05 < told["high"] and told["mean"] == pytest.approx(0.05, abs=0.006)


def test_strange_pictures_are_as_large_as_the_smallest_published_ones() -> None:
    large, small = Image.new("RGB", (300, 200)), Image.new("RGB", (100, 200))
    pictures = [*tiles([small, large])[:3], *blank_frames().values(), *(kind[0] for kind in noises().values())]
    assert {picture.size for picture in pictures} == {(200, 150)} and {picture.mode for picture in pictures} == {"RGB"}
