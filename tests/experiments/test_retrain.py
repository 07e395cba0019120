"""A head trained again predicts what the stages stored; what it takes comes out of git and DVC's cache."""

import dataclasses
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from derm.errors import UserError
from derm.files import write_csv
from derm.heads.params import HeadParams
from experiments.compare import folds_of
from experiments.retrain import Experiment, _read, opened, read_predictions
from tests.experiments.conftest import Workspace
from tests.experiments.trained import Changes, Trained, params

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:dvc")

HEADS: dict[str, Changes] = {
    "linear": {},
    "mlp": {"head": {"type": "mlp"}},
    "fusion": {"head": {"type": "mlp", "metadata": True}, "train": {"members": 2}},
}
DATA = ("prepared", "split", "features", "predictions")
P = ["p_bkl", "p_mel", "p_nv"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    threads = torch.get_num_threads()
    made = Trained(tmp_path_factory.mktemp("trained"))
    done = {name: made.folder(name, changes) for name, changes in HEADS.items()}
    torch.set_num_threads(threads)
    return done


@pytest.mark.parametrize("part", ["val", "test"])
@pytest.mark.parametrize("name", HEADS)
def test_its_own_seed_gives_the_stored_predictions(folders: dict[str, Path], name: str, part: str) -> None:
    experiment = _read(name, part, folders[name])
    again = experiment.predict(0)
    assert experiment.is_what_it_was(again)
    # Read without the code under test: ids, outcomes, and probabilities to the six decimals that were stored.
    stored = pd.read_csv(folders[name] / f"data/predictions/{part}.csv")
    assert 30 < len(stored) == len(again)
    same = ["image_id", "group", "target", "predicted", "decision", "flag"]
    pd.testing.assert_frame_equal(again[same], stored[same])
    np.testing.assert_allclose(again[P], stored[P], rtol=0, atol=6e-7)


def test_other_predictions_are_not_what_it_was(folders: dict[str, Path]) -> None:
    experiment = _read("linear", "val", folders["linear"])
    again = experiment.predict(0)
    assert experiment.is_what_it_was(again)
    assert experiment.is_what_it_was(again.sample(frac=1, random_state=1))
    assert not experiment.is_what_it_was(again.drop(index=3))
    for column, change in {"p_mel": 1e-4, "p_nv": np.nan, "predicted": 1, "decision": 1, "flag": 1}.items():
        tampered = experiment.predictions.copy()
        tampered.loc[7, column] = (tampered[column] + change)[7] % 3
        assert not dataclasses.replace(experiment, predictions=tampered).is_what_it_was(again), column


def test_each_number_is_a_head_of_its_own(folders: dict[str, Path]) -> None:
    experiment = _read("fusion", "val", folders["fusion"])
    tables = [experiment.predict(number) for number in (0, 1, 2)]
    assert len({tuple(table["p_mel"].round(4)) for table in tables}) == 3
    pd.testing.assert_frame_equal(experiment.predict(1), tables[1], check_exact=True)
    assert not experiment.is_what_it_was(tables[1])


def test_seeded_by_head(folders: dict[str, Path]) -> None:
    experiment = _read("linear", "val", folders["linear"])

    def seeded(kind: str, metadata: bool) -> bool:
        head = experiment.sections.head.model_copy(update={"type": kind, "metadata": metadata})
        return dataclasses.replace(experiment, sections=experiment.sections.model_copy(update={"head": head})).seeded

    kinds = get_args(HeadParams.model_fields["type"].annotation)
    assert {kind for kind in kinds if not seeded(kind, metadata=False)} == {"linear", "knn"}
    # Beside metadata a linear head is trained by gradient steps.
    assert seeded("linear", metadata=True)


def test_predictions_without_a_positive_class(tmp_path: Path) -> None:
    table = pd.DataFrame({"image_id": ["007"], "group": ["1"], "target": [1], "predicted": [0], "decision": [1]})
    write_csv(tmp_path / "val.csv", table.assign(p_a=0.25, p_b=0.75, flag=""))
    read = read_predictions(tmp_path / "val.csv")
    assert read.to_dict("records") == [
        {"image_id": "007", "group": "1", "target": 1, "predicted": 0, "decision": 1, "p_a": 0.25, "p_b": 0.75}
        | {"flag": ""}
    ]


@pytest.fixture(scope="module")
def repository(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Revisions `empty` (no results), `older` (an older params.yaml) and HEAD, also called `cv-fold0`; the data are in
    DVC's cache alone."""
    from dvc.repo import Repo
    from dvc.repo.add import add

    made = Workspace(tmp_path_factory.mktemp("repository") / "my lesions")

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=Test", "-c", "user.email=test@localhost")
        subprocess.run(["git", *who, *arguments], cwd=made.folder, env=made.environment(), check=True)

    made.folder.mkdir()
    git("init", "-q")
    content = params({})
    made.write("params.yaml", yaml.safe_dump(content))
    with Repo.init(str(made.folder)) as repo:
        git("add", "-A")
        git("commit", "-qm", "no results yet")
        git("tag", "empty")
        shutil.copytree(folders["linear"] / "data", made.folder / "data")
        add(repo, [str(made.folder / "data" / name) for name in DATA])
    del content["train"]["members"]
    made.write("params.yaml", yaml.safe_dump(content))
    git("add", "-A")
    git("commit", "-qm", "older params")
    git("tag", "older")
    shutil.copyfile(folders["linear"] / "params.yaml", made.folder / "params.yaml")
    git("commit", "-qam", "all")
    git("tag", "cv-fold0")
    for name in DATA:
        shutil.rmtree(made.folder / "data" / name)
    return made.folder


@pytest.fixture
def inside(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(repository)
    return repository


def test_revision_is_read_from_the_cache(inside: Path, folders: dict[str, Path]) -> None:
    with opened("HEAD", "val") as experiment:
        assert isinstance(experiment, Experiment)
        assert (experiment.name, experiment.part) == ("HEAD", "val")
        assert experiment.is_what_it_was(experiment.predict(0))
        expected = _read("linear", "val", folders["linear"])
        pd.testing.assert_frame_equal(experiment.predictions, expected.predictions)
        assert experiment.sections == expected.sections
    assert not (inside / "data/features").exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nosuch", r"^nosuch: not an experiment or revision whose results are here \(.*nosuch.*\): see `dvc exp list`"),
        ("empty", r"^empty: .*data/prepared/images\.csv.*`dvc pull`$"),
        ("older", r"^older: params\.yaml: train\.members is missing$"),
    ],
)
def test_what_cannot_be_opened_is_one_line(inside: Path, name: str, told: str) -> None:
    with pytest.raises(UserError, match=told) as caught, opened(name, "val"):
        pass
    assert "\n" not in str(caught.value)


def test_results_that_are_not_in_the_cache_are_one_line(inside: Path) -> None:
    cache, away = inside / ".dvc/cache", inside / ".dvc/tmp/away"
    cache.rename(away)
    try:
        with pytest.raises(UserError, match=r"^HEAD: .*`dvc pull`$") as caught, opened("HEAD", "val"):
            pass
        assert "\n" not in str(caught.value)
    finally:
        shutil.rmtree(cache, ignore_errors=True)
        away.rename(cache)


@pytest.mark.usefixtures("inside")
def test_folds_of_a_cross_validation() -> None:
    assert folds_of("cv") == ["cv-fold0", "cv-fold1", "cv-fold2", "cv-fold3", "cv-fold4"]
    with pytest.raises(UserError, match=r"^nosuch: no experiment nosuch-fold0; make the folds first"):
        folds_of("nosuch")


def test_outside_a_repository_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^HEAD: not an experiment or revision"), opened("HEAD", "val"):
        pass


def test_command_with_an_unknown_name_ends_in_one_line(repository: Path) -> None:
    done = Workspace(repository).python("-m", "experiments", "compare", "nosuch", "nosuch2")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: nosuch: not an experiment or revision")
    assert done.stderr.count("\n") == 1
