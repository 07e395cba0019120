"""Read a dataset's own CSV files: as text, with the line of every row, and a clear word on what is wrong with them."""

import csv
import io
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from derm.errors import UserError

# The line in the file; no header can hold this name, since header names are stripped.
LINE = " line"
# A table holds text; a single cell larger than this is a file of another kind.
csv.field_size_limit(1_000_000)


def read_table(
    path: Path,
    required: tuple[str, ...],
    header: tuple[str, ...] = (),
    keep: Collection[str] | None = None,
    empty: bool = False,
) -> pd.DataFrame:
    """A CSV file as text, separated by commas, semicolons or tabs, with `LINE` = line in the file (the first is 1).

    header: the columns' names, for a file that has no header line. keep: only these columns (None: all). Values are
    stripped; empty lines are passed over. empty: a table without rows is as good as any.
    UserError if the file is missing, not UTF-8, empty, lacks a required column or has a row of another length.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise UserError(f"{path} is not UTF-8 text (line {line}, byte {error.start}): save it as UTF-8 CSV") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{str(path)!r} cannot be read as a CSV file: {error}") from None
    if not text.strip():
        told = f" with {', '.join(required)}" if required else ""
        raise UserError(f"{path} is empty: expected a header{told} and one row per image")
    first = text.split("\n", 1)[0]
    rows = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count), strict=True)
    names = list(header) or [name.strip() for name in next(_cells(rows, path))]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{path}: column {twice[0]!r} stands twice in the first line")
    missing = [name for name in required if name not in names]
    if missing:
        raise UserError(
            f"{path}: no column {', '.join(missing)} in the first line ({', '.join(names[:12])}); "
            "expected a header line with these names"
        )
    kept = [position for position, name in enumerate(names) if keep is None or name in keep]
    records = []
    for cells in _cells(rows, path):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(names):
            raise UserError(f"{path}: line {rows.line_num} has {len(cells)} values, the header has {len(names)}")
        records.append([*(cells[position].strip() for position in kept), rows.line_num])
    if not records and not empty:
        raise UserError(f"{path} has a header and no rows")
    return pd.DataFrame(records, columns=[*(names[position] for position in kept), LINE])


def _cells(rows: Any, path: Path) -> Iterator[list[str]]:
    """The rows of a csv reader; UserError names the line where its quotes go wrong."""
    try:
        yield from rows
    except csv.Error as error:
        raise UserError(f"{path}: line {rows.line_num}: {error}; look for a stray quotation mark") from None
