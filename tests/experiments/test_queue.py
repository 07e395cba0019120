"""A grid of twelve, killed in the middle and started again: all of them, none twice. On a chain of one quick stage."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.experiments.conftest import Workspace

STEP = """
import json, sys, time, yaml
x = yaml.safe_load(open("params.yaml"))["x"]
time.sleep(0.3)
if x == 99:
    sys.exit("this one cannot work")
json.dump({"twice": 2 * x}, open("metrics.json", "w"))
with open(sys.argv[1], "a") as done:
    done.write(f"{x}\\n")
"""


class Grid(Workspace):
    """A repository of one stage, which notes outside of it each time that it has run."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        folder.mkdir()
        self.done = folder.parent / "done.txt"
        self.write("step.py", STEP)
        self.write("params.yaml", "x: -1\n")
        stage = {"cmd": f"{sys.executable} step.py {self.done}", "deps": ["step.py"], "params": ["x"]}
        self.write(
            "dvc.yaml", json.dumps({"stages": {"step": stage | {"metrics": [{"metrics.json": {"cache": False}}]}}})
        )
        self.call("git", "init", "-q")
        for name, value in (("user.name", "test"), ("user.email", "test@localhost"), ("commit.gpgsign", "false")):
            self.call("git", "config", name, value)
        self.call("dvc", "init", "-q")
        self.call("git", "add", "-A")
        self.call("git", "commit", "-qm", "all")

    def call(self, program: str, *arguments: str) -> str:
        command = [sys.executable, "-m", "dvc"] if program == "dvc" else [program]
        changes = {"DVC_NO_ANALYTICS": "1", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        environment = {name: value for name, value in self.environment(**changes).items() if name != "DVC_ROOT"}
        done = subprocess.run(
            [*command, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def finished(self) -> list[int]:
        """Each x that the stage has run for, as often as it has."""
        return [int(line) for line in self.done.read_text().split()] if self.done.exists() else []

    def worker(self) -> psutil.Process:
        path = self.folder / ".dvc/tmp/exps/celery/dvc-exp-worker-1.json"
        return psutil.Process(json.loads(path.read_text())["pid"])

    def damage_notes_of_unfinished(self) -> int:
        """DVC's files are not written in one go: killed in between, it leaves an empty one. Returns how many."""
        notes = (self.folder / ".dvc/tmp/exps/run").glob("*/*.run")
        unfinished = [note for note in notes if json.loads(note.read_text())["result_hash"] is None]
        for note in unfinished:
            note.write_text("")
        return len(unfinished)


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    return Grid(tmp_path / "grid")


@pytest.mark.parametrize(("first", "count"), [("worker", 12), ("children", 5)])
def test_a_grid_killed_in_the_middle_and_started_again(grid: Grid, first: str, count: int) -> None:
    """Killed is the command, the worker and the experiment; a worker that lives longer calls the experiment failed."""
    grid.call("dvc", "exp", "run", "--queue", "-q", "-S", f"x=range(0,{count})")
    process = grid.start("-m", "experiments", "queue")
    for _ in range(600):
        if len(grid.finished()) >= 3:
            break
        time.sleep(0.1)
    worker = grid.worker()
    victims = [worker.pid, *(child.pid for child in worker.children(recursive=True))]
    for victim in [process.pid, *(victims if first == "worker" else reversed(victims))]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    process.communicate()
    before = grid.finished()
    assert 3 <= len(before) < count

    again = grid.python("-m", "experiments", "queue")
    assert again.returncode == 0, again.stderr
    assert "succeeded, 0 failed" in again.stdout
    assert "killed before its end, queued again: " in again.stderr or first == "children"
    runs = Counter(grid.finished())
    assert set(runs) == set(range(count))
    # One may have done its work and been killed before DVC had it.
    assert sum(runs.values()) <= count + 1
    shown = json.loads(grid.call("dvc", "exp", "show", "--json"))
    experiments = [one["revs"][0]["data"] for entry in shown for one in entry["experiments"] or []]
    twice = sorted(one["metrics"]["metrics.json"]["data"]["twice"] for one in experiments)
    assert twice == [2 * x for x in range(count)]
    assert "nothing is queued" in grid.python("-m", "experiments", "queue").stderr


def test_one_whose_stage_was_killed_is_told_and_run_the_next_time(grid: Grid) -> None:
    """As a machine does that has run out of memory; neither the experiment nor the worker was killed."""
    grid.call("dvc", "exp", "run", "--queue", "-q", "-S", "x=1,2")
    process = grid.start("-m", "experiments", "queue")
    for _ in range(600):
        with contextlib.suppress(OSError, psutil.Error):
            stages = [one for one in grid.worker().children(recursive=True) if "step.py" in one.cmdline()]
            if stages:
                stages[0].kill()
                break
        time.sleep(0.05)
    assert "1 succeeded, 1 failed" in grid.ended(process).stdout
    assert grid.damage_notes_of_unfinished() == 1
    again = grid.python("-m", "experiments", "queue")
    assert again.returncode == 0, again.stderr
    assert "killed before its end, queued again: " in again.stderr
    assert "1 succeeded, 0 failed" in again.stdout
    assert sorted(grid.finished()) == [1, 2]


def test_one_that_fails_is_told_and_the_others_run(grid: Grid) -> None:
    grid.call("dvc", "exp", "run", "--queue", "-q", "-S", "x=1,99")
    done = grid.python("-m", "experiments", "queue")
    assert done.returncode == 1
    assert "1 succeeded, 1 failed" in done.stdout
    assert "; why: dvc queue logs " in done.stderr
    assert "nothing is queued" in grid.python("-m", "experiments", "queue").stderr  # it would fail again
    assert grid.finished() == [1]


def test_a_damaged_note_that_stays_so_is_one_line(grid: Grid) -> None:
    grid.call("dvc", "exp", "run", "--queue", "-q", "-S", "x=1")
    assert grid.python("-m", "experiments", "queue").returncode == 0
    [note] = (grid.folder / ".dvc/tmp/exps/run").glob("*/*.run")
    note.write_text("")
    done = grid.python("-m", "experiments", "queue")
    assert done.returncode == 1
    assert done.stderr.startswith("error: DVC's note of an experiment is damaged (unable to read: ")
    assert done.stderr.count("\n") == 1


def test_outside_of_a_repository_it_is_one_line(tmp_path: Path) -> None:
    done = Workspace(tmp_path).python("-m", "experiments", "queue", DVC_ROOT="")
    assert done.returncode == 1
    assert done.stderr == "error: no DVC repository here: run this in the folder of dvc.yaml\n"
