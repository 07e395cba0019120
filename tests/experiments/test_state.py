"""The key of a state, and what its stages did."""

import math
from datetime import date

import pytest

from derm.errors import UserError
from experiments.state import (
    StageRow,
    events_of_this_run,
    flatten,
    lock_outs,
    read_metrics,
    read_state,
    stage_table,
    state_key,
)
from tests.experiments.conftest import LOCK, Workspace


@pytest.fixture(autouse=True)
def _inside(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace.folder)


def test_key_is_the_same_for_changed_code_and_for_track_itself(workspace: Workspace) -> None:
    before = read_state().key
    workspace.replace("dvc.lock", "md5: 0123456789abcdef", "md5: fedcba9876543210")
    workspace.write("dvc.lock", (workspace.folder / "dvc.lock").read_text() + "    outs: [{path: x, md5: y}]\n")
    assert read_state().key == before


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("params.yaml", "gamma: 0.0", "gamma: 2.0"),
        ("params.yaml", "model_args: {}", "model_args: {pad_type: same}"),
        ("dvc.lock", "11111111111111111111111111111111.dir", "41111111111111111111111111111111.dir"),
        ("dvc.lock", "path: plots/evaluate", "path: plots/elsewhere"),
    ],
)
def test_key_changes_with_a_param_and_with_an_out(workspace: Workspace, path: str, old: str, new: str) -> None:
    before = read_state().key
    workspace.replace(path, old, new)
    assert read_state().key != before


def test_key_takes_any_yaml_value() -> None:
    assert state_key({"a": math.inf, "b": date(2020, 1, 1)}, {}) != state_key({"a": 1.0, "b": None}, {})


def test_digest_of_digits_alone_stays_text() -> None:
    assert lock_outs("stages: {a: {outs: [{path: p, md5: 00012345}]}}") == {"a": {"p": "00012345"}}


@pytest.mark.parametrize("damaged", ["stages: [", "stages: {a: {outs: [{path: p}]}}", "just text", ""])
def test_damaged_lock_is_one_line(damaged: str) -> None:
    with pytest.raises(UserError, match=r"dvc\.lock is damaged"):
        lock_outs(damaged)


def test_missing_lock_is_one_line(workspace: Workspace) -> None:
    (workspace.folder / "dvc.lock").unlink()
    with pytest.raises(UserError, match="run `dvc repro`"):
        read_state()


def test_flatten_keeps_empty_mappings() -> None:
    assert flatten({"a": {"b": {}, "c": [1]}, "d": None}) == {"a.b": {}, "a.c": [1], "d": None}


def test_metrics_are_numbers_with_headline_names_left_alone() -> None:
    assert read_metrics() == {
        "val.macro_auc": 0.91,
        "val.melanoma.auc": 0.88,
        "test.macro_auc": 0.89,
        "test.melanoma.auc": 0.85,
        "split.images": 900.0,
        "split.train.images": 1,
    }


def _event(stage: str, folder: str = "/a", experiment: str = "", event: str = "finished") -> dict:
    return {"stage": stage, "folder": folder, "experiment": experiment, "event": event, "seconds": 1.5}


def test_this_run_starts_after_the_last_end_of_track_in_this_folder() -> None:
    events = [
        _event("featurize"),
        _event("track"),
        _event("evaluate"),
        _event("featurize", folder="/b"),
        _event("track", folder="/b"),
        _event("calibrate", experiment="other"),
        _event("track", event="started"),
    ]
    found = events_of_this_run(events, "/a", "")
    assert [(event["stage"], event["event"]) for event in found] == [
        ("evaluate", "finished"),
        ("track", "started"),
    ]


def test_stage_ran_if_it_finished_in_this_run_else_restored() -> None:
    events = [_event("evaluate"), _event("featurize", event="failed")]
    rows = stage_table(lock_outs(LOCK), events)
    assert [(row.stage, row.how, row.seconds) for row in rows] == [
        ("featurize", "restored", None),
        ("evaluate", "ran", 1.5),
        ("track", "restored", None),
    ]
    assert len({row.digest for row in rows}) == len(rows)
    assert StageRow("a", "", 0.0).how == "ran"
