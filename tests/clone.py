"""A fresh clone of this working tree, and the way to run DVC and this repository's modules in it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from experiments.state import flatten
from tests.closure import ROOT


class Clone:
    """A fresh clone with nothing in its cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        listed = run(["git", "ls-files", "-co", "--exclude-standard", "-z"], ROOT).stdout.split("\0")
        for name in filter(None, listed):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes((ROOT / name).read_bytes())
        self.git("init", "-q")
        # In the clone's own settings, since a fresh machine has none and `dvc exp run` commits too.
        for name, value in (("user.name", "test"), ("user.email", "test@localhost"), ("commit.gpgsign", "false")):
            self.git("config", name, value)
        self.git("add", "-A")
        self.git("commit", "-qm", "working tree")

    @classmethod
    def of(cls, repository: Path, folder: Path) -> "Clone":
        """What `git clone` makes, with nothing in its cache."""
        run(["git", "clone", "-q", "-b", "main", str(repository), str(folder)], repository.parent)
        made = cls.__new__(cls)
        made.folder = folder
        return made

    def git(self, *arguments: str) -> str:
        return run(["git", *arguments], self.folder).stdout

    def dvc(self, *arguments: str, **environment: str) -> str:
        done = run([sys.executable, "-m", "dvc", *arguments], self.folder, True, **environment)
        return done.stdout + done.stderr

    def python(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run([sys.executable, *arguments], self.folder, check=False, **environment)

    def stages_run(self) -> list[str]:
        """Stages that the journal says were started and have finished, in order."""
        journal = self.folder / ".derm/journal/journal.jsonl"
        events = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
        return [event["stage"] for event in events if event["event"] == "finished"]

    def json(self, name: str) -> dict:
        return json.loads((self.folder / name).read_text())


def run(command: list[str], folder: Path, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "GIT_"))}
    inherited["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{inherited['PATH']}"
    inherited["DVC_NO_ANALYTICS"] = "1"
    done = subprocess.run(command, cwd=folder, env=inherited | environment, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def runs(clone: Clone, store: str = "sqlite:///mlflow.db") -> list[dict]:
    """Active MLflow runs in a store: their tags, with id, metrics and params."""
    code = (
        f"import json, mlflow; client = mlflow.MlflowClient('{store}'); "
        "ids = [e.experiment_id for e in client.search_experiments()]; "
        "told = lambda run: {'id': run.info.run_id, 'metrics': run.data.metrics, 'params': run.data.params}; "
        "print(json.dumps([dict(run.data.tags) | told(run) for run in client.search_runs(ids)]))"
    )
    done = clone.python("-c", code)
    return json.loads(done.stdout.splitlines()[-1])


def agreeing(clone: Clone, found: list[dict]) -> dict[str, dict]:
    """Checks that each experiment of `dvc exp show` has a run with its numbers and params, and no others.

    Returns these runs by the experiment's name; found: what `runs` gives.
    """
    tracked = {name: run for run in found for name in run["dvc.experiments"].split(",")}
    shown = json.loads(run([sys.executable, "-m", "dvc", "exp", "show", "--json"], clone.folder).stdout)
    told = {one["name"]: one["revs"][0]["data"] for entry in shown for one in entry["experiments"] or [] if one["name"]}
    assert set(told) <= set(tracked)
    for name, data in told.items():
        metrics = {}
        for path, content in data["metrics"].items():
            stage = Path(path).stem
            prefix = "" if stage == "evaluate" else f"{stage}."
            metrics |= {f"{prefix}{key}": value for key, value in flatten(content["data"]).items()}
        numbers = {key: value for key, value in metrics.items() if type(value) in (int, float)}
        assert len(numbers) > 200
        curves = {key for key in tracked[name]["metrics"] if "/" in key}
        assert {key: tracked[name]["metrics"][key] for key in tracked[name]["metrics"].keys() - curves} == numbers
        params = flatten(data["params"]["params.yaml"]["data"])
        assert tracked[name]["params"] == {
            key: value if isinstance(value, str) else json.dumps(value, sort_keys=True) for key, value in params.items()
        }
    return {name: tracked[name] for name in told}
