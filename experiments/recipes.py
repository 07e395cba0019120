"""What to change for an experiment: named recipes, and the pairs of ``--set``."""

import re
import shlex
from pathlib import Path

from derm.errors import UserError

RECIPES = Path("recipes")
_KEY = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+)*")
_COMMENT = re.compile(r"(^|\s)#.*")

Changes = dict[str, str]
"""Param -> new value as text, just as ``dvc exp run -S`` takes it."""


def changes(recipe: str | None, pairs: str) -> Changes:
    """A recipe's pairs (none if it is None), then those of ``--set``: the later one wins. UserError as below."""
    return (read_recipe(recipe) if recipe else {}) | parse_pairs(pairs)


def available(folder: Path = RECIPES) -> list[str]:
    """The recipes that there are: files of ``folder`` without an ending, or with ``.txt``."""
    if not folder.is_dir():
        return []
    return sorted(path.stem for path in folder.iterdir() if path.is_file() and path.suffix in ("", ".txt"))


def read_recipe(name: str, folder: Path = RECIPES) -> Changes:
    """The pairs of ``recipes/<name>``: one ``key=value`` a line; ``#`` and what follows it is a comment.

    UserError lists the recipes if there is none of that name, and names file and line if one cannot be read.
    """
    name = name.removesuffix(".txt")
    if name not in available(folder):
        known = ", ".join(available(folder)) or "none"
        raise UserError(f"recipe `{name}` does not exist; there are: {known}")
    path = next(path for path in (folder / name, folder / f"{name}.txt") if path.is_file())
    found: Changes = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        pair = _COMMENT.sub("", line).strip()
        if pair:
            key, value = _pair(pair, f"{path}:{number}")
            found[key] = value
    return found


def parse_pairs(text: str) -> Changes:
    """``"loss.gamma=2 encoder.model_args={pad_type:same}"`` -> its pairs; quotes as in a shell.

    UserError names the pair that is not ``key=value``.
    """
    try:
        pairs = shlex.split(text)
    except ValueError as error:
        raise UserError(f"--set {text!r} cannot be split into pairs: {error}") from None
    return dict(_pair(pair, "--set") for pair in pairs)


def as_arguments(chosen: Changes) -> list[str]:
    """The changes as arguments of ``dvc exp run``.

    A mapping, also in a list, gets DVC's ``++``: without it, keys that are not there at present would be refused.
    """
    pairs = [f"{'++' if '{' in value else ''}{key}={value}" for key, value in chosen.items()]
    return [argument for pair in pairs for argument in ("-S", pair)]


def _pair(text: str, where: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not equals or not value or not _KEY.fullmatch(key):
        raise UserError(f"{where}: expected section.key=value, found {text!r}")
    return key, value
