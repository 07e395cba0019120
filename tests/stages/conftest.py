"""A prepared dataset, and a copy of it for each test that runs stages on it."""

import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages import adapt, prepare, prepare_external, split
from tests.closure import ROOT
from tests.dataset import make_folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which a small dataset is prepared and split."""
    folder = tmp_path_factory.mktemp("prepared")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"]["root"] = "data/own"
    params["train"]["l2"] = [0.3]
    params["evaluate"]["resamples"] = 100
    params["explain"] |= {"per_sheet": 2, "gallery": 2, "localisation": 4}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    make_folder(folder / "data/own", lesions_per_class=12)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DVC_ROOT", str(folder))
        for stage in (prepare, prepare_external, split, adapt):
            stage.main()
    return folder


@pytest.fixture
def prepared_workspace(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it as the current folder, where nothing can reach a network."""

    connect = socket.socket.connect

    def refuse(asking: socket.socket, address: Any) -> None:
        if asking.family == socket.AF_UNIX:  # processes that read images hand them over so
            return connect(asking, address)
        raise AssertionError(f"the network was asked for {address}")

    folder = tmp_path / "workspace"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    monkeypatch.setenv("DERM_DEVICE", "cpu")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    return folder
