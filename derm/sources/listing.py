"""What every reader of a dataset layout hands over, and the checks that are the same for all of them."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from derm.errors import UserError
from derm.image_table import DESCRIBED

# Letters, digits and a few signs; no separator and no leading dot, so that an id can never leave the dataset's folder.
SAFE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\- ]*")

# The line in the metadata file; no header can hold this name, since header names are stripped.
LINE = " line"

COLUMNS = [*DESCRIBED, "mask"]


@dataclass(frozen=True)
class Listing:
    """What a dataset's own files say, before any image is opened.

    images: one row per listed image, `COLUMNS` as text plus `row` (line in the metadata file); paths are usable from
        the current folder; `path` is empty where no file was found.
    duplicates: pairs of image ids that show one lesion although their lesion ids differ.
    warnings: loud lines for the user.
    """

    images: pd.DataFrame
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_table(path: Path, required: tuple[str, ...]) -> pd.DataFrame:
    """A metadata table as text, comma- or tab-separated, with `LINE` = line in the file (the header is line 1).

    UserError if it is missing, empty, has no header, lacks a required column or has a row of another length.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8 CSV") from None
    if not text.strip():
        raise UserError(f"{path} is empty: expected a header with {', '.join(required)} and one row per image")
    first = text.split("\n", 1)[0]
    rows = csv.reader(io.StringIO(text), delimiter="\t" if first.count("\t") > first.count(",") else ",")
    header = [name.strip() for name in next(rows)]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise UserError(f"{path}: column {twice[0]!r} stands twice in the first line")
    missing = [name for name in required if name not in header]
    if missing:
        raise UserError(
            f"{path}: no column {', '.join(missing)} in the first line ({', '.join(header[:12])}); "
            "expected a header line with these names"
        )
    records = []
    for cells in _cells(rows, path):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise UserError(f"{path}: line {rows.line_num} has {len(cells)} values, the header has {len(header)}")
        records.append([cell.strip() for cell in cells] + [rows.line_num])
    if not records:
        raise UserError(f"{path} has a header and no rows")
    return pd.DataFrame(records, columns=[*header, LINE])


def _cells(rows: Any, path: Path) -> Iterator[list[str]]:
    """The rows of a csv reader; UserError names the line where its quotes go wrong."""
    try:
        yield from rows
    except csv.Error as error:
        raise UserError(f"{path}: line {rows.line_num}: {error}; look for a stray quotation mark") from None


def check_rows(images: pd.DataFrame, diagnoses: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows that can be used, and the others as `row, image_id, path, reason`; nothing is dropped in silence.

    Refused: an id that is empty or could leave the folder, an unknown or missing diagnosis, an id that stands twice
    (the later rows if the diagnosis is the same, all of them if it is not), a row without an image file.
    """
    reasons = pd.Series("", index=images.index)

    def refuse(rows: pd.Series, reason: str | pd.Series) -> None:
        fresh = rows & (reasons == "")
        reasons[fresh] = reason if isinstance(reason, str) else reason[fresh]

    ids = images["image_id"]
    refuse(~ids.str.fullmatch(SAFE_ID), "image_id may hold only letters, digits, - _ . space")
    known = f"expected one of {', '.join(diagnoses)}"
    refuse(images["diagnosis"] == "", f"no diagnosis: {known}")
    refuse(
        ~images["diagnosis"].isin(diagnoses),
        images["diagnosis"].map(lambda name: f"unknown diagnosis {name!r}: {known}"),
    )
    for _, same in images[reasons == ""].groupby("image_id", sort=False):
        if len(same) == 1:
            continue
        lines = ", ".join(str(line) for line in same["row"])
        labels = sorted(set(same["diagnosis"]))
        here = pd.Series(images.index.isin(same.index), index=images.index)
        if len(labels) > 1:
            refuse(here, f"image_id stands on lines {lines} with different diagnoses: {', '.join(labels)}")
        else:
            here[same.index[0]] = False
            refuse(here, f"image_id stands on lines {lines}: the first is kept")
    refuse(images["path"] == "", "image file not found")
    rejected = images.assign(reason=reasons)[reasons != ""]
    return images[reasons == ""].copy(), rejected[["row", "image_id", "path", "reason"]].copy()
