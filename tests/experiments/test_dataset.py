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
  min_side: 1
  max_pixels: 1000
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


@pytest.fixture
def away(repository: Path) -> str:
    """Two class folders inside the repository."""
    picture(repository / "data/raw/away/nevus/a.jpg", 1)
    picture(repository / "data/raw/away/melanoma/b.jpg", 2)
    (repository / "data/raw/away/labels.csv").write_text("file,label\n")
    return "data/raw/away"


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("Nine Set", ("folders",), "'Nine Set', expected a short name of lower-case letters"),
        ("away", ("table",), "table is empty: name the CSV file"),
        ("away", ("table", "labels.csv"), "must say which column is `diagnosis`"),
        ("away", ("table", "labels.csv", "diagnosis=label"), "which is `path` or `image_id`"),
        ("away", ("table", "labels.csv", "file=file diagnosis=label"), "names 'file', expected some of image_id, path"),
        ("away", ("folders", "labels.csv"), "--table and --columns go with --source table"),
    ],
)
def test_nothing_is_written_that_would_break_the_stages(away: str, name: str, options: tuple, expected: str) -> None:
    with pytest.raises(UserError, match=expected) as told:
        set_external(name, away, *options)
    if name == "away":
        with pytest.raises(UserError, match=expected):
            set_data(away, *options)
    assert "\n" not in str(told.value)
    assert Path("params.yaml").read_text() == PARAMS and not Path(f"{away}.dvc").exists()


def test_another_layout_forgets_the_table_and_keeps_the_rest(away: str) -> None:
    set_external("away", away, "table", "labels.csv", "path=file diagnosis=label")
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("name: away", "name: away, label_map: {nevus: nv}"))
    set_external("away", away, "folders")
    (entry,) = data()["external"]
    assert entry["label_map"] == {"nevus": "nv"} and entry["source"] == "folders" and len(entry["digest"]) == 64
    assert not {"table", "columns"} & set(entry)


@pytest.mark.parametrize(
    ("external", "expected"),
    [
        ("[5]", r"data\.external\.0 is 5, expected"),
        ("x", r"data\.external is 'x', expected a list"),
        ("[{source: folders}]", r"data\.external\.0\.name is missing"),
    ],
)
def test_odd_external_sets_are_one_line(away: str, external: str, expected: str) -> None:
    odd = PARAMS.replace("external: []", f"external: {external}")
    Path("params.yaml").write_text(odd)
    with pytest.raises(UserError, match=expected):
        set_external("away", away, "folders")
    with pytest.raises(UserError, match=expected):
        remove_external("away")
    assert Path("params.yaml").read_text() == odd


def test_a_bad_set_can_be_taken_out(repository: Path) -> None:
    Path("params.yaml").write_text(PARAMS.replace("external: []", "external: [{name: Nine Set, source: folders}]"))
    remove_external("Nine Set")
    assert data()["external"] == []


def test_odd_sections_are_one_line(away: str) -> None:
    Path("params.yaml").write_text("data: 5\nsplit: 5\n")
    with pytest.raises(UserError, match="split is 5, expected a section"):
        keep_split()
    for change in (lambda: set_data(away), lambda: set_external("away", away), lambda: remove_external("away")):
        with pytest.raises(UserError, match="data is 5, expected a section"):
            change()


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
