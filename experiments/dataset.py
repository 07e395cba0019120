"""Point the chain at another folder of images, add external sets, keep a split."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from derm.errors import UserError
from derm.files import file_digest, read_csv
from derm.folder_digest import folder_digest
from derm.params import PARAMS_FILE, read_all
from derm.sources.detect import LAYOUTS, detect_source
from experiments.commands import dvc
from experiments.params_file import change_params, flow_list

SPLIT = Path("data/split/split.csv")
KEPT = Path("data/kept_split.csv")


def set_data(given: str, source: str | None = None, table: str = "", columns: str = "") -> dict[str, Any]:
    """Set data.root and data.source in params.yaml, comments kept; returns what was set.

    A folder inside the repository that no stage makes is put under DVC (`dvc add`), so that queued runs, which
    work in a copy, find it. One elsewhere has to be given as an absolute path, for the same reason.
    source: None looks at the folder. table, columns: of the layout `table`, columns as "path=file diagnosis=label".
    UserError if the folder is missing or unknown, or a relative path leaves the repository.
    """
    if "root" not in (read_all().get("data") or {}):
        raise UserError(f"{PARAMS_FILE}: data.root is missing")
    root, is_made = _root(given)
    chosen = {"source": _layout(Path(root), source, is_made), "root": root, "table": table, "columns": _pairs(columns)}
    if not is_made and not Path(root).is_absolute():
        _add(Path(root))
    change_params(lambda params: params["data"].update(chosen))
    return chosen


def set_external(
    name: str, given: str, source: str | None = None, table: str = "", columns: str = ""
) -> dict[str, Any]:
    """Add an external set to data.external, or set it anew, with the digest of its files; returns its entry."""
    root, _ = _root(given)
    entry: dict[str, Any] = {"name": name, "source": _layout(Path(root), source, False), "root": root}
    if table:
        entry |= {"table": table, "columns": _pairs(columns)}
    if not Path(root).is_absolute():
        _add(Path(root))
    entry["digest"] = folder_digest(Path(root))

    sets = _external()
    earlier = next((one for one in sets if one["name"] == name), None)
    if earlier is None:
        sets.append(entry)
    else:  # what else was set for it, such as a label_map, stays
        earlier.update(entry)
    change_params(lambda params: params["data"].update(external=flow_list(sets)))
    return entry


def remove_external(name: str) -> None:
    """Take an external set out of data.external. UserError if there is none of this name."""
    sets = _external()
    names = [one["name"] for one in sets]
    if name not in names:
        raise UserError(f"data.external has no set {name!r}; it has: {', '.join(names) or 'none'}")
    del sets[names.index(name)]
    change_params(lambda params: params["data"].update(external=flow_list(sets)))


def keep_split() -> int:
    """Copy the present split to `KEPT` and name it in split.keep; returns how many images it holds.

    UserError if the split is not by `holdout`, or there is none.
    """
    scheme = (read_all().get("split") or {}).get("scheme")
    if scheme != "holdout":
        raise UserError(f"split.scheme is {scheme}: only a split by holdout can be kept")
    images = len(read_csv(SPLIT))
    shutil.copyfile(SPLIT, KEPT)
    _git_add([str(KEPT)])
    change_params(lambda params: params["split"].update(keep=KEPT.as_posix(), keep_sha256=file_digest(KEPT)))
    return images


def _external() -> list[dict[str, Any]]:
    """data.external as it stands in params.yaml."""
    return [dict(one) for one in (read_all().get("data") or {}).get("external") or []]


def _root(given: str) -> tuple[str, bool]:
    """The folder as params name it, and whether a stage makes it."""
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
    return root, is_made


def _layout(root: Path, source: str | None, is_made: bool) -> str:
    if source is None:
        return "ham10000" if is_made else detect_source(root)
    if source not in LAYOUTS:
        raise UserError(f"--source is {source!r}, expected one of {', '.join(LAYOUTS)}")
    return source


def _pairs(text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for item in text.split():
        name, _, column = item.partition("=")
        pairs[name] = column
    if bad := [name for name, value in pairs.items() if not value]:
        raise UserError(f"--columns: {bad[0]!r} is not name=column, such as path=file")
    return pairs


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
    _git_add([f"{folder}.dvc", str(folder.parent / ".gitignore")])


def _git_add(files: list[str]) -> None:
    if subprocess.run(["git", "add", "--", *files], check=False).returncode:
        raise UserError(f"`git add {' '.join(files)}` failed: see above")
