"""Point the chain at another folder of images."""

import io
import subprocess
from pathlib import Path

import yaml
from ruamel.yaml import YAML

from derm.errors import UserError
from derm.files import write_bytes
from derm.params import PARAMS_FILE, read_all
from experiments.commands import dvc


def set_data_root(given: str) -> str:
    """Set data.root in params.yaml, comments kept; returns what it was set to.

    A folder inside the repository that no stage makes is put under DVC (`dvc add`), so that queued runs, which
    work in a copy, find it. One elsewhere has to be given as an absolute path, for the same reason.
    UserError if the folder is missing or a relative path leaves the repository.
    """
    here = Path.cwd().resolve()
    path = Path(given).expanduser()
    absolute = (here / path).resolve()
    inside = absolute.is_relative_to(here)
    if not inside and not path.is_absolute():
        raise UserError(
            f"{given} lies outside the repository, and queued runs happen in a copy of it: give it as an absolute "
            "path, or move it under data/raw"
        )
    if absolute == here:
        raise UserError(f"{given} is the repository itself: put the images into a folder under data/raw")
    root = absolute.relative_to(here).as_posix() if inside else str(path)
    is_made = inside and root in _made_by_stages()
    if not absolute.is_dir() and not is_made:
        raise UserError(f"{given} is not a folder: expected the folder that holds the images and their table")
    if "root" not in (read_all().get("data") or {}):
        raise UserError(f"{PARAMS_FILE}: data.root is missing")
    if inside and not is_made:
        _add(Path(root))
    _write(root)
    return root


def _made_by_stages() -> set[str]:
    """The outputs that dvc.yaml names."""
    try:
        stages = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    except FileNotFoundError:
        raise UserError("dvc.yaml is missing: run from the repository's root") from None
    outs = [out for stage in stages.values() for out in stage.get("outs") or []]
    return {out if isinstance(out, str) else next(iter(out)) for out in outs}


def _add(folder: Path) -> None:
    if dvc("add", str(folder)):
        raise UserError(f"`dvc add {folder}` failed: see above")
    files = [f"{folder}.dvc", str(folder.parent / ".gitignore")]
    if subprocess.run(["git", "add", "--", *files], check=False).returncode:
        raise UserError(f"`git add {' '.join(files)}` failed: see above")


def _write(root: str) -> None:
    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 4096  # never break a line that somebody wrote as one
    with PARAMS_FILE.open(encoding="utf-8") as stream:
        content = editor.load(stream)
    content["data"]["root"] = root
    text = io.StringIO()
    editor.dump(content, text)
    write_bytes(PARAMS_FILE, text.getvalue().encode())
