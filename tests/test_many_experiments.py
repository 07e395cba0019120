"""Twenty experiments in a row, with a tracking server that is gone for half of them. DERM_LONG=1: 15 minutes."""

import base64
import json
import os
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clone import Clone, agreeing, runs
from tests.servers import free_port, model_server, tracking_server

pytestmark = [
    pytest.mark.chain,
    pytest.mark.skipif(
        "DERM_LONG" not in os.environ, reason="NOT RUN: a quarter of an hour long; DERM_LONG=1 runs them"
    ),
]

NO_EFFECT = [{"head.dropout": dropout} for dropout in ("0.1", "0.3", "0.4", "0.6")]
"""The default head is linear; no value here or below is the one that params.yaml has."""
CHANGES = [
    *({"decide.tau": tau} for tau in ("0", "0.25", "0.5", "0.75")),
    *NO_EFFECT,
    *({"calibrate.method": method} for method in ("none", "temperature", "platt", "isotonic")),
    *({"loss.gamma": gamma} for gamma in ("0.5", "1", "2", "3")),
    *({"decide.sensitivity": share} for share in ("0.8", "0.85", "0.9", "0.99")),
]
FIRST_WITHOUT, LAST_WITHOUT = 5, 14
"""The server is gone between these experiments."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("twenty")


@pytest.fixture(scope="module")
def clone(place: Path) -> Clone:
    made = Clone(place / "repository")
    made.dvc("repro")
    return made


@pytest.fixture
def server(place: Path) -> Iterator[str]:
    """The same store again in each test."""
    with tracking_server(place, place / "served.db", free_port()) as address:
        yield address


def _run(clone: Clone, index: int, store: str, name: str = "") -> str:
    clone.git("checkout", "-q", "HEAD", "--", ".")
    [(key, value)] = CHANGES[index].items()
    return clone.dvc("exp", "run", "-S", f"{key}={value}", "-n", name or f"number-{index}", MLFLOW_TRACKING_URI=store)


def test_all_are_there_once_the_server_is_back(clone: Clone, place: Path) -> None:
    port = free_port()
    store = f"http://127.0.0.1:{port}"
    with tracking_server(place, place / "served.db", port):
        for index in range(FIRST_WITHOUT):
            _run(clone, index, store)
    for index in range(FIRST_WITHOUT, LAST_WITHOUT):
        said = _run(clone, index, store)
        assert re.search(rf"warning: {index - FIRST_WITHOUT + 1} record\(s\) kept in .* for the next `track`", said)
    with tracking_server(place, place / "served.db", port):
        for index in range(LAST_WITHOUT, len(CHANGES)):
            assert "warning" not in _run(clone, index, store)
        found = runs(clone, store)
        assert len(agreeing(clone, found)) == len(found) == len(CHANGES) == 20
        for index in (1, 6, 17):
            _run(clone, index, store, f"again-{index}")
        assert len(runs(clone, store)) == 20


def test_the_rest_works_by_the_address_alone(clone: Clone, server: str, tmp_path: Path) -> None:
    """After the experiments above."""

    def experiments(*arguments: str) -> str:
        done = clone.python("-m", "experiments", *arguments, MLFLOW_TRACKING_URI=server)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert len(re.findall(r"^[* ] +\d+  ", experiments("leaderboard"), flags=re.MULTILINE)) == 20
    assert "is version 1 of skin-lesions and its champion" in experiments("promote", "number-12")
    assert re.search(rf"the runs are on a server: {server}/#/experiments/\d+/runs\?", experiments("ui"))
    assert not (clone.folder / "mlflow.db").exists()
    with model_server("models:/skin-lesions@champion", server, tmp_path) as address:
        picture = next((clone.folder / "data/sample").rglob("*.jpg")).read_bytes()
        body = json.dumps({"dataframe_records": [{"image": base64.b64encode(picture).decode()}]}).encode()
        asked = urllib.request.Request(address, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked) as answer:
            [told] = json.load(answer)["predictions"]
    assert sum(value for name, value in told.items() if name.startswith("p_")) == pytest.approx(1, abs=1e-6)
