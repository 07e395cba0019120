"""Pointing data.root elsewhere, adding external sets, keeping a split."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from derm.errors import UserError
from derm.files import file_digest
from experiments.dataset import keep_split, remove_external, set_data, set_external
from tests.derm.sources.folder import picture

PARAMS = """\
# All knobs
data:
  source: ham10000  # which layout
  root: data/sample  # where the images are
  table: ''
  columns: {}  # what the table calls them
  external: []  # further sets
  max_rejected: 1e-3
split: {scheme: holdout, keep: '', keep_sha256: ''}
"""


def data() -> dict:
    """Section `data` of params.yaml, read by another reader."""
    return yaml.safe_load(Path("params.yaml").read_text())["data"]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with git and DVC, a stage that makes data/sample, and one folder of images."""
    folder = tmp_path / "repository"
    (folder / "data/raw/ham").mkdir(parents=True)
    (folder / "data/raw/ham/HAM10000_metadata.csv").write_text("image_id,dx\n")
    (folder / "params.yaml").write_text(PARAMS)
    (folder / "dvc.yaml").write_text("stages: {sample: {cmd: 'true', outs: [data/sample, {m: {cache: false}}]}}")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], check=True)
    return folder


def test_folder_inside_is_added_and_comments_stay(repository: Path) -> None:
    assert set_data("data/raw/../raw/ham/")["root"] == "data/raw/ham"
    assert Path("params.yaml").read_text() == PARAMS.replace("data/sample  ", "data/raw/ham ")
    staged = subprocess.run(["git", "diff", "--cached", "--name-only"], capture_output=True, text=True, check=True)
    assert {"data/raw/ham.dvc", "data/raw/.gitignore"} <= set(staged.stdout.split())
    assert set_data(str(repository / "data/raw/ham"))["root"] == "data/raw/ham"


def test_folder_that_a_stage_makes_is_not_added(repository: Path) -> None:
    assert set_data("data/sample")["root"] == "data/sample"
    assert not (repository / "data/sample.dvc").exists()


def test_absolute_path_elsewhere_is_used_as_it_is(repository: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "images"
    picture(elsewhere / "nevus/a.jpg")
    picture(elsewhere / "melanoma/b.jpg")
    assert set_data(str(elsewhere)) == {"source": "folders", "root": str(elsewhere), "table": "", "columns": {}}
    assert data()["source"] == "folders"
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
        set_data(given)
    assert (repository / "params.yaml").read_text() == PARAMS


def test_a_table_with_its_columns(repository: Path) -> None:
    set_data("data/raw/ham", "table", "HAM10000_metadata.csv", "image_id=image_id diagnosis=dx")
    assert (
        data()["columns"] == {"image_id": "image_id", "diagnosis": "dx"} and data()["table"] == "HAM10000_metadata.csv"
    )
    text = Path("params.yaml").read_text()
    assert "# which layout" in text and "# what the table calls them" in text
    with pytest.raises(UserError, match="'diagnosis' is not name=column"):
        set_data("data/raw/ham", "table", "HAM10000_metadata.csv", "diagnosis")
    with pytest.raises(UserError, match="expected one of ham10000, isic, folders, table"):
        set_data("data/raw/ham", "isic2018")


def test_external_sets_come_with_their_digest_and_go_again(repository: Path, tmp_path: Path) -> None:
    away = tmp_path / "away"
    picture(away / "nevus/a.jpg", 1)
    picture(away / "melanoma/b.jpg", 2)
    first = set_external("away", str(away))
    assert data()["external"] == [{"name": "away", "source": "folders", "root": str(away), "digest": first["digest"]}]
    assert len(first["digest"]) == 64 and "# further sets" in Path("params.yaml").read_text()
    picture(away / "nevus/c.jpg", 3)
    second = set_external("away", str(away))
    assert [one["digest"] for one in data()["external"]] == [second["digest"]] != [first["digest"]]
    with pytest.raises(UserError, match="no set 'home'; it has: away"):
        remove_external("home")
    remove_external("away")
    assert data()["external"] == []


def test_a_split_is_kept_with_its_digest(repository: Path) -> None:
    with pytest.raises(UserError, match=r"split\.csv is missing"):
        keep_split()
    Path("data/split").mkdir()
    Path("data/split/split.csv").write_text("image_id,part\na,train\nb,test\n")
    assert keep_split() == 2
    split = yaml.safe_load(Path("params.yaml").read_text())["split"]
    assert split["keep"] == "data/kept_split.csv" and split["keep_sha256"] == file_digest(Path(split["keep"]))
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("holdout", "kfold"))
    with pytest.raises(UserError, match="only a split by holdout"):
        keep_split()
