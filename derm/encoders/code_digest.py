"""What a piece of code does, as one number: the same for another comment, docstring, layout or version of Python."""

import ast
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

from derm.files import canonical_json

DERM = Path(__file__).resolve().parents[1]


def code_digest(modules: Iterable[str]) -> str:
    """SHA-256 over the syntax trees of modules, named by their path below `derm/`, as 64 hex digits."""
    digest = sha256()
    for module in sorted(modules):
        tree = ast.parse((DERM / module).read_text(encoding="utf-8"))
        digest.update(f"{module}\0{canonical_json(_plain(tree))}\n".encode())
    return digest.hexdigest()


def _plain(node: Any) -> Any:
    """A syntax tree as nested lists, without docstrings and without fields that are empty: those that a version of
    Python adds are."""
    if isinstance(node, ast.AST):
        fields = [[name, _plain(value)] for name, value in ast.iter_fields(node)]
        return [type(node).__name__, *(field for field in fields if field[1] not in (None, []))]
    if isinstance(node, list):
        return [_plain(item) for item in node if not _is_docstring(item)]
    return node if isinstance(node, str | int | bool | None) else repr(node)


def _is_docstring(node: Any) -> bool:
    """A bare text as a statement: a docstring, or as idle as one."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
