"""The data report: tables, figures and contact sheets of what `prepare` found."""

import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from derm.description.distributions import count_ages, count_classes, count_reasons, distributions
from derm.description.figures import class_counts, missing_table, overview, rejected_rows
from derm.description.missing import count_missing, warnings
from derm.description.sheets import class_sheet, doubtful_first, pairs_sheet
from derm.files import write_csv, write_figure, write_png
from derm.workers import worker_count

SHEETS = "sheets"


def write_report(images: pd.DataFrame, rejected: pd.DataFrame, pairs: pd.DataFrame, folder: Path) -> list[str]:
    """Write everything into the folder; every file but the sheets of classes has a name that is always the same.

    images: the image table, with one row or more; rejected: `where, image_id, path, reason`; pairs: see `pairs_sheet`.
    Returns a sentence for each thing that a user should be warned of. The order of rows is of no account.
    UserError, naming the file, if an image has changed since the table was made.
    """
    classes, values, missing = count_classes(images), distributions(images), count_missing(images)
    reasons, pairs = count_reasons(rejected), doubtful_first(pairs)
    write_csv(folder / "classes.csv", classes)
    write_csv(folder / "distributions.csv", values)
    write_csv(folder / "ages.csv", count_ages(images))
    write_csv(folder / "missing.csv", missing)
    write_csv(folder / "rejected.csv", reasons)
    write_csv(folder / "pairs.csv", pairs.astype({"distance": "Int64"}))
    write_figure(folder / "classes.png", class_counts(classes))
    write_figure(folder / "overview.png", overview(values, classes))
    write_figure(folder / "missing.png", missing_table(missing))
    write_figure(folder / "rejected.png", rejected_rows(reasons))
    _write_sheets(images, pairs, folder)
    return warnings(missing)


def _write_sheets(images: pd.DataFrame, pairs: pd.DataFrame, folder: Path) -> None:
    """The sheet of pairs, and one sheet a class: several at once, as reading and packing pictures takes longest."""

    def draw_class(name: str, file: str) -> None:
        write_png(folder / SHEETS / file, class_sheet(name, images[images["diagnosis"] == name]))

    with ThreadPoolExecutor(worker_count()) as pool:
        drawn = [pool.submit(lambda: write_png(folder / "pairs.png", pairs_sheet(pairs, images)))]
        drawn += [pool.submit(draw_class, *sheet) for sheet in sheet_names(list(images["diagnosis"].unique())).items()]
    for sheet in drawn:
        sheet.result()


def sheet_names(classes: list[str]) -> dict[str, str]:
    """The file of each class's sheet: its number in alphabetical order, and what of its name is safe in a path."""
    return {name: f"{number:02d}_{_slug(name)}.png" for number, name in enumerate(sorted(classes))}


def _slug(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:40].strip("-") or "class"
