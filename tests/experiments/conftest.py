"""A tiny folder that looks like this repository after `dvc repro`, with a lock written by hand."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from PIL import Image

from experiments.store import quieten

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

REPOSITORY = Path(__file__).resolve().parents[2]

PARAMS = """\
data: {source: ham10000, root: data/sample}
encoder:
  name: colour-texture  # which filters
  model_args: {}
loss: {gamma: 0.0, smoothing: 1e-4}
tracking: {experiment: skin-lesions, images: true, log_model: small}
"""

LOCK = """\
schema: '2.0'
stages:
  featurize:
    cmd: python -m stages.featurize
    deps:
    - path: derm/files.py
      md5: 0123456789abcdef0123456789abcdef
    outs:
    - path: data/features
      hash: md5
      md5: 11111111111111111111111111111111.dir
  evaluate:
    cmd: python -m stages.evaluate
    outs:
    - path: metrics/evaluate.json
      hash: md5
      md5: 22222222222222222222222222222222
    - path: plots/evaluate
      hash: md5
      md5: 33333333333333333333333333333333.dir
  track:
    cmd: python -m stages.track
"""

METRICS = {
    "evaluate": {
        "val": {"macro_auc": 0.91, "melanoma": {"auc": 0.88}},
        "test": {"macro_auc": 0.89, "melanoma": {"auc": 0.85}},
    },
    "split": {"images": 900, "rule": "holdout", "leak_free": True, "train": {"images": 1}},
}

CURVES = pd.DataFrame(
    {
        "step": range(5),
        "train_loss": [1.0, 0.8, 0.6, 0.5, 0.45],
        "val_loss": [1.1, None, 0.7, None, 0.6],
        "never": [None] * 5,
    }
)


SPLIT = """\
image_id,group,part,fold,target
a,a,train,,0
b,b,val,,1
c,b,val,,0
d,d,calibration,,0
e,e,test,,1
f,f,test,,0
"""

INTERVALS = """\
part,metric,value,low,high
val,macro_auc,0.910000,0.870000,0.950000
val,melanoma.auc,0.880000,0.800000,0.930000
test,macro_auc,0.890000,0.860000,0.920000
test,melanoma.auc,0.850000,0.790000,0.900000
"""


class Workspace:
    """Such a folder, and the way to run this repository's modules in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "mlflow.db"
        self.pending = folder / ".derm" / "pending"

    def environment(self, **changes: str) -> dict[str, str]:
        """What DVC would give a stage here; no tracking store but the folder's own unless ``changes`` names one."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "GIT_"))
        }
        return (
            inherited
            | {"DVC_ROOT": str(self.folder), "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
            | changes
        )

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """``python <arguments>`` in the folder, not waited for."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def python(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """``python <arguments>`` in the folder, to its end."""
        return self.ended(self.start(*arguments, **environment))

    @staticmethod
    def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
        """Wait for a started one."""
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def track(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """The stage `track`, as DVC runs it."""
        return self.python("-m", "stages.track", **environment)

    def client(self) -> "MlflowClient":
        """This folder's store, opened from the test."""
        quieten()
        from mlflow import MlflowClient

        uri = f"sqlite:///{self.database}"
        return MlflowClient(uri, uri)

    def runs(self) -> "list[Run]":
        """The active runs in this folder's store."""
        client = self.client()
        experiment = client.get_experiment_by_name("skin-lesions")
        assert experiment is not None
        return list(client.search_runs([experiment.experiment_id]))

    def waiting(self) -> list[Path]:
        """The records that have not been delivered."""
        return sorted(self.pending.iterdir()) if self.pending.exists() else []

    def write(self, path: str, content: str) -> None:
        """A text file in the folder."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")

    def replace(self, path: str, old: str, new: str) -> None:
        """Change a text in a file; the old one has to be there."""
        text = (self.folder / path).read_text(encoding="utf-8")
        assert old in text
        self.write(path, text.replace(old, new))


def fill(workspace: Workspace, metrics: Mapping[str, Mapping] = METRICS) -> None:
    """Everything that the stages before `track` would have left."""
    workspace.write("params.yaml", PARAMS)
    workspace.write("dvc.lock", LOCK)
    workspace.write(".gitignore", "/.derm\n/mlflow.db*\n/mlartifacts\n")
    for stage, content in metrics.items():
        workspace.write(f"metrics/{stage}.json", json.dumps(content))
    workspace.write("data/split/split.csv", SPLIT)
    workspace.write("plots/evaluate/intervals.csv", INTERVALS)
    workspace.write("plots/train_head/curves.csv", CURVES.to_csv(index=False))
    for figure in ("evaluate/roc", "explain/gallery", "explain/maps/one"):
        path = workspace.folder / "plots" / f"{figure}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), "brown").save(path)
    workspace.write("plots/report/index.html", "<h1>Report</h1>")
    workspace.write("models/classifier/calibration.json", '{"classes": ["mel", "nv"]}')


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A filled folder, committed to git; its name has a space, as people's folders do."""
    folder = tmp_path / "my lesions"
    folder.mkdir()
    made = Workspace(folder)
    fill(made)
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=Test", "-c", "user.email=test@localhost", "commit", "-qm", "all"],
    ):
        subprocess.run(["git", *command], cwd=folder, env=made.environment(), check=True)
    return made


@pytest.fixture(scope="session")
def made_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store, made once: MLflow takes five seconds for it."""
    folder = tmp_path_factory.mktemp("store")
    code = "from experiments.store import open_store; open_store([])"
    Workspace(folder).python("-c", code)
    assert (folder / "mlflow.db").exists()
    return folder / "mlflow.db"


@pytest.fixture
def stored(workspace: Workspace, made_store: Path) -> Workspace:
    """A filled folder whose store exists already."""
    shutil.copyfile(made_store, workspace.database)
    return workspace
