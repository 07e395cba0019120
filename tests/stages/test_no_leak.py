"""Promise 2 and 6: nothing is fitted on more than its own part, and the test part is not touched before evaluate."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from derm.embedding.features import Features, read_features, write_features
from derm.files import read_tensors
from stages import adapt, calibrate, featurize, prepare, prepare_external, split, train_head
from tests.closure import ROOT
from tests.dataset import make_folder

HEAD, CALIBRATION = Path("models/head/head.safetensors"), Path("models/calibration/head.json")
DISTANCE = Path("models/calibration/ood.safetensors")


@pytest.fixture
def fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """A workspace in which the chain ran up to calibrate on a small dataset; returns its split."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"]["root"] = "data/own"
    params["train"]["l2"] = [1.0, 0.1]
    Path("params.yaml").write_text(yaml.safe_dump(params))
    make_folder(tmp_path / "data/own", lesions_per_class=12)
    for stage in (prepare, prepare_external, split, adapt, featurize, train_head, calibrate):
        stage.main()
    return pd.read_csv("data/split/split.csv")


def scramble(parts: pd.Series, chosen: list[str], labels: bool) -> None:
    """Replace features (and labels) of all rows in the chosen parts by nonsense."""
    rows = parts.isin(chosen).to_numpy()
    features = read_features()
    pooled = features.pooled.copy()
    pooled[rows] = np.random.default_rng(3).normal(50, 9, pooled[rows].shape)
    write_features(Features(pooled, features.image_ids, features.manifest))
    if labels:
        table = pd.read_csv("data/split/split.csv")
        table.loc[rows, "target"] = (table.loc[rows, "target"] + 1) % 7
        table.to_csv("data/split/split.csv", index=False)


def test_the_test_part_does_not_reach_head_or_calibration(fitted: pd.DataFrame) -> None:
    before = [path.read_bytes() for path in (HEAD, CALIBRATION, DISTANCE)]
    scramble(fitted["part"], ["test"], labels=True)
    train_head.main()
    calibrate.main()
    assert [path.read_bytes() for path in (HEAD, CALIBRATION, DISTANCE)] == before


def test_the_calibration_part_does_not_reach_the_head(fitted: pd.DataFrame) -> None:
    before = HEAD.read_bytes(), CALIBRATION.read_bytes()
    scramble(fitted["part"], ["calibration"], labels=True)
    train_head.main()
    calibrate.main()
    assert HEAD.read_bytes() == before[0]
    assert CALIBRATION.read_bytes() != before[1]


def test_means_and_scales_come_from_the_training_part(fitted: pd.DataFrame) -> None:
    train = read_features().pooled[(fitted["part"] == "train").to_numpy(), 0].astype(float)
    scramble(fitted["part"], ["val", "calibration", "test"], labels=True)
    train_head.main()
    tensors, _ = read_tensors(HEAD)
    np.testing.assert_allclose(tensors["members.0.mean"], train.mean(axis=0), rtol=1e-5, atol=1e-6)


def test_how_a_diagnosis_was_confirmed_changes_no_prediction(fitted: pd.DataFrame) -> None:
    """`dx_type` gives the diagnosis away: it may stand in tables and must not reach the features or the head."""
    before = HEAD.read_bytes(), Path("data/features/features.safetensors").read_bytes()
    path = Path("data/own/HAM10000_metadata.csv")
    path.write_text(path.read_text().replace("histo", "follow_up"))
    for stage in (prepare, prepare_external, split, adapt, featurize, train_head):
        stage.main()
    assert (HEAD.read_bytes(), Path("data/features/features.safetensors").read_bytes()) == before
