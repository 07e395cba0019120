"""The whole chain in fresh clones of this working tree: what `make repro` promises (promises 1, 3, 4 and 6)."""

import base64
import json
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from derm.classifier import Classifier
from derm.images import decode
from tests.clone import Clone, agreeing, run, runs
from tests.closure import ROOT
from tests.servers import model_server

pytestmark = pytest.mark.chain

AFTER_THE_LOSS = ["train_head", "calibrate", "evaluate", "explain", "package", "report", "track"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which the chain has run once."""
    made = Clone(tmp_path_factory.mktemp("first") / "repository")
    made.dvc("remote", "add", "-d", "storage", "../storage")
    made.git("commit", "-qam", "a folder as DVC's remote")
    started = time.monotonic()
    made.dvc("repro")
    assert made.python("-m", "stages.track").returncode == 0  # as `make repro` does
    print(f"dvc repro in a fresh clone: {time.monotonic() - started:.0f} s")
    return made


def test_every_stage_ran_and_the_numbers_are_complete(clone: Clone) -> None:
    assert sorted(clone.stages_run()) == sorted(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
    metrics = clone.json("metrics/evaluate.json")
    headline = {"accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "macro_auc", "nll", "brier", "ece"}
    headline |= {"classwise_ece"}
    melanoma = {"auc", "average_precision", "sensitivity", "specificity", "precision"}
    melanoma |= {"specificity_at_95_sensitivity", "sensitivity_at_95_specificity"}
    melanoma |= {"partial_auc_above_80_sensitivity"}
    for part in ("val", "test"):
        assert headline | {"melanoma", "decision", "flag", "conformal", "ood"} == set(metrics[part])
        assert {"coverage", "mean_size", "melanoma_coverage"} == set(metrics[part]["conformal"])
        assert {"outside"} == set(metrics[part]["ood"])
        assert melanoma == set(metrics[part]["melanoma"])
        assert {"accuracy", "balanced_accuracy", "macro_f1", "melanoma_sensitivity", "melanoma_specificity"} == set(
            metrics[part]["decision"]
        )
        assert {"sensitivity", "specificity", "precision"} == set(metrics[part]["flag"])


def test_the_sample_is_neither_solved_nor_hopeless(clone: Clone) -> None:
    assert 0.6 <= clone.json("metrics/evaluate.json")["test"]["balanced_accuracy"] <= 0.9


def test_every_headline_number_has_an_interval_that_holds_it(clone: Clone) -> None:
    """Promise 6."""
    intervals = pd.read_csv(clone.folder / "plots/evaluate/intervals.csv").set_index(["part", "metric"])

    def flat(tree: dict, prefix: str = "") -> dict[str, float]:
        found = {}
        for key, value in tree.items():
            found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        return found

    for part, numbers in clone.json("metrics/evaluate.json").items():
        for metric, value in flat(numbers).items():
            row = intervals.loc[(part, metric)]
            assert row["value"] == pytest.approx(value, abs=2e-6)
            # A bootstrap adds noise to a calibration error, so its own value may lie below.
            if metric not in ("ece", "classwise_ece"):
                assert row["low"] <= value <= row["high"], metric


def test_the_committed_lock_and_metrics_are_of_this_code(clone: Clone) -> None:
    """`git status` is clean after `make repro`; on another machine type the bytes may differ, the numbers may not."""
    committed, computed = (
        yaml.safe_load(clone.git("show", "HEAD:dvc.lock")),
        yaml.safe_load((clone.folder / "dvc.lock").read_text()),
    )
    for name, stage in computed["stages"].items():
        code = [dep for dep in stage["deps"] if dep["path"].endswith((".py", ".html"))]
        assert [dep for dep in committed["stages"][name]["deps"] if dep in code] == code, f"{name}: run dvc repro"
        assert committed["stages"][name].get("params") == stage.get("params"), f"{name}: run dvc repro"
    if committed["stages"]["sample"] != computed["stages"]["sample"]:
        pytest.skip("this machine draws other bytes than the one that made dvc.lock: compare numbers by `make verify`")
    assert clone.git("status", "--porcelain") == ""


def test_again_nothing_runs(clone: Clone) -> None:
    before = clone.stages_run()
    started = time.monotonic()
    told = clone.dvc("repro")
    seconds = time.monotonic() - started
    print(f"dvc repro with nothing to do: {seconds:.2f} s")
    assert clone.stages_run() == before
    assert "Running stage" not in told


def test_a_second_clone_gives_the_same_lock(clone: Clone, tmp_path: Path) -> None:
    """Promise 3: other folder, other time, empty caches; only one decoding thread."""
    other = Clone(tmp_path / "elsewhere" / "another name")
    run([sys.executable, "-m", "dvc", "repro"], other.folder, DERM_WORKERS="1")
    assert (other.folder / "dvc.lock").read_bytes() == (clone.folder / "dvc.lock").read_bytes()


def test_the_packaged_classifier_predicts_what_the_chain_did(clone: Clone) -> None:
    images = pd.read_csv(clone.folder / "data/prepared/images.csv").set_index("image_id")["path"]
    chain = pd.read_csv(clone.folder / "data/predictions/test.csv")
    paths = [images[image_id] for image_id in chain["image_id"]]
    bad = clone.folder / "broken.jpg"
    bad.write_bytes(b"\xff\xd8 broken")
    done = clone.python("-m", "derm", "predict", *paths, "broken.jpg", "--out", "predictions.csv")
    bad.unlink()
    assert done.returncode == 1
    table = pd.read_csv(clone.folder / "predictions.csv")
    (clone.folder / "predictions.csv").unlink()
    assert "decoded" in table["status"].iloc[-1] or "image" in table["status"].iloc[-1]
    told = table.iloc[:-1]
    columns = [name for name in chain.columns if name.startswith("p_")]
    np.testing.assert_allclose(told[columns], chain[columns], atol=1e-4)
    for column in ("predicted", "decision", "flag", "ood"):
        assert list(told[column]) == list(chain[column])
    assert list(told["set"].fillna("")) == list(chain["set"].fillna(""))
    assert list(told["quality"].fillna("")) == list(chain["quality"].fillna(""))
    assert (told["nearest"].str.count(r"\|") == 2).all()


@pytest.fixture
def served(clone: Clone, tmp_path: Path) -> Iterator[str]:
    [found] = runs(clone)
    store = f"sqlite:///{clone.folder / 'mlflow.db'}"
    with model_server(f"runs:/{found['id']}/classifier", store, tmp_path) as address:
        yield address


def test_the_served_model_says_what_the_command_line_and_the_package_do(clone: Clone, served: str) -> None:
    images = sorted((clone.folder / "data/sample").rglob("*.jpg"))[:5]

    def asked(pictures: list[bytes]) -> dict:
        records = [{"image": base64.b64encode(picture).decode(), "age": 50} for picture in pictures]
        body, header = json.dumps({"dataframe_records": records}).encode(), {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(served, body, header)) as answer:
            return json.loads(answer.read(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))

    answers = asked([path.read_bytes() for path in images])["predictions"]
    clone.python("-m", "derm", "predict", *map(str, images), "--out", ".derm/answers.csv")
    table = pd.read_csv(clone.folder / ".derm/answers.csv").drop(columns=["image", "status"])
    assert list(answers[0]) == list(table.columns)
    package = Classifier.load(clone.folder / "models/classifier").predict(
        [decode(path.read_bytes()) for path in images]
    )
    for column in table.columns:
        said = [answer[column] for answer in answers]
        if pd.api.types.is_float_dtype(package.get(column, pd.Series(dtype=object)).dtype):
            said = np.array(said, dtype=float)
            np.testing.assert_allclose(said, package[column], rtol=0, atol=1e-6)
            np.testing.assert_allclose(said, table[column], rtol=0, atol=1e-6)
        else:
            assert said == table[column].fillna("").tolist(), column
    with pytest.raises(HTTPError) as refused:
        asked([b"no picture"])
    assert refused.value.code == 400 and "image 0: expected the base64 text" in refused.value.read().decode()


def test_an_experiment_runs_what_follows_and_going_back_is_restored(clone: Clone) -> None:
    """After those that look at what the chain has left: it runs it with other params."""
    before = clone.stages_run()
    clone.dvc("exp", "run", "-S", "loss.gamma=2", "-n", "focal")
    assert clone.stages_run()[len(before) :] == AFTER_THE_LOSS
    assert "test.nll" in clone.dvc("metrics", "diff")
    before = clone.stages_run()
    clone.dvc("exp", "run", "-S", "loss.gamma=0.0", "-n", "back")
    assert clone.stages_run()[len(before) :] == ["track"]
    found = runs(clone)
    assert len(found) == len({run["derm.key"] for run in found}) == 2
    clone.git("checkout", "params.yaml")  # `-S` has written it anew, with the same values
    assert clone.git("status", "--porcelain") == ""


def test_the_experiment_is_compared_with_what_is_committed(clone: Clone) -> None:
    """After the experiment above."""
    done = clone.python("-m", "experiments", "compare", "HEAD", "focal")
    assert done.returncode == 0, done.stderr
    assert "fitted models" in done.stdout.splitlines()[0]
    made = clone.folder / ".derm/compare/HEAD-vs-focal"
    primary = pd.read_csv(made / "differences.csv").iloc[0]
    measured = clone.json("metrics/evaluate.json")["val"]["decision"]["balanced_accuracy"]
    assert (primary["metric"], primary["a"]) == ("decision.balanced_accuracy", pytest.approx(measured, abs=2e-6))
    for name in ("differences.png", "disagreements.png"):
        with Image.open(made / name) as picture:
            picture.load()
    assert clone.git("status", "--porcelain") == ""


def test_the_experiment_replaces_the_champion_or_says_why_not(clone: Clone) -> None:
    """After the experiment above."""
    first = clone.python("-m", "experiments", "promote", "HEAD")
    assert first.stdout.startswith("HEAD is version 1 of skin-lesions and its champion"), first.stderr
    then = clone.python("-m", "experiments", "promote", "focal")
    told = then.stdout or then.stderr.splitlines()[-1]
    measured = yaml.safe_load(clone.git("show", "HEAD:metrics/evaluate.json"))["val"]["decision"]
    assert f"against {measured['balanced_accuracy']:.4f} of the champion (version 1)" in told


def test_a_team_member_pulls_everything_and_computes_nothing(clone: Clone) -> None:
    """After the experiment above: a bare repository and a folder are all that the two have in common."""
    bare = clone.folder.parent / "bare.git"
    clone.git("init", "-q", "--bare", str(bare))
    clone.git("remote", "add", "origin", str(bare))
    clone.git("push", "-q", "origin", "HEAD:refs/heads/main")
    clone.git("checkout", "-q", "HEAD", "--", ".")
    clone.dvc("checkout", "--quiet")
    clone.dvc("push")
    clone.dvc("exp", "push", "origin", "focal")

    member = Clone.of(bare, clone.folder.parent / "member")
    member.dvc("pull")
    assert "up to date" in member.dvc("status")
    assert "Running stage" not in member.dvc("repro")
    member.dvc("exp", "pull", "origin", "focal")
    member.dvc("exp", "apply", "focal")
    assert "Running stage" not in member.dvc("repro")
    clone.dvc("exp", "apply", "focal")
    for file in ("data/predictions/test.csv", "plots/report/index.html", "models/classifier/head.safetensors"):
        assert (member.folder / file).read_bytes() == (clone.folder / file).read_bytes(), file
    assert member.json("metrics/evaluate.json") == clone.json("metrics/evaluate.json")
    assert member.stages_run() == []
    assert member.git("status", "--porcelain", "--", ".dvc") == ""


def test_the_workflow_tells_what_the_experiment_changes(clone: Clone) -> None:
    """After the experiment above: the very script of the workflow file, as a runner would start it."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/pipeline.yml").read_text())
    [script] = [step["run"] for step in workflow["jobs"]["metrics"]["steps"] if step.get("name") == "What it changes"]
    (clone.folder / ".venv/bin").mkdir(parents=True, exist_ok=True)
    (clone.folder / ".venv/bin/activate").write_text("")
    told = []
    for state in ("HEAD", "focal"):
        clone.git("checkout", "-q", "HEAD", "--", ".")
        if state == "focal":
            clone.dvc("exp", "apply", "focal")
        summary = clone.folder.parent / f"{state}.md"
        run(["bash", "-e", "-c", script], clone.folder, BASE="HEAD", GITHUB_STEP_SUMMARY=str(summary))
        told.append(summary.read_text())
    (clone.folder / "difference.md").unlink()
    assert told[0].count("None has changed.") == 2 and "dvc.lock does not match" not in told[0]
    headline, rest = told[1].split("<details>")
    assert "| metrics/evaluate.json | val.nll " in headline and "train_head" not in headline
    assert "| metrics/train_head.json |" in rest


def test_what_mlflow_has_is_what_dvc_shows_number_for_number(clone: Clone) -> None:
    """After the experiments above; one of them changes a param that has no effect."""
    clone.git("checkout", "-q", "HEAD", "--", ".")
    clone.dvc("checkout", "--quiet")
    clone.dvc("exp", "run", "-S", "head.dropout=0.3", "-n", "no-effect")
    tracked = agreeing(clone, runs(clone))
    assert {"focal", "no-effect"} <= set(tracked)
    assert tracked["focal"]["params"]["loss.gamma"] != tracked["no-effect"]["params"]["loss.gamma"]
    before = clone.stages_run()
    clone.dvc("exp", "run", "-S", "head.dropout=0.3", "-n", "no-effect-again")
    assert clone.stages_run()[len(before) :] in ([], ["track"])
    assert len(runs(clone)) == len({run["derm.key"] for run in runs(clone)}) == 3
