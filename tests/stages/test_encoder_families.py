"""A tiny random checkpoint of each family of encoders goes through the whole chain, with the network cut off."""

import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import timm
import torch
import yaml
from PIL import Image
from timm.models import save_for_hf

from derm.classifier import Classifier
from derm.embedding.features import read_features
from derm.folder_digest import folder_digest
from derm.images import decode
from stages import (
    calibrate,
    evaluate,
    explain,
    featurize,
    package,
    prepare,
    prepare_external,
    report,
    split,
    train_head,
)
from tests.closure import ROOT
from tests.dataset import make_folder
from tests.derm.encoders.tiny import FAMILIES

# How `encoder.name` calls a folder of each family.
NAMES = {"gemma3": "medgemma-4b", "siglip": "medsiglip-448"}
CHECKPOINTS = ["timm-cnn", "timm-vit", "gemma3", "siglip", "dinov2", "vit", "convnext"]
SHEETS = ("sure_and_right", "sure_and_wrong", "missed")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which a small dataset is prepared and split."""
    folder = tmp_path_factory.mktemp("prepared")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"]["root"] = "data/own"
    params["train"]["l2"] = [0.3]
    params["evaluate"]["resamples"] = 100
    params["explain"]["per_sheet"] = 2
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    make_folder(folder / "data/own", lesions_per_class=12)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DVC_ROOT", str(folder))
        for stage in (prepare, prepare_external, split):
            stage.main()
    return folder


@pytest.fixture
def workspace(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it as the current folder, where nothing can reach a network."""

    def refuse(*given: Any) -> None:
        raise AssertionError(f"the network was asked for {given[1:]}")

    folder = tmp_path / "workspace"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    monkeypatch.setenv("DERM_DEVICE", "cpu")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    return folder


def write_checkpoint(checkpoint: str, folder: Path) -> str:
    """Write it, and return its `encoder.name`."""
    torch.manual_seed(3)
    if checkpoint.startswith("timm"):
        name = {"timm-cnn": "test_resnet", "timm-vit": "test_vit"}[checkpoint]
        save_for_hf(timm.create_model(name), str(folder), safe_serialization=True)
        return f"timm/{name}"
    FAMILIES[checkpoint](folder)
    return NAMES.get(checkpoint, f"hf/nobody/{checkpoint}")


def run_chain(encoder: dict[str, Any], features: dict[str, Any] | None = None) -> None:
    """From featurize to report, with these params."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["encoder"] |= encoder
    params["features"] |= features or {}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    for stage in (featurize, train_head, calibrate, evaluate, explain, package, report):
        stage.main()


def check_results() -> None:
    """Maps were drawn, and the package alone tells what the chain told."""
    coloured = [np.ptp(np.asarray(Image.open(f"plots/explain/{sheet}.png")).astype(int), axis=2) for sheet in SHEETS]
    assert max(int((colours > 60).sum()) for colours in coloured) > 500
    told = pd.read_csv("data/predictions/test.csv").set_index("image_id")
    images = pd.read_csv("data/prepared/images.csv").set_index("image_id").loc[told.index]
    probabilities = [name for name in map(str, told) if name.startswith("p_")]
    again = Classifier.load().predict([decode(Path(path).read_bytes()) for path in images["path"]])
    np.testing.assert_allclose(again[probabilities], told[probabilities], atol=1e-4)
    assert list(again["decision"]) == list(told["decision"])


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_a_checkpoint_goes_through_the_whole_chain(checkpoint: str, workspace: Path) -> None:
    folder = workspace / "weights"
    name = write_checkpoint(checkpoint, folder)
    run_chain({"name": name, "weights": str(folder), "weights_sha256": folder_digest(folder)})
    check_results()
    assert name in Path("plots/report/index.html").read_text()
    # where the weights lay is no part of what is tracked
    for path in (path for top in ("data/features", "models", "metrics") for path in Path(top).rglob("*.*")):
        assert str(folder).encode() not in path.read_bytes(), path


def test_joined_encoders_with_views_go_through_the_whole_chain(workspace: Path) -> None:
    """Their features stand side by side, as each alone gave them."""
    run_chain({"name": "timm/test_resnet", "weights": "random"}, {"views": 2})
    alone = read_features()
    run_chain({"name": "colour-texture+timm/test_resnet"})
    joined = read_features()
    first = joined.manifest["dims"][0]
    assert joined.manifest["dims"] == [714, alone.pooled.shape[2]]
    np.testing.assert_array_equal(joined.pooled[:, :, first:], alone.pooled)
    check_results()
