"""What the journal tells of running, failed and killed runs."""

import os
import platform
import subprocess
import sys
import time
from typing import Any

import pytest
from rich.console import Console

from experiments.follow import Run, duration, runs_of, spark, table_of
from tests.experiments.conftest import Workspace


@pytest.fixture(scope="module")
def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def event(kind: str, stage: str, at: float, **facts: Any) -> dict[str, Any]:
    plain = {"event": kind, "stage": stage, "time": at, "folder": "/a", "experiment": "", "process": os.getpid()}
    return plain | ({"host": platform.node()} if kind == "started" else {}) | facts


def test_each_run_has_its_state(gone: int) -> None:
    owl, cat = {"folder": "/tmp/x", "experiment": "owl"}, {"folder": "/tmp/y", "experiment": "cat"}
    events = [
        event("started", "train_head", 0),
        event("finished", "train_head", 4, seconds=4.0),
        event("started", "track", 5),
        event("started", "train_head", 6, **owl, process=gone),
        event("finished", "track", 7, seconds=2.0),
        event("step", "train_head", 8, **owl, process=gone, step=0, val_loss=0.9),
        event("started", "split", 9, **cat),
        event("failed", "split", 10, **cat, seconds=1.0, reason="split.val is 2"),
        event("started", "evaluate", 11),
        event("step", "evaluate", 12, step=3, val_loss=0.7, val_balanced_accuracy=0.5),
    ]
    runs = runs_of(events, now=15.0)
    assert [(run.name, run.how, run.stage, run.started, run.ended) for run in runs] == [
        ("", "finished", "track", 0, 7),
        ("owl", "killed", "train_head", 6, 8),
        ("cat", "failed", "split", 9, 10),
        ("", "running", "evaluate", 11, 12),
    ]
    assert runs[2].why == "split.val is 2"
    assert [run.is_over for run in runs] == [True, True, True, False]
    assert [[step["val_loss"] for step in run.steps] for run in runs] == [[], [0.9], [], [0.7]]


def test_a_killed_run_that_begins_anew_is_two(gone: int) -> None:
    events = [
        event("started", "featurize", 0, process=gone),
        event("started", "featurize", 50),
        event("finished", "featurize", 60, seconds=10.0),
    ]
    assert [(run.how, run.started) for run in runs_of(events, now=61.0)] == [("killed", 0), ("between stages", 50)]
    assert [run.how for run in runs_of(events, now=200.0)] == ["killed", "left off"]


def test_of_another_machine_nothing_is_known_to_be_killed(gone: int) -> None:
    events = [event("started", "featurize", 0, process=gone, host="another")]
    assert [run.how for run in runs_of(events, now=1.0)] == ["running"]


def test_a_curve_in_one_line() -> None:
    assert spark([0.0, 1.0, 2.0, 7.0]) == "▁▂▃█"
    assert spark([0.5, 0.5]) == "▁▁"
    assert spark(list(range(120))) == "▁▂▂▃▄▄▅▅▆▇▇█"
    assert [duration(seconds) for seconds in (0.4, 59, 185, 7385)] == ["0 s", "59 s", "3:05", "2:03:05"]


def test_the_table_shows_what_a_person_asks_for() -> None:
    steps = [{"step": number, "val_loss": 1 - number / 10, "val_balanced_accuracy": 0.4} for number in range(4)]
    runs = [
        Run("owl", "running", "train_head", 0.0, 9.0, "", steps),
        Run("", "failed", "split", 0.0, 1.0, "no such key"),
    ]
    console = Console(width=140, record=True)
    console.print(table_of(runs, now=10.0))
    told = console.export_text()
    for words in (
        "owl",
        "running",
        "train_head",
        "10 s",
        "0.700 █▆▃▁",
        "0.400 ▁▁▁▁",
        "workspace",
        "failed",
        "no such key",
    ):
        assert words in told
    assert " 3 " in told


def test_the_command_follows_a_stage_that_runs(workspace: Workspace, gone: int) -> None:
    code = "from derm.journal import note; note('started', host='{host}'); note('step', step=2, val_loss=0.5); {rest}"
    host = platform.node()
    environment = {"DVC_STAGE": "train_head", "DVC_EXP_NAME": "bold-owl"}
    assert workspace.python("-m", "experiments", "follow", "--once").stdout.strip() == "nothing has run here yet"
    told = ""
    sleeper = workspace.start("-c", code.format(host=host, rest="import time; time.sleep(60)"), **environment)
    try:
        for _ in range(100):
            told = workspace.python("-m", "experiments", "follow", "--once", COLUMNS="160").stdout
            if "0.500" in told:
                break
            time.sleep(0.1)
        assert "bold-owl" in told and "running" in told and "train_head" in told
    finally:
        sleeper.kill()
        sleeper.wait()
    assert "killed" in workspace.python("-m", "experiments", "follow", "--once", COLUMNS="160").stdout
