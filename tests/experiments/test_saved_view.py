"""The view that MLflow's page of runs opens with."""

import base64
import json
import zlib

import pytest

from experiments.saved_view import IDENTITY, NAME, TAG, write_view
from experiments.store import StoreUnavailableError, open_store
from tests.experiments.conftest import Workspace
from tests.experiments.test_leaderboard import Laboratory


@pytest.fixture
def laboratory(stored: Workspace, monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    return Laboratory(stored, monkeypatch)


def _state(workspace: Workspace) -> dict:
    experiment = workspace.client().get_experiment_by_name("skin-lesions")
    assert experiment is not None
    envelope = json.loads(experiment.tags[TAG + IDENTITY])
    assert envelope["name"] == NAME
    kind, packed = envelope["state"].split(";")
    assert kind == "deflate"
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def test_columns_are_what_differs_and_what_is_chosen_by(laboratory: Laboratory) -> None:
    laboratory.log("one", 0.8, gamma="2.0")
    laboratory.log("two", 0.7, gamma="1.0")
    page = write_view(open_store(["skin-lesions"]), "skin-lesions")
    state = _state(laboratory.workspace)
    assert state["selectedColumns"] == [
        "params.`loss.gamma`",
        "metrics.`val.macro_auc`",
        "metrics.`val.nll`",
        "attributes.`Models`",
    ]
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`val.macro_auc`", False)
    assert page.endswith(f"&viewStateShareKey={IDENTITY}")
    charts = [(chart["type"], chart["metricKey"]) for chart in state["compareRunCharts"]]
    assert charts[:2] == [("BAR", "val.macro_auc"), ("BAR", "val.nll")]
    assert charts[2:4] == [("LINE", "train_head/val_loss"), ("LINE", "train_head/train_loss")]
    known = {section["uuid"] for section in state["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} == known


def test_view_follows_the_runs_and_stays_one(laboratory: Laboratory) -> None:
    store = open_store(["skin-lesions"])
    write_view(store, "skin-lesions")
    assert _state(laboratory.workspace)["orderByKey"] == "attributes.start_time"  # nothing to sort by yet
    laboratory.log("one", 0.8)
    write_view(store, "skin-lesions")
    assert _state(laboratory.workspace)["orderByKey"] == "metrics.`val.macro_auc`"
    experiment = store.client.get_experiment(store.experiments["skin-lesions"])
    assert [tag for tag in experiment.tags if tag.startswith(TAG)] == [TAG + IDENTITY]


def test_store_in_trouble_is_one_line(laboratory: Laboratory) -> None:
    store = open_store(["skin-lesions"])
    laboratory.workspace.database.write_bytes(b"no database " * 1000)
    with pytest.raises(StoreUnavailableError, match=r"^MLflow's store sqlite:///.* cannot be used: "):
        write_view(store, "skin-lesions")
