"""The stage `track`: one complete run for each state, whatever happens on the way."""

import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from derm.report.scored import UNTOLD
from experiments.delivery import deliver_pending
from experiments.logged_model import CODE, REQUIREMENTS
from experiments.scored import NUMBER
from stages.runner import run
from stages.track import track
from tests.closure import ROOT, third_party
from tests.experiments.conftest import CURVES, LOCK, METRICS, Workspace
from tests.servers import free_port, tracking_server

CLOSED_PORT = "http://127.0.0.1:9"


class Here:
    """The stage in this process: MLflow is imported once for all tests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def track(self, workspace: Workspace, **environment: str) -> str:
        """Run the stage in ``workspace``; returns what it says on stderr."""
        return self.call(lambda: run("track", track), workspace, **environment)

    def call(self, function: Callable[[], object], workspace: Workspace, **environment: str) -> str:
        """The same for another function."""
        with self.monkeypatch.context() as patch:
            patch.chdir(workspace.folder)
            for name in ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "MLFLOW_TRACKING_URI"):
                patch.delenv(name, raising=False)
            for name, value in ({"DVC_ROOT": str(workspace.folder)} | environment).items():
                patch.setenv(name, value)
            function()
        said = self.capsys.readouterr()
        assert said.out == ""
        return said.err


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(monkeypatch, capsys)


def _artifacts(workspace: Workspace, run_id: str, folder: str = "") -> set[str]:
    found: set[str] = set()
    for item in workspace.client().list_artifacts(run_id, folder):
        found |= _artifacts(workspace, run_id, item.path) if item.is_dir else {item.path}
    return found


def test_run_holds_what_the_files_say(stored: Workspace) -> None:
    stored.write(
        ".derm/journal/journal.jsonl",
        "".join(
            json.dumps({"folder": str(stored.folder), "experiment": "bold-owl", "stage": "evaluate"} | facts) + "\n"
            for facts in (
                {"event": "started", "time": 1000.0, "host": "box", "python": "3.11.0"},
                {"event": "finished", "time": 1004.0, "seconds": 4.0},
            )
        ),
    )
    done = stored.track(DVC_EXP_NAME="bold-owl")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    [run] = stored.runs()
    assert run.info.run_name == "bold-owl"
    assert (run.info.status, run.info.start_time) == ("FINISHED", 1000_000)
    assert run.data.params == {
        "data.source": "ham10000",
        "data.root": "data/sample",
        "encoder.name": "colour-texture",
        "encoder.model_args": "{}",
        "loss.gamma": "0.0",
        "loss.smoothing": "0.0001",
        "tracking.experiment": "skin-lesions",
        "tracking.images": "true",
        "tracking.log_model": "small",
    }
    evaluated = METRICS["evaluate"]
    assert run.data.metrics["test.melanoma.auc"] == evaluated["test"]["melanoma"]["auc"]
    assert run.data.metrics["val.macro_auc"] == evaluated["val"]["macro_auc"]
    assert run.data.metrics["split.images"] == METRICS["split"]["images"]
    assert "train_head/never" not in run.data.metrics
    history = stored.client().get_metric_history(run.info.run_id, "train_head/val_loss")
    expected = CURVES[["step", "val_loss"]].dropna()
    assert [(point.step, point.value) for point in history] == list(expected.itertuples(index=False, name=None))
    tags = run.data.tags
    assert tags["derm.complete"] == "true"
    assert tags["dvc.experiments"] == "bold-owl"
    assert tags["git.dirty"] == "false"
    assert tags["host"] == "box"
    assert tags["seconds.evaluate"] == "4.00"
    told = tags["mlflow.note.content"].splitlines()
    assert told[2] == "| melanoma.auc | &emsp;0.8800 [0.800, 0.930] | &emsp;0.8500 [0.790, 0.900] |"
    assert _artifacts(stored, run.info.run_id) >= {
        "evaluate/roc.png",
        "evaluate/intervals.csv",
        "explain/gallery.png",
        "explain/maps/one.png",
        "report/index.html",
        "stages.csv",
        "pipeline/dvc.lock",
    }
    assert stored.waiting() == []
    assert run.inputs is not None
    parts = {one.tags[0].value: one.dataset for one in run.inputs.dataset_inputs}
    assert set(parts) == {"training", "validation", "calibration", "testing"}
    assert parts["testing"].digest == tags["derm.test_part"] != parts["validation"].digest == tags["derm.val_part"]
    assert parts["training"].name == "ham10000 train"
    assert json.loads(parts["training"].source)["uri"] == "data/sample"
    assert json.loads(str(parts["training"].profile))["num_rows"] == 1


def test_model_in_the_store_tells_its_params_and_what_was_measured_of_it(stored: Workspace, here: Here) -> None:
    here.track(stored)
    [run] = stored.runs()
    assert run.outputs is not None
    [output] = run.outputs.model_outputs
    model = stored.client().get_logged_model(output.model_id)
    assert (model.status, model.source_run_id) == ("READY", run.info.run_id)
    assert model.params == run.data.params
    told = {(metric.key, metric.value, metric.dataset_name) for metric in model.metrics or []}
    assert told == {
        ("val.macro_auc", 0.91, "ham10000 val"),
        ("val.melanoma.auc", 0.88, "ham10000 val"),
        ("test.macro_auc", 0.89, "ham10000 test"),
        ("test.melanoma.auc", 0.85, "ham10000 test"),
    }
    history = stored.client().get_metric_history(run.info.run_id, "val.macro_auc")
    assert [point.value for point in history] == [0.91]  # measured once, told twice


def test_report_in_the_store_tells_how_many_states_were_scored(stored: Workspace, here: Here) -> None:
    stored.write("plots/report/index.html", f"<p>{UNTOLD}</p>")
    stored.write("plots/report/model_card.md", UNTOLD)
    here.track(stored)
    stored.replace("dvc.lock", "2222222222", "4444444444")  # another state, measured on the same test part
    here.track(stored)
    told = {}
    for found in stored.runs():
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(stored.client().download_artifacts(found.info.run_id, "report", scratch))
            told[found.data.tags["derm.key"]] = [path.read_text() for path in sorted(folder.iterdir())]
    texts = sorted(told.values())
    assert [[text.count("1 state of") for text in texts[0]], [text.count("2 states of") for text in texts[1]]] == [
        [1, 1]
    ] * 2
    assert not any(UNTOLD in text for text in (*texts[0], *texts[1]))
    assert (stored.folder / "plots/report/model_card.md").read_text() == UNTOLD  # what DVC tracks stays as it is


def test_number_of_a_state_counts_deleted_runs_and_those_of_an_older_version(stored: Workspace, here: Here) -> None:
    def number_of(digit: str) -> str:
        stored.write("dvc.lock", LOCK.replace("2222222222", digit * 10))
        here.track(stored)
        return max(run.data.tags.get(NUMBER, "") for run in stored.runs())

    assert [number_of("4"), number_of("5")] == ["0000001", "0000002"]
    client = stored.client()
    first, second = stored.runs()
    client.delete_run(first.info.run_id)
    assert number_of("6") == "0000003"
    third = next(run for run in stored.runs() if run.info.run_id != second.info.run_id)
    client.delete_run(third.info.run_id)
    assert number_of("7") == "0000004"
    for run_id in (first.info.run_id, third.info.run_id):
        client.restore_run(run_id)
    for one in stored.runs():
        client.delete_tag(one.info.run_id, NUMBER)  # as older versions left them
    assert [number_of("8"), number_of("9")] == ["0000005", "0000006"]


def test_without_images_no_picture_of_a_patient_leaves(stored: Workspace, here: Here) -> None:
    stored.replace("params.yaml", "images: true", "images: false")
    here.track(stored, MLFLOW_TRACKING_URI=CLOSED_PORT)
    [record] = stored.waiting()
    assert {path.name for path in record.rglob("*.png")} == {"roc.png"}
    assert here.track(stored) == ""
    [run] = stored.runs()
    pictures = {path for path in _artifacts(stored, run.info.run_id) if path.endswith((".png", ".html"))}
    assert pictures == {"evaluate/roc.png"}


def test_second_time_only_the_name_is_added(stored: Workspace, here: Here) -> None:
    for name in ("one", "two", "one", ""):
        assert here.track(stored, DVC_EXP_NAME=name) == ""
    [run] = stored.runs()
    assert run.data.tags["dvc.experiments"] == "one,two"
    assert run.info.run_name == "one"


def test_four_at_once_on_no_store_leave_one_run_for_each_state(workspace: Workspace) -> None:
    other = workspace.folder.parent / "copy"
    subprocess.run(["cp", "-r", str(workspace.folder), str(other)], check=True)
    copy = Workspace(other)
    copy.replace("params.yaml", "gamma: 0.0", "gamma: 2.0")
    root = str(workspace.folder)  # as in `dvc exp run --temp`: another folder, the same repository
    started = [place.start("-m", "stages.track", DVC_ROOT=root) for place in (workspace, copy) * 2]
    ended = [workspace.ended(process) for process in started]
    assert [done.returncode for done in ended] == [0] * 4
    if any(done.stderr for done in ended):  # on a busy machine one may wait too long, and leave its record to the next
        assert workspace.ended(workspace.start("-m", "stages.track", DVC_ROOT=root)).stderr == ""
    runs = workspace.runs()
    assert sorted(run.data.params["loss.gamma"] for run in runs) == ["0.0", "2.0"]
    assert {run.data.tags["derm.complete"] for run in runs} == {"true"}
    assert workspace.waiting() == []


@pytest.fixture
def deaf_server() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def _assert_kept(workspace: Workspace, warning: str) -> None:
    assert warning.count("\n") == 1
    assert warning.startswith("warning: 1 record(s) kept in ")
    assert len(workspace.waiting()) == 1


def test_refused_connection_keeps_the_record_and_a_later_run_delivers_it(stored: Workspace, here: Here) -> None:
    _assert_kept(stored, here.track(stored, MLFLOW_TRACKING_URI=CLOSED_PORT))
    stored.replace("params.yaml", "gamma: 0.0", "gamma: 2.0")
    assert here.track(stored) == ""
    assert sorted(run.data.params["loss.gamma"] for run in stored.runs()) == ["0.0", "2.0"]
    assert stored.waiting() == []


def test_server_that_never_answers_is_given_up_on_in_time(workspace: Workspace, deaf_server: str) -> None:
    started = time.monotonic()
    done = workspace.track(MLFLOW_TRACKING_URI=deaf_server)
    assert time.monotonic() - started < 30
    assert done.returncode == 0
    _assert_kept(workspace, done.stderr)


def test_server_in_trouble_keeps_the_record(workspace: Workspace, here: Here) -> None:
    class Trouble(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(500)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Trouble) as trouble:
        threading.Thread(target=trouble.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{trouble.server_port}"
        _assert_kept(workspace, here.track(workspace, MLFLOW_TRACKING_URI=uri))
        trouble.shutdown()


def test_store_of_a_kind_that_mlflow_no_longer_takes_keeps_the_record(workspace: Workspace, here: Here) -> None:
    _assert_kept(workspace, here.track(workspace, MLFLOW_TRACKING_URI="file:./mlruns"))


def test_password_in_the_address_is_not_told(workspace: Workspace, here: Here) -> None:
    warning = here.track(workspace, MLFLOW_TRACKING_URI="http://somebody:secret@127.0.0.1:9")
    _assert_kept(workspace, warning)
    assert "secret" not in warning


def test_damaged_record_keeps_no_other_from_delivery(stored: Workspace, here: Here) -> None:
    stored.write(".derm/pending/000-broken/record.json", "{")
    assert "000-broken is damaged" in here.track(stored)
    assert len(stored.runs()) == 1
    assert [path.name for path in stored.waiting()] == ["000-broken"]


def test_record_that_the_store_refuses_keeps_no_other_from_delivery(stored: Workspace, here: Here) -> None:
    here.track(stored, MLFLOW_TRACKING_URI=CLOSED_PORT)
    [bad] = stored.waiting()
    record = json.loads((bad / "record.json").read_text())
    (bad / "record.json").write_text(json.dumps(record | {"key": "0", "run_name": {"not": "a name"}}))
    bad.rename(bad.with_name("000-bad"))
    assert here.track(stored).startswith("warning: 1 record(s) kept in ")
    assert [run.data.tags["derm.key"] for run in stored.runs() if "derm.complete" in run.data.tags] == [record["key"]]


def test_killed_half_way_leaves_one_complete_run(stored: Workspace, here: Here) -> None:
    code = """
import os, signal
from experiments import delivery, record
record.collect()
delivery.{stop} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
delivery.deliver_pending()
"""
    for stop in ("_log_numbers", "log_model", "_forget"):
        assert stored.python("-c", code.format(stop=stop)).returncode == -9
    [left] = stored.runs()
    assert left.data.tags.get("derm.complete") == "true"  # the last one was killed after the run was complete
    assert len(stored.waiting()) == 3
    assert here.track(stored) == ""
    [run] = stored.runs()
    assert (run.info.status, run.data.tags["derm.complete"]) == ("FINISHED", "true")
    assert "pipeline/params.yaml" in _artifacts(stored, run.info.run_id)
    assert stored.waiting() == []


@pytest.mark.parametrize("rule", ["promoted", "small", "always"])
def test_model_is_logged_as_asked(workspace: Workspace, here: Here, rule: str) -> None:
    workspace.replace("params.yaml", "log_model: small", f"log_model: {rule}")
    with (workspace.folder / "models/classifier/weights").open("wb") as stream:
        stream.truncate(50_000_001)
    here.track(workspace, MLFLOW_TRACKING_URI=CLOSED_PORT)
    [record] = workspace.waiting()
    assert (record / "model").is_dir() == (rule == "always")


STAND_IN = """
import json
import pandas as pd
def answers(classifier, images, known):
    return pd.DataFrame({"width": [image.width for image in images], "of": len(classifier.classes)}).join(known)
"""
CLASSIFIER = """
import json
from types import SimpleNamespace
class Classifier:
    @classmethod
    def load(cls, folder):
        made = cls()
        made.classes = json.loads((folder / "calibration.json").read_text())["classes"]
        made.head = SimpleNamespace(shape=SimpleNamespace(encoding=None))
        return made
"""
LOAD = """
import base64, io, sys
import mlflow, pandas
from PIL import Image
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
picture = io.BytesIO()
Image.new("RGB", (31, 20)).save(picture, "JPEG")
text = base64.b64encode(picture.getvalue()).decode()
print(model.predict(pandas.DataFrame({"image": [text, text]})).to_dict("list"))
print(model.predict(pandas.DataFrame({"image": [text], "age": [50.0], "sex": ["male"]})).to_dict("list"))
print(model.predict(model.input_example)["width"].tolist())
try:
    model.predict(pandas.DataFrame({"image": ["bm90IGEgcGljdHVyZQ=="]}))
except mlflow.MlflowException as error:
    print(error)
print([column.name for column in model.metadata.signature.inputs], model.metadata.metadata["classes"]["mel"])
print({column.name: column.type.name for column in model.metadata.signature.outputs}["p_mel"])
"""


def test_classifier_loads_from_the_store_with_its_own_code(stored: Workspace, here: Here, tmp_path: Path) -> None:
    here.track(stored, MLFLOW_TRACKING_URI=CLOSED_PORT)
    [record] = stored.waiting()
    (record / "model/derm/prediction.py").write_text(STAND_IN)
    (record / "model/derm/classifier.py").write_text(CLASSIFIER)
    assert here.call(deliver_pending, stored) == ""
    [run] = stored.runs()
    done = subprocess.run(
        [sys.executable, "-c", LOAD, f"sqlite:///{stored.database}", f"runs:/{run.info.run_id}/classifier"],
        cwd=tmp_path,
        env={name: value for name, value in stored.environment().items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    nothing = "'age': ['', ''], 'sex': ['', ''], 'body_site': ['', '']"
    assert done.stdout.splitlines() == [
        f"{{'width': [31, 31], 'of': [2, 2], {nothing}}}",
        "{'width': [31], 'of': [2], 'age': ['50'], 'sex': ['male'], 'body_site': ['']}",
        "[96]",
        "image 0: expected the base64 text of an image file, but not an image in a known format (JPEG, PNG, TIFF, "
        "BMP, WEBP)",
        "['image', 'age', 'sex', 'body_site'] melanoma",
        "double",
    ], done.stderr


def test_a_server_of_the_model_needs_what_the_code_imports_and_no_more() -> None:
    """Names of distributions, found in the code by its import statements."""
    of = packages_distributions()
    pinned = re.findall("^[a-z][a-z0-9.-]+", (ROOT / "requirements.txt").read_text(), flags=re.MULTILINE)
    imported = third_party(CODE) | third_party(Path("experiments/mlflow_model.py"))
    needed = {name.lower().replace("_", "-") for module in imported for name in of[module]} & set(pinned)
    assert needed | {"torchvision"} == set(REQUIREMENTS)


@pytest.fixture
def server(tmp_path: Path, made_store: Path) -> Iterator[str]:
    """A real tracking server on this machine."""
    database = shutil.copyfile(made_store, tmp_path / "served.db")  # what is served here, other tests do not see
    with tracking_server(tmp_path, database, free_port()) as address:
        yield address


def test_waiting_record_is_delivered_to_a_server(workspace: Workspace, here: Here, server: str, tmp_path: Path) -> None:
    here.track(workspace, MLFLOW_TRACKING_URI=CLOSED_PORT)
    workspace.replace("params.yaml", "gamma: 0.0", "gamma: 2.0")
    assert here.track(workspace, MLFLOW_TRACKING_URI=server) == ""
    assert workspace.waiting() == []
    assert not workspace.database.exists()
    assert len(list((tmp_path / "served").rglob("index.html"))) == 2
    assert len(list((tmp_path / "served").rglob("MLmodel"))) == 2
