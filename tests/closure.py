"""What else the house's rules want to know of a script: params sections, libraries."""

import ast
import sys
from pathlib import Path

from experiments.closure import PACKAGES, ROOT, imported_files, module_file, reached_files, syntax_tree

__all__ = ["PACKAGES", "ROOT", "imported_files", "module_file", "reached_files"]


def third_party(script: Path) -> set[str]:
    """Top-level names of what the script and all that it reaches import, but for the standard library and the house."""
    found = set()
    for path in reached_files(script):
        if path.suffix == ".py":
            for node in ast.walk(syntax_tree(path)):
                if isinstance(node, ast.Import):
                    found |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    found.add(str(node.module).split(".")[0])
    return found - set(sys.stdlib_module_names) - set(PACKAGES)


def loaded_sections(script: Path) -> set[str]:
    """Sections named in `load("section", ...)` calls anywhere in the script or in what it reaches."""
    sections = set()
    for path in reached_files(script):
        if path.suffix != ".py":
            continue
        for node in ast.walk(syntax_tree(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "load":
                first = node.args[0] if node.args else None
                assert isinstance(first, ast.Constant), f"{path}:{node.lineno}: load() needs the section's literal name"
                sections.add(str(first.value))
    return sections


def reads_all_params(script: Path) -> bool:
    """Whether the script, or what it reaches apart from derm/params.py, reads the whole params file."""
    for path in reached_files(script):
        if path.suffix != ".py" or path == Path("derm/params.py"):
            continue
        for node in ast.walk(syntax_tree(path)):
            if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node).split(".")[-1] == "read_all":
                return True
    return False
