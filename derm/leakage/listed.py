"""The rows of a split, with what is known of every image: from its own table, and from metadata."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from derm.errors import UserError
from derm.leakage.columns import FOLDS, ROLES, Column, choose, names_of, option, plain, refuse_unknown
from derm.leakage.links import IDS
from derm.leakage.metadata import DESCRIBED, described
from derm.leakage.names import image_keys, open_table, several_folders
from derm.sources.listing import known
from derm.sources.tables import LINE

# Parts that are no part: images that were put aside.
NOT_USED = ("left_out", "left out", "excluded", "unused")
# What a fold may be called: 0, 1.0 (a table that went through numbers), fold_2; empty where an image is on no side.
FOLD = r"((fold[ _-]?)?\d+(\.0)?)?"
NEEDED = ("image", "split")


@dataclass(frozen=True)
class Listed:
    """What the tables say.

    rows: one row per row of the split: `line`, `given` (the image as the table names it), `image` (`names.image_key`),
        `part` (empty: on no side), `label`, `lesion_id`, `patient_id`, `group_id`; text, empty where unknown.
    others: images that only metadata names: `image`, and the ids as in `rows`. They are on no side, and may connect.
    columns: role -> the column it came from, or two, the second for images of which the first says nothing.
    by_folds: the split column holds folds (0, 1, ...), each of them a test part against all others.
    notes: what a reader should know of how the tables fitted.
    """

    rows: pd.DataFrame
    others: pd.DataFrame
    columns: dict[str, tuple[Column, ...]]
    by_folds: bool
    notes: list[str]


def read_listed(split: Path, metadata: Path | None, asked: Mapping[str, str], by_path: bool) -> Listed:
    """The split's rows; ids and labels from the split's own table, and from `metadata` where that says nothing.

    asked: role (`columns.ROLES`) -> column's name, or `none`. by_path: an image is known by its path and not by its
    file's name. UserError if a table is unusable, a column is missing or could be one of two, or a row names no image.
    """
    own = open_table(split)
    more = open_table(metadata) if metadata else None
    _refuse_unknown(asked, own, split, more, metadata)
    columns = choose(map(str, own), str(split), asked, ROLES)
    for role in NEEDED:
        if role not in columns:
            raise UserError(f"{split}: no {role} column among {names_of(own)}: name it with {option(role)}")
    image, part = columns["image"].name, columns["split"].name
    rows = _images_and_parts(own, image, part, split, by_path)
    by_folds = plain(part) in FOLDS and bool(rows["part"].str.lower().str.fullmatch(FOLD).all())
    if not by_folds:
        _refuse_several_splits(rows, own, part, split)
    theirs, by_image, notes = {}, pd.DataFrame(dtype=str), several_folders(rows) if not by_path else []
    if more is not None:
        theirs, by_image, absent = described(more, str(metadata), rows["image"], image, asked, by_path)
        notes += absent
    said = by_image.reindex(rows["image"]).fillna("").set_index(rows.index)
    used: dict[str, tuple[Column, ...]] = {role: (columns[role],) for role in NEEDED}
    for role in DESCRIBED:
        here, there = columns.get(role), theirs.get(role)
        # Two tables may name classes differently, so labels come from one of them: the one whose column is surer.
        if role == "label" and here and there:
            here, there = (here, None) if here.vague <= there.vague else (None, there)
        values = known(own[here.name]) if here else pd.Series("", index=rows.index)
        rows[role if role == "label" else f"{role}_id"] = values.where(values != "", said[role]) if there else values
        if here or there:
            used[role] = tuple(column for column in (here, there) if column)
    others = by_image[~by_image.index.isin(rows["image"])].rename(columns=lambda role: f"{role}_id")
    others = others.rename_axis("image").reset_index().reindex(columns=["image", *IDS], fill_value="")
    return Listed(rows, others, used, by_folds, notes)


def _refuse_unknown(
    asked: Mapping[str, str], own: pd.DataFrame, split: Path, more: pd.DataFrame | None, metadata: Path | None
) -> None:
    ours = {str(split): list(map(str, own))}
    both = ours if more is None else ours | {str(metadata): list(map(str, more))}
    refuse_unknown({role: name for role, name in asked.items() if role in NEEDED}, ours)
    refuse_unknown({role: name for role, name in asked.items() if role not in NEEDED}, both)


def _images_and_parts(own: pd.DataFrame, image: str, part: str, split: Path, by_path: bool) -> pd.DataFrame:
    rows = pd.DataFrame({"line": own[LINE], "given": own[image], "image": image_keys(own[image], by_path)})
    nameless = rows.loc[rows["image"] == "", "line"]
    if len(nameless):
        raise UserError(f"{split}: line {nameless.iloc[0]} names no image: fill it in or take the row out")
    parts = known(own[part])
    return rows.assign(part=parts.where(~parts.str.lower().isin(NOT_USED), ""))


def _refuse_several_splits(rows: pd.DataFrame, own: pd.DataFrame, part: str, split: Path) -> None:
    """A table with every image once a fold holds as many splits as folds: each would seem to leak into the others."""
    for fold in (name for name in own if plain(str(name)) in FOLDS and name != part):
        once = not rows.assign(fold=own[fold]).duplicated(["image", "fold"]).any()
        if once and rows["image"].duplicated().any() and own[fold].nunique() > 1:
            raise UserError(
                f"{split} lists images once for each {fold}, so it holds {own[fold].nunique()} splits: keep the rows "
                f"of one {fold}, and audit one after another"
            )
