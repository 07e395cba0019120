"""What every reader of a dataset layout hands over, and the checks that are the same for all of them."""

import re
from dataclasses import dataclass, field

import pandas as pd

from derm.image_table import DESCRIBED

# Letters, digits and a few signs; no separator and no leading dot, so that an id can never leave the dataset's folder.
SAFE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-+()@ ]*")

COLUMNS = ["where", *DESCRIBED, "mask"]
REJECTED = ["where", "image_id", "path", "reason"]
# What a source says of its own division into parts; empty where it says nothing.
SOURCE_PARTS = ("train", "val", "test")
# Rows named in one line, where more are at fault.
NAMED = 4


@dataclass(frozen=True)
class Listing:
    """What a dataset's own files say, before any image is opened.

    images: one row per listed image, `COLUMNS` as text, empty where nothing is known. `where` says where the row stands
        (file and line, or the file itself); paths are usable from the current folder; `path` is empty where no file
        was found; `problem` (a column that a reader may add) says why a row cannot be used, and `leaves` (bool,
        which `read_source` adds) that the user's label_map takes it out.
    duplicates: pairs of image ids that show one lesion although their lesion ids differ.
    diagnoses: the names that the layout knows; None if any name is as good as another.
    warnings: loud lines for the user.
    """

    images: pd.DataFrame
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    diagnoses: tuple[str, ...] | None = None
    warnings: list[str] = field(default_factory=list)


def as_label(names: pd.Series) -> pd.Series:
    """Names of classes as they are compared: lower case, single spaces, none at the ends."""
    return names.str.replace(r"\s+", " ", regex=True).str.strip().str.lower()


def known(values: pd.Series) -> pd.Series:
    """Text as it stands, empty where it only says that nothing is known."""
    return values.where(~values.str.lower().isin(("unknown", "nan", "na", "n/a", "none", "null")), "")


def check_rows(images: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows that can be used, and the others as `where, image_id, path, reason`; nothing is dropped in silence.

    Refused: what the reader found wrong, an id that is empty or could leave the folder, a missing diagnosis, an id
    that stands twice (all of its rows but one if the diagnosis is the same, all of them if it is not), a row without an
    image file. Of rows that agree, one that the source tests on stays, else one of its val part, else the first.
    """
    reasons = images["problem"].copy() if "problem" in images else pd.Series("", index=images.index)

    def refuse(rows: pd.Series, reason: str) -> None:
        reasons[rows & (reasons == "")] = reason

    ids = images["image_id"]
    refuse(~ids.str.fullmatch(SAFE_ID), "image_id may hold only letters, digits, spaces and - _ . + ( ) @")
    refuse(images["diagnosis"] == "", "no diagnosis")
    sound = images[reasons == ""]
    for _, same in sound[sound["image_id"].duplicated(keep=False)].groupby("image_id", sort=False):
        places = ", ".join(same["where"].head(NAMED)) + (", ..." if len(same) > NAMED else "")
        labels = sorted(set(same["diagnosis"]))
        here = pd.Series(images.index.isin(same.index), index=images.index)
        if len(labels) > 1:
            refuse(here, f"image_id stands at {places} with different diagnoses: {', '.join(labels)}")
        else:
            kept = int(same["source_part"].map({"test": 0, "val": 1}).fillna(2).to_numpy().argmin())
            here[same.index[kept]] = False
            refuse(here, f"image_id stands at {places}: {same['where'].iloc[kept]} is kept")
    refuse(images["path"] == "", "image file not found")
    rejected = images.assign(reason=reasons)[reasons != ""]
    return images[reasons == ""].drop(columns="problem", errors="ignore"), rejected[REJECTED].copy()
