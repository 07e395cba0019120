"""Recipes and --set: what they take, and how they say no."""

from pathlib import Path

import pytest

from derm.errors import UserError
from experiments.crossval import fold_changes
from experiments.recipes import as_arguments, available, changes, parse_pairs, read_recipe
from tests.experiments.conftest import Workspace


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    (recipes / "focal").write_text("# Focal loss\n\nloss.gamma = 2  # as in the paper\nhead.kind=linear\n")
    (recipes / "mobilenet.txt").write_text("encoder.model_args={pad_type:same}\nencoder.weights=a#b\n")
    (recipes / "README.md").write_text("not a recipe")


def test_recipe_is_read_with_comments_and_dicts() -> None:
    assert read_recipe("focal") == {"loss.gamma": "2", "head.kind": "linear"}
    assert read_recipe("mobilenet") == read_recipe("mobilenet.txt")
    assert read_recipe("mobilenet") == {"encoder.model_args": "{pad_type:same}", "encoder.weights": "a#b"}


def test_pairs_win_over_the_recipe() -> None:
    chosen = changes("focal", "loss.gamma=3 encoder.model_args={pad_type:same} 'a.b=c d'")
    assert as_arguments(chosen) == [
        *("-S", "loss.gamma=3"),
        *("-S", "head.kind=linear"),
        *("-S", "++encoder.model_args={pad_type:same}"),
        *("-S", "a.b=c d"),
    ]
    assert changes(None, "") == {}


def test_unknown_recipe_lists_those_there_are() -> None:
    assert available() == ["focal", "mobilenet"]
    for name in ("focl", "../recipes/focal", "README"):
        with pytest.raises(UserError, match="there are: focal, mobilenet"):
            read_recipe(name)


@pytest.mark.parametrize("line", ["loss.gamma", "loss.gamma=", "=2", "+loss.new=1", "loss gamma=2", "loss.=1"])
def test_malformed_line_is_named(line: str) -> None:
    Path("recipes/bad").write_text(f"# first\n{line}\n")
    with pytest.raises(UserError, match=r"recipes/bad:2: expected section\.key=value"):
        read_recipe("bad")


@pytest.mark.parametrize("text", ["gamma", "a.b='1", "a.b=1 2"])
def test_malformed_pair_is_named(text: str) -> None:
    with pytest.raises(UserError, match="--set"):
        parse_pairs(text)


def test_fold_wins_over_what_was_chosen() -> None:
    assert fold_changes({"split.scheme": "holdout", "loss.gamma": "2"}, 5, 3) == {
        "split.scheme": "kfold",
        "loss.gamma": "2",
        "split.folds": "5",
        "split.fold": "3",
    }


def test_command_line_says_no_in_one_line(workspace: Workspace) -> None:
    for arguments in (["run", "--recipe", "nope"], ["run", "--set", "x"], ["run", "--queue", "--temp"], ["data", ".."]):
        done = workspace.python("-m", "experiments", *arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
        assert done.stderr.startswith("error: ")
