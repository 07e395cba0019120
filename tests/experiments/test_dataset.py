"""Pointing data.root elsewhere."""

import subprocess
import sys
from pathlib import Path

import pytest

from derm.errors import UserError
from experiments.dataset import set_data_root

PARAMS = """\
# All knobs
data:
  root: data/sample  # where the images are
  max_rejected: 1e-3
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with git and DVC, a stage that makes data/sample, and one folder of images."""
    folder = tmp_path / "repository"
    (folder / "data/raw/ham").mkdir(parents=True)
    (folder / "data/raw/ham/a.txt").write_text("pixels")
    (folder / "params.yaml").write_text(PARAMS)
    (folder / "dvc.yaml").write_text("stages: {sample: {cmd: 'true', outs: [data/sample, {m: {cache: false}}]}}")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], check=True)
    return folder


def test_folder_inside_is_added_and_comments_stay(repository: Path) -> None:
    assert set_data_root("data/raw/../raw/ham/") == "data/raw/ham"
    assert Path("params.yaml").read_text() == PARAMS.replace("data/sample  ", "data/raw/ham ")
    staged = subprocess.run(["git", "diff", "--cached", "--name-only"], capture_output=True, text=True, check=True)
    assert {"data/raw/ham.dvc", "data/raw/.gitignore"} <= set(staged.stdout.split())
    assert set_data_root(str(repository / "data/raw/ham")) == "data/raw/ham"


def test_folder_that_a_stage_makes_is_not_added(repository: Path) -> None:
    assert set_data_root("data/sample") == "data/sample"
    assert not (repository / "data/sample.dvc").exists()


def test_absolute_path_elsewhere_is_used_as_it_is(repository: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "images"
    elsewhere.mkdir()
    assert set_data_root(str(elsewhere)) == str(elsewhere)
    assert f"root: {elsewhere} # where the images are" in Path("params.yaml").read_text()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("../images", "give it as an absolute path, or move it under data/raw"),
        ("data/raw/nothing", "is not a folder"),
        (".", "is the repository itself"),
    ],
)
def test_refused_in_one_line(repository: Path, given: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        set_data_root(given)
    assert (repository / "params.yaml").read_text() == PARAMS
