"""Which local files a script reaches by import, read from the code itself: what a stage or a served model needs."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("derm", "stages", "experiments")


def module_file(name: str) -> Path | None:
    """The file of a local module, relative to the repository; None if it is not one of ours."""
    if name.split(".", maxsplit=1)[0] not in PACKAGES:
        return None
    path = Path(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if (ROOT / candidate).is_file():
            return candidate
    return None


@cache
def imported_files(path: Path) -> frozenset[Path]:
    """Local modules that a file names in any import statement, those inside functions included."""
    found = set()
    for node in ast.walk(syntax_tree(path)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; the house imports by full name"
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [str(node.module)]
        for name in names:
            file = module_file(name)
            if file is not None and file.name != "__init__.py":
                found.add(file)
    return frozenset(found)


def package_file(folder: Path) -> Path | None:
    """The `__init__.py` that Python runs before any module of the folder; None where it says nothing."""
    file = folder / "__init__.py"
    return file if (ROOT / file).is_file() and (ROOT / file).read_text(encoding="utf-8").strip() else None


def files_beside(path: Path) -> set[Path]:
    """Templates and code that a module names in a string and that stand beside it."""
    named = {node.value for node in ast.walk(syntax_tree(path)) if isinstance(node, ast.Constant)}
    names = {
        name
        for name in named
        if isinstance(name, str) and name.endswith((".py", ".html", ".md", ".csv")) and "/" not in name
    }
    return {path.with_name(name) for name in names if (ROOT / path.with_name(name)).is_file()}


def reached_files(script: Path) -> set[Path]:
    """The script and every local module it reaches, with the files beside them that they name."""
    reached, waiting = set(), [script]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += [package for package in map(package_file, path.parents) if package is not None]
            if path.suffix == ".py":
                waiting += imported_files(path) | files_beside(path)
    return reached


@cache
def syntax_tree(path: Path) -> ast.Module:
    """Of a file, as a path from ROOT."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))
