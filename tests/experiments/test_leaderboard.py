"""The leaderboard: what it ranks, what it leaves out and says so, and what it never tells."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from experiments.__main__ import app
from experiments.delivery import deliver_pending
from experiments.differing_params import differing
from experiments.leaderboard import Board, Row
from experiments.leaderboard_table import cut, fitted, notes
from experiments.record import collect, part_digests
from tests.experiments.conftest import SPLIT, Workspace

CLOSED_PORT = "http://127.0.0.1:9"
TEST_VALUE = 0.4321  # a number that no val metric has


class Laboratory:
    """A folder whose states are logged as the stage `track` logs them, and its leaderboard; all in this process."""

    def __init__(self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        self.workspace = workspace
        monkeypatch.chdir(workspace.folder)
        monkeypatch.setenv("DVC_ROOT", str(workspace.folder))
        for name in ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "MLFLOW_TRACKING_URI"):
            monkeypatch.delenv(name, raising=False)
        self.set = monkeypatch.setenv
        self.params = (workspace.folder / "params.yaml").read_text()

    def log(self, name: str, value: float, gamma: str = "0.0", low: float = 0.1, high: float = 0.9) -> None:
        """One state called ``name``, whose val macro_auc is ``value``."""
        self.record(name, value, gamma, low, high)
        assert deliver_pending().kept == 0

    def record(self, name: str, value: float, gamma: str = "0.0", low: float = 0.1, high: float = 0.9) -> None:
        """The same, not delivered yet."""
        self.set("DVC_EXP_NAME", name)
        self.workspace.write("params.yaml", self.params.replace("gamma: 0.0", f"gamma: {gamma}"))
        metrics = {"val": {"macro_auc": value, "nll": 1 - value}, "test": {"macro_auc": TEST_VALUE}}
        self.workspace.write("metrics/evaluate.json", json.dumps(metrics))
        table = f"part,metric,value,low,high\nval,macro_auc,{value},{low},{high}\ntest,macro_auc,{TEST_VALUE},0.3,0.5\n"
        self.workspace.write("plots/evaluate/intervals.csv", table)
        collect()

    def show(self, *arguments: str) -> Result:
        """``python -m experiments leaderboard``, by macro_auc unless told otherwise."""
        chosen = arguments if "--metric" in arguments else ("--metric", "macro_auc", *arguments)
        return CliRunner().invoke(app, ["leaderboard", *chosen])


@pytest.fixture
def laboratory(stored: Workspace, monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    return Laboratory(stored, monkeypatch)


def _rows(shown: str) -> list[str]:
    """The table's lines without its heading."""
    return [line for line in shown.splitlines() if re.match(r"\*? +\d+  ", line)]


def test_best_on_val_comes_first_with_its_interval(laboratory: Laboratory) -> None:
    laboratory.log("middle", 0.8, gamma="2.0", low=0.711, high=0.877)
    laboratory.log("last", 0.7, gamma="1.0", low=0.601, high=0.709)
    laboratory.log("best", 0.9, gamma="0.5")
    done = laboratory.show()
    assert done.exit_code == 0, done.output
    rows = _rows(done.stdout)
    assert [re.findall(r"middle|last|best", row) for row in rows] == [["best"], ["middle"], ["last"]]
    assert rows[0].startswith("*")  # logged last: the state of this folder
    assert not rows[1].startswith("*")
    assert "0.8000  [0.711, 0.877]" in rows[1]
    assert rows[1].endswith("  gamma=2")
    assert "colour-texture" in rows[1]
    assert "(all of the 2 others overlap with the first)" in done.stdout
    assert "python -m experiments compare A B" in done.stdout
    picture = laboratory.workspace.folder / ".derm/leaderboard/val.png"
    assert "chart: .derm/leaderboard/val.png" in done.stdout
    first = picture.read_bytes()
    laboratory.show()
    assert picture.read_bytes() == first
    with Image.open(picture) as image:
        assert image.width > image.height > 100


def test_of_a_loss_the_smallest_comes_first(laboratory: Laboratory) -> None:
    laboratory.log("good", 0.9, gamma="1.0")
    laboratory.log("bad", 0.7, gamma="2.0")
    done = laboratory.show("--metric", "nll", "--top", "1")
    assert "val nll (lower is better)" in done.stdout
    [row] = _rows(done.stdout)
    assert "good" in row
    assert "1 of 2 runs are shown" in done.stdout
    assert "1 run has no interval" in done.stdout  # intervals.csv of these runs has no row for it


def test_other_split_is_left_out_and_counted(laboratory: Laboratory) -> None:
    laboratory.workspace.write("data/split/split.csv", SPLIT.replace("b,b,val,,1", "b,b,val,,0"))  # another target
    laboratory.log("elsewhere", 0.99, gamma="1.0")
    laboratory.workspace.write("data/split/split.csv", SPLIT.replace("a,a,train", "a,a,val"))  # one image more
    laboratory.log("larger", 0.98, gamma="2.0")
    laboratory.workspace.write("data/split/split.csv", SPLIT)
    laboratory.log("here", 0.7, gamma="3.0")
    laboratory.workspace.write("data/split/split.csv", SPLIT.replace("a,a,train", "a,a,left_out"))  # the same val part
    laboratory.log("here-too", 0.6, gamma="4.0")
    done = laboratory.show()
    assert len(_rows(done.stdout)) == 2
    assert not re.search("elsewhere|larger", done.stdout)
    assert "2 runs on other splits are left out" in done.stdout
    (laboratory.workspace.folder / "data/split/split.csv").unlink()  # a fresh clone: the newest run decides
    done = laboratory.show()
    assert len(_rows(done.stdout)) == 2
    assert "(the newest run's)" in done.stdout


def test_val_tells_nothing_of_test_and_test_tells_how_often_it_was_looked_at(laboratory: Laboratory) -> None:
    for number, gamma in enumerate(("1.0", "2.0", "3.0")):
        laboratory.log(f"state{number}", 0.6 + number / 10, gamma)
    store = laboratory.workspace
    deleted = next(run for run in store.runs() if run.info.run_name == "state0")
    store.client().delete_run(deleted.info.run_id)
    on_val = laboratory.show()
    assert str(TEST_VALUE) not in on_val.stdout
    assert not re.search(r"\btest (part|macro_auc)|scored", on_val.stdout)
    on_test = laboratory.show("--on-test", "--out", "charts")
    assert f"test part {part_digests()['test']}: 3 states have been scored on it" in on_test.stdout
    assert "biased upwards" in on_test.stdout
    rows = _rows(on_test.stdout)
    assert len(rows) == 2
    assert all(f"{TEST_VALUE:.4f}  [0.300, 0.500]" in row for row in rows)
    assert all(re.match(r"\*? +1 ", row) for row in rows)  # equal values, equal ranks
    assert (laboratory.workspace.folder / "charts/test.png").exists()
    assert not (laboratory.workspace.folder / "charts/val.png").exists()


def test_waiting_record_is_delivered_first(laboratory: Laboratory) -> None:
    laboratory.record("late", 0.8)
    done = laboratory.show()
    assert "1 waiting record(s) delivered" in done.stderr
    assert len(_rows(done.stdout)) == 1
    assert laboratory.workspace.waiting() == []


def test_unknown_metric_lists_those_that_there_are(laboratory: Laboratory) -> None:
    laboratory.log("one", 0.8)
    done = laboratory.show("--metric", "macro_acu")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "error: no run has the val metric 'macro_acu'; known: macro_auc, nll\n"


def test_empty_store_says_what_to_do(laboratory: Laboratory) -> None:
    done = laboratory.show()
    assert (done.exit_code, done.stdout) == (1, "")
    assert "no run of experiment 'skin-lesions' yet" in done.stderr
    assert "run `make repro`" in done.stderr
    assert done.stderr.count("\n") == 1


def test_store_that_is_down_is_one_line(laboratory: Laboratory) -> None:
    laboratory.record("late", 0.8)
    laboratory.set("MLFLOW_TRACKING_URI", CLOSED_PORT)
    done = laboratory.show()
    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: MLflow's store {CLOSED_PORT} cannot be used: ")
    assert done.stderr.count("\n") == 1
    assert len(laboratory.workspace.waiting()) == 1


def _age(workspace: Workspace, name: str) -> None:
    """Turn a run into one that an older version logged: no parts, no intervals."""
    client = workspace.client()
    run = next(run for run in workspace.runs() if run.info.run_name == name)
    for tag in ("derm.val_part", "derm.test_part"):
        client.delete_tag(run.info.run_id, tag)
    [intervals] = (workspace.folder / "mlartifacts").glob(f"{run.info.run_id}/artifacts/evaluate/intervals.csv")
    intervals.unlink()


def test_older_runs_are_counted_and_completed_when_tracked_again(laboratory: Laboratory) -> None:
    laboratory.log("new", 0.7, gamma="1.0")
    laboratory.log("old", 0.8, gamma="2.0")
    _age(laboratory.workspace, "old")
    done = laboratory.show()
    assert len(_rows(done.stdout)) == 1
    assert "1 run logged by an older version, which did not record the val part, is left out" in done.stdout
    laboratory.log("old", 0.8, gamma="2.0", low=0.75, high=0.85)
    done = laboratory.show()
    assert "0.8000  [0.750, 0.850]" in _rows(done.stdout)[0]
    assert "older version" not in done.stdout
    for name in ("new", "old"):
        _age(laboratory.workspace, name)
    done = laboratory.show()
    assert done.exit_code == 1
    assert done.stderr.startswith("error: all 2 runs were logged by an older version")


def test_runs_that_no_param_tells_apart_name_their_code(laboratory: Laboratory) -> None:
    laboratory.log("first", 0.8)
    laboratory.workspace.replace("dvc.lock", "222222", "444444")
    laboratory.log("second", 0.8)
    laboratory.log("third", 0.7, gamma="3.0")
    rows = _rows(laboratory.show().stdout)
    assert [bool(re.search("code=[0-9a-f]{7}", row)) for row in rows] == [True, True, False]


def test_only_what_differs_is_told() -> None:
    common = {"encoder.name": "a", "encoder.weights": "none", "train.seed": "1", "head.hidden": "[64, 32]"}
    runs = [
        common | {"loss.gamma": "0.0", "split.seed": "1"},
        common | {"loss.gamma": "0", "report.title": "Mine", "features.views": "8"},
        common | {"loss.gamma": "2.0", "encoder.name": "b", "encoder.weights": "/far/away/b.safetensors"},
        common | {"loss.gamma": "2", "head.hidden": "[256]", "report.title": "Other", "train.seed": "3"},
    ]
    assert differing(runs) == [
        ["gamma=0"],
        ["gamma=0", "title=Mine"],  # views: the others do not know it, it does not differ
        ["gamma=2"],  # the weights follow from the encoder
        ["hidden=[256]", "gamma=2", "train.seed=3", "title=Other"],
    ]
    runs[0] = runs[0] | {"encoder.weights": "/far/away/a.safetensors"}
    assert differing(runs)[0] == ["weights=a.safetensors", "gamma=0"]


def test_texts_are_cut_to_their_width() -> None:
    assert cut("seed-3-medsiglip-frozen-fold1", 15) == "seed-3-…n-fold1"
    assert len(cut("x" * 99, 20)) == 20
    assert cut("short", 5) == "short"
    assert fitted(["loss.gamma=2", "train.seed=3", "train.epochs=9"], 20) == "loss.gamma=2 +2"
    assert fitted(["a=1", "b=2"], 7) == "a=1 b=2"
    assert fitted([], 7) == ""


def test_only_intervals_that_overlap_are_counted() -> None:
    intervals = [(0.6, 0.8), (0.5, 0.6), (0.4, 0.59), None]
    rows = [
        Row(rank, str(rank), "a", "linear", [], 1.0 - rank / 10, interval, here=False)
        for rank, interval in enumerate(intervals)
    ]
    board = Board("val", "macro_auc", "0", "", rows, 4, elsewhere=0, older=0, unmeasured=0, scored=None)
    told = notes(board)
    assert told[0] == "1 run has no interval in the store"
    assert "(1 of the 3 others overlap with the first)" in told[-1]


def test_part_is_its_images_and_targets_in_any_order(tmp_path: Path) -> None:
    def tags(text: str) -> dict[str, str]:
        path = tmp_path / "split.csv"
        path.write_text(text)
        return part_digests(path)

    plain = tags(SPLIT)
    head, *rows = SPLIT.splitlines()
    assert tags("\n".join([head, *reversed(rows)])) == plain
    assert plain["val"] != plain["test"]
    other = tags(SPLIT.replace("b,b,val,,1", "b,b,val,,2"))
    assert other["val"] != plain["val"]
    assert other["test"] == plain["test"]
    assert all(re.fullmatch("[0-9a-f]{16}", digest) for digest in plain.values())
