"""Any CSV file with one row per image; params say what its columns are called."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from derm.errors import UserError
from derm.image_table import DESCRIBED
from derm.sources.image_files import ImageFinder, without_suffix
from derm.sources.listing import COLUMNS, SOURCE_PARTS, Listing, as_label, known
from derm.sources.tables import LINE, read_table

# What params may name; `path` (or `image_id`, where files are called so) and `diagnosis` must be among them.
NAMES = (*DESCRIBED, "mask")
PARTS = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}


def read(root: Path, table: str, columns: Mapping[str, str], key: str = "data") -> Listing:
    """The rows of `root/table`, its columns called as `columns` says (our name: the table's name).

    Without a `path` column the file is looked for by `image_id`; without an `image_id` column the id is the file's
    path without its ending. Both are looked for inside the root only. key: where the params stand, for messages.
    UserError if the table is missing or lacks a column that is named, or if a needed name is not given.
    """
    check_names(table, columns, key)
    if Path(table).is_absolute() or ".." in Path(table).parts:
        raise UserError(f"{key}.table {table!r} must stand inside {key}.root ({root}): give its path from there")
    rows = read_table(root / table, required=tuple(columns.values()))
    finder = ImageFinder(root)
    given = rows[columns.get("path", columns.get("image_id", ""))]
    found = [finder.find(name) for name in given]
    images = pd.DataFrame("", index=rows.index, columns=COLUMNS)
    images["where"] = [f"{table} line {line}" for line in rows[LINE]]
    for name, origin in columns.items():
        if name not in ("path", "mask", "image_id"):
            images[name] = known(rows[origin])
    images["diagnosis"] = as_label(known(rows[columns["diagnosis"]]))
    images["path"] = [f"{root.as_posix()}/{file}" if file else "" for file, _ in found]
    images["image_id"] = (
        rows[columns["image_id"]].map(without_suffix)
        if "image_id" in columns
        else [without_suffix(file or name).replace("/", "__") for (file, _), name in zip(found, given, strict=True)]
    )
    images["problem"] = [problem for _, problem in found]
    warnings = []
    if "mask" in columns:
        masks = [finder.find(name) if name else ("", "") for name in rows[columns["mask"]]]
        images["mask"] = [f"{root.as_posix()}/{file}" if file else "" for file, _ in masks]
        lost = [
            f"{images['where'][row]}: {problem}" for row, (_, problem) in zip(rows.index, masks, strict=True) if problem
        ]
        if lost:
            warnings.append(f"WARNING: {len(lost)} masks are left out, first {lost[0]}")
    if "source_part" in columns:
        parts = images["source_part"].str.lower()
        images["source_part"] = [PARTS.get(part, part) for part in parts.astype(str)]
        strange = sorted(set(images["source_part"]) - {"", *SOURCE_PARTS})
        if strange:
            raise UserError(
                f"{root / table}: column {columns['source_part']} holds {strange[0]!r}, expected "
                f"{', '.join(SOURCE_PARTS)} or nothing"
            )
    return Listing(images, warnings=warnings)


def check_names(table: str, columns: Mapping[str, str], key: str = "data") -> None:
    """UserError if no table is named, or its columns are not called by `NAMES` with those that are needed."""
    if not table:
        raise UserError(f"{key}.table is empty: name the CSV file inside {key}.root that lists the images")
    unknown = [name for name in columns if name not in NAMES]
    if unknown:
        raise UserError(f"{key}.columns names {unknown[0]!r}, expected some of {', '.join(NAMES)}")
    if "diagnosis" not in columns or not {"path", "image_id"} & set(columns):
        raise UserError(
            f"{key}.columns must say which column is `diagnosis`, and which is `path` or `image_id`, such as "
            "{path: file, diagnosis: label, lesion_id: lesion}"
        )
