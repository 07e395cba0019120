"""The verdict on two states, from locks written by hand; and a whole round with a chain of one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from experiments.state import lock_outs
from experiments.verify import DIFFERENT, SAME_BYTES, SAME_NUMBERS, compare
from tests.experiments.conftest import LOCK, Workspace

OUTS = lock_outs(LOCK)
OTHER = lock_outs(LOCK.replace("1" * 32, "4" * 32))
METRICS = {"val.auc": 0.9, "test.auc": 0.8}


def test_equal_outs_are_the_same_bytes_whatever_track_and_the_code_are() -> None:
    other = lock_outs(LOCK.replace("0123456789abcdef", "fedcba9876543210"))
    other["track"] = {"anything": "else"}
    assert compare(OUTS, other, METRICS, {}).level == SAME_BYTES


def test_close_metrics_are_the_same_numbers_and_the_outs_are_listed() -> None:
    verdict = compare(OUTS, OTHER, METRICS, {"val.auc": 0.9009, "test.auc": 0.8})
    assert verdict.level == SAME_NUMBERS
    assert verdict.details == [f"data/features: {'1' * 32}.dir -> {'4' * 32}.dir"]


def test_moved_and_missing_metrics_are_listed_with_both_values() -> None:
    verdict = compare(OUTS, OTHER, METRICS | {"val.gone": 1.0}, {"val.auc": 0.9, "test.auc": 0.8011})
    assert verdict.level == DIFFERENT
    assert verdict.details == ["test.auc: 0.8 -> 0.8011", "val.gone: 1 -> absent"]


def test_missing_out_is_a_difference() -> None:
    missing = {stage: files for stage, files in OUTS.items() if stage != "featurize"}
    verdict = compare(OUTS, missing, METRICS, METRICS)
    assert (verdict.level, len(verdict.details)) == (SAME_NUMBERS, 1)


CHAIN = """\
stages:
  report:
    cmd: python stage.py
    deps: [stage.py, data/raw/set]
    outs: [plots/report]
    metrics:
      - metrics/evaluate.json: {cache: false}
"""
STAGE = """\
import json, pathlib, random
raw = pathlib.Path("data/raw/set/a.txt").read_text()
pathlib.Path("plots/report").mkdir(parents=True)
pathlib.Path("plots/report/index.html").write_text(f"{raw} JITTER")
pathlib.Path("metrics").mkdir(exist_ok=True)
pathlib.Path("metrics/evaluate.json").write_text(json.dumps({"val": {"auc": NUMBER}}))
"""


@pytest.fixture
def chain(tmp_path: Path) -> Workspace:
    """A repository with git, DVC and a chain of one stage that reads added data."""
    made = Workspace(tmp_path)
    made.write("dvc.yaml", CHAIN)
    made.write("data/raw/set/a.txt", "pixels")
    _run(made, "git", "init", "-q")
    _run(made, sys.executable, "-m", "dvc", "init", "-q")
    _run(made, sys.executable, "-m", "dvc", "add", "-q", "data/raw/set")
    return made


def _run(workspace: Workspace, *command: str) -> None:
    environment = workspace.environment(
        GIT_AUTHOR_NAME="Test", GIT_AUTHOR_EMAIL="t@localhost", GIT_COMMITTER_NAME="Test", GIT_COMMITTER_EMAIL="t@h"
    )
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    del environment["DVC_ROOT"]
    subprocess.run(command, cwd=workspace.folder, env=environment, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("jitter", "number", "code", "answer"),
    [
        ("", "0.5", 0, "same bytes\n"),
        ("{random.random()}", "0.5", 0, "same numbers (within 0.001); outputs that differ:\n  plots/report: "),
        ("", "random.random() + 2 * pathlib.Path.cwd().name.count('clone')", 1, "different numbers:\n  val.auc: "),
    ],
)
def test_head_is_recomputed_in_an_empty_clone(
    chain: Workspace, jitter: str, number: str, code: int, answer: str
) -> None:
    chain.write("stage.py", STAGE.replace("JITTER", jitter).replace("NUMBER", number))
    _run(chain, sys.executable, "-m", "dvc", "repro", "-q")
    _run(chain, "git", "add", "-A")
    _run(chain, "git", "commit", "-qm", "ran")
    done = chain.python("-m", "experiments", "verify")
    assert done.returncode == code, done.stderr
    assert done.stdout.startswith(answer)
    assert "  report\n" in done.stderr


def test_without_a_committed_lock_there_is_nothing_to_verify(workspace: Workspace) -> None:
    subprocess.run(["git", "rm", "-q", "--cached", "dvc.lock"], cwd=workspace.folder, check=True)
    git = ["git", "-c", "user.name=Test", "-c", "user.email=t@localhost"]
    subprocess.run([*git, "commit", "-qm", "x"], cwd=workspace.folder, check=True)
    done = workspace.python("-m", "experiments", "verify")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "HEAD has no dvc.lock" in done.stderr
