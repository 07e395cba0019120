"""Cross-validation with a chain of one stage: what is pooled, and that the workspace stays as it is."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from derm.errors import UserError
from experiments.crossval import Fold, pooled_report
from tests.experiments.conftest import Workspace

PARAMS = """\
split: {scheme: holdout, folds: 5, fold: 0}
task: {target: diagnosis, positive: auto, melanoma: [mel], malignant: [mel]}
loss: {gamma: 0.0}
evaluate: {resamples: 100, seed: 1, bins: 15}
"""
CHAIN = """\
stages:
  evaluate:
    cmd: python stage.py
    deps: [stage.py]
    params: [split, task, loss]
    outs: [data/predictions]
    metrics:
      - metrics/evaluate.json: {cache: false}
"""
# Fold f tests images f0 and f1; the first is always right, the second always wrong.
STAGE = """\
import json, pathlib, yaml
split = yaml.safe_load(open("params.yaml"))["split"]
fold = split["fold"] if split["scheme"] == "kfold" else 9
if fold and pathlib.Path("BROKEN").exists():
    raise SystemExit("this fold cannot be trained")
pathlib.Path("data/predictions").mkdir(parents=True)
pathlib.Path("metrics").mkdir(exist_ok=True)
rows = "image_id,group,target,predicted,decision,flag,p_mel,p_nv"
for number, target in enumerate((0, 1)):
    rows += f"\\n{fold}{number},{fold}{number},{target},0,0,1,0.8,0.2"
pathlib.Path("data/predictions/test.csv").write_text(rows)
pathlib.Path("metrics/evaluate.json").write_text(json.dumps({"test": {"accuracy": 0.5, "fold": fold}}))
"""


def test_folds_run_in_a_copy_and_are_pooled(tmp_path: Path) -> None:
    made, broken = Workspace(tmp_path), tmp_path.with_name(f"{tmp_path.name}-broken")
    for path, content in {
        "params.yaml": PARAMS,
        "dvc.yaml": CHAIN,
        "stage.py": STAGE.replace("BROKEN", broken.as_posix()),
        "recipes/focal": "loss.gamma=2",
    }.items():
        made.write(path, content)
    environment = made.environment(GIT_CONFIG_COUNT="2", GIT_CONFIG_KEY_0="user.name", GIT_CONFIG_VALUE_0="Test")
    environment |= {"GIT_CONFIG_KEY_1": "user.email", "GIT_CONFIG_VALUE_1": "test@localhost"}
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"], ["git", "add", "-A"]):
        subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    subprocess.run(["git", "commit", "-qm", "all"], cwd=tmp_path, env=environment, check=True)
    command = [sys.executable, "-m", "experiments", "crossval", *("--recipe", "focal"), *("--folds", "2")]
    # A fold that fails is named, below its own words.
    broken.touch()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: focal-fold1 failed: see above; folds that ended")
    assert "this fold cannot be trained" in done.stderr
    broken.unlink()
    # Again: the names of the earlier cross-validation are taken over.
    done = subprocess.run(
        [*command, "--out", "cv.json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "params.yaml").read_text() == PARAMS
    assert not (tmp_path / "data").exists()
    found = json.loads((tmp_path / "cv.json").read_text())
    assert found["changes"] == {"loss.gamma": "2"}
    assert [fold["experiment"] for fold in found["folds"]] == ["focal-fold0", "focal-fold1"]
    assert [fold["test"]["fold"] for fold in found["folds"]] == [0, 1]
    assert found["pooled"]["accuracy"]["value"] == 0.5
    assert found["pooled"]["melanoma.sensitivity"]["value"] == 1.0
    assert found["pooled"]["flag.specificity"]["value"] == 0.0
    assert "accuracy" in done.stdout


def test_image_in_two_folds_is_refused() -> None:
    fold = Fold("a", {}, {}, pd.DataFrame({"image_id": ["x"]}))
    with pytest.raises(UserError, match="image x was tested in two folds"):
        pooled_report([fold, fold])
