"""What the benchmarks measure, where it is more than a clock."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.uncertainty import MEASURES, areas, scores, trained_without
from derm.embedding.features import Features
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
