"""Point the chain at another folder of images, add external sets, keep a split."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from derm.errors import UserError
from derm.files import file_digest, read_csv
from derm.folder_digest import folder_digest
from derm.params import PARAMS_FILE, checked, read_all
from derm.sources.detect import LAYOUTS, detect_source
from derm.sources.reader import DataParams
from derm.sources.table import check_names
from experiments.commands import dvc
from experiments.params_file import change_params, flow_list

SPLIT = Path("data/split/split.csv")
KEPT = Path("data/kept_split.csv")


def set_data(given: str, source: str | None = None, table: str = "", columns: str = "") -> dict[str, Any]:
    """Set data.root and data.source in params.yaml, comments kept; returns what was set.

    A folder inside the repository that no stage makes is put under DVC (`dvc add`), so that queued runs, which
    work in a copy, find it. One elsewhere has to be given as an absolute path, for the same reason.
    source: None looks at the folder. table, columns: of the layout `table`, columns as "path=file diagnosis=label".
    UserError if the folder is missing or unknown, a relative path leaves the repository, or the params would be bad.
    """
    data = _section("data")
    root, is_made = _root(given)
    layout = _layout(Path(root), source, is_made)
    chosen = {"source": layout, "root": root, "table": "", "columns": {}} | _named(layout, table, columns)
    checked(data | chosen, "data", DataParams)
    if not is_made and not Path(root).is_absolute():
        _add(Path(root))
    change_params(lambda params: params["data"].update(chosen))
    return chosen


def set_external(
    name: str, given: str, source: str | None = None, table: str = "", columns: str = ""
) -> dict[str, Any]:
    """Add an external set to data.external, or set it anew, with the digest of its files; returns its entry.

    Of a set that is there already, what else was set for it, such as a label_map, stays.
    UserError as in `set_data`, or if the name is no folder's name.
    """
    data = _section("data")
    root, _ = _root(given)
    layout = _layout(Path(root), source, False)
    entry = {"name": name, "source": layout, "root": root, **_named(layout, table, columns), "digest": ""}

    sets = _external(data)
    position = _position(sets, name)
    if position is None:
        position = len(sets)
        sets.append(entry)
    else:
        stays = {key: value for key, value in sets[position].items() if key not in ("table", "columns")}
        sets[position] = stays | entry
    checked(data | {"external": sets}, "data", DataParams)

    if not Path(root).is_absolute():
        _add(Path(root))
    entry["digest"] = sets[position]["digest"] = folder_digest(Path(root))
    change_params(lambda params: params["data"].update(external=flow_list(sets)))
    return entry


def remove_external(name: str) -> None:
    """Take an external set out of data.external. UserError if there is none of this name."""
    data = _section("data")
    sets = _external(data)
    position = _position(sets, name)
    if position is not None:
        del sets[position]
    others = checked(data | {"external": sets}, "data", DataParams).external
    if position is None:
        names = ", ".join(one.name for one in others)
        raise UserError(f"data.external has no set {name!r}; it has: {names or 'none'}")
    change_params(lambda params: params["data"].update(external=flow_list(sets)))


def keep_split() -> int:
    """Copy the present split to `KEPT` and name it in split.keep; returns how many images it holds.

    UserError if the split is not by `holdout`, or there is none.
    """
    scheme = _section("split").get("scheme")
    if scheme != "holdout":
        raise UserError(f"split.scheme is {scheme}: only a split by holdout can be kept")
    images = len(read_csv(SPLIT))
    shutil.copyfile(SPLIT, KEPT)
    _git_add([str(KEPT)])
    change_params(lambda params: params["split"].update(keep=KEPT.as_posix(), keep_sha256=file_digest(KEPT)))
    return images


def _section(name: str) -> dict[str, Any]:
    """A section as it stands in params.yaml, unchecked but for being one."""
    content = read_all().get(name)
    if not isinstance(content, dict):
        raise UserError(f"{PARAMS_FILE}: {name} is {content!r}, expected a section of keys and values")
    return content


def _external(data: dict[str, Any]) -> list[Any]:
    """data.external as a list of its own; what is in it is unchecked."""
    sets = data.get("external") or []
    if not isinstance(sets, list):
        raise UserError(f"{PARAMS_FILE}: data.external is {sets!r}, expected a list: [] for none")
    return list(sets)


def _position(sets: list[Any], name: str) -> int | None:
    """Where the set of this name stands."""
    return next((place for place, one in enumerate(sets) if isinstance(one, dict) and one.get("name") == name), None)


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


def _named(layout: str, table: str, columns: str) -> dict[str, Any]:
    """What the layout `table` needs beside its folder; nothing for another. UserError if it does not fit the layout."""
    if layout != "table":
        if table or columns:
            raise UserError(f"--table and --columns go with --source table, and the source is {layout}: leave them out")
        return {}
    named = {"table": table, "columns": _pairs(columns)}
    check_names(**named)
    return named


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
