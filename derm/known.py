"""What a person who asks for a prediction knows beside the image: a CSV of age, sex and body site."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from derm.errors import UserError
from derm.heads.metadata import CATEGORIES, COLUMNS, MetadataEncoding
from derm.sources.tables import LINE, read_table


def known_of(files: Sequence[Path], table: Path | None, encoding: MetadataEncoding | None) -> pd.DataFrame:
    """`age, sex, body_site` as text, a row for each file in its order; empty where nothing is known.

    table: a CSV with `image` (a path as it is given, a file's name, or its name without ending) and some of the
    columns. encoding: the head's, None for one that looks at images only.
    UserError if the table is of no use to this classifier or these files, or has a value that no training image had.
    """
    empty = pd.DataFrame("", index=range(len(files)), columns=list(COLUMNS))
    if table is None:
        if encoding is not None:
            print("note: age, sex and body site count for this classifier: give them by --metadata", file=sys.stderr)
        return empty
    if encoding is None:
        raise UserError(f"--metadata {table}: this classifier looks at images only; leave it out")
    rows = read_table(table, required=("image",), keep=("image", *COLUMNS))
    if not set(COLUMNS) & set(rows.columns):
        raise UserError(f"{table}: expected one or more of the columns {', '.join(COLUMNS)} beside image")
    rows = rows.reindex(columns=["image", *COLUMNS, LINE], fill_value="")
    rows["image"] = [Path(image).as_posix() if image else image for image in rows["image"]]  # ./a.jpg is a.jpg
    where = pd.Series([f"{table}: line {line}" for line in rows[LINE]], index=rows.index)
    twice = rows["image"].duplicated()
    if twice.any():
        raise UserError(f"{where[twice].iloc[0]}: image {rows.loc[twice, 'image'].iloc[0]!r} stands there twice")
    refuse_unknowable(rows, where, encoding)
    by_image = rows.set_index("image")[list(COLUMNS)]
    names = [
        next((name for name in (file.as_posix(), file.name, file.stem) if name in by_image.index), None)
        for file in files
    ]
    if not any(names):
        raise UserError(f"{table}: none of its images is among those to predict (such as {files[0].name})")
    _refuse_shared_names(files, names, table)
    if absent := sum(name is None for name in names):
        print(f"note: {table} says nothing of {absent} of the {len(files)} images", file=sys.stderr)
    return by_image.reindex(names).fillna("").reset_index(drop=True)


def refuse_unknowable(rows: pd.DataFrame, where: pd.Series, encoding: MetadataEncoding) -> None:
    """UserError at the first row whose `age, sex, body_site` (text, empty where unknown) say what the head cannot know.

    where: what to call each row, such as `people.csv: line 3`.
    """
    ages = pd.to_numeric(rows["age"].replace("", None), errors="coerce")
    wrong = (rows["age"] != "") & ~ages.between(0, 120)
    if wrong.any():
        raise UserError(f"{where[wrong].iloc[0]}: age is {rows.loc[wrong, 'age'].iloc[0]!r}, expected years or nothing")
    for column in CATEGORIES:
        values = encoding.categories.get(column, [])
        unseen = (rows[column] != "") & ~rows[column].isin(values)
        if len(values) and unseen.any():
            raise UserError(
                f"{where[unseen].iloc[0]}: {column} is {rows.loc[unseen, column].iloc[0]!r}, expected one of "
                f"{', '.join(values)}, or nothing where it is not known"
            )


def _refuse_shared_names(files: Sequence[Path], names: Sequence[str | None], table: Path) -> None:
    """UserError if a row stands for several files by their name: they may be of different people."""
    meant: dict[str, str] = {}
    for file, name in zip(files, names, strict=True):
        path = file.as_posix()
        if name is not None and meant.setdefault(name, path) != path:
            raise UserError(f"{table}: image {name!r} could be {meant[name]} or {path}: give its path")
