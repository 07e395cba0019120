"""What an image is called, however a table writes it, and the pairs of images that a list knows to show one lesion."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pandas as pd

from derm.errors import UserError
from derm.leakage.columns import names_of, plain
from derm.sources.image_files import without_suffix
from derm.sources.listing import known
from derm.sources.tables import LINE, read_table

PAIRS = (("from_img", "to_img"), ("image_name_1", "image_name_2"))


def open_table(path: Path) -> pd.DataFrame:
    """A CSV file as text (`read_table`). UserError, also where the path is a folder."""
    if not path.is_file():
        raise UserError(f"{path} is {'a folder' if path.is_dir() else 'missing'}: expected a CSV file")
    return read_table(path, ())


def image_key(name: str, by_path: bool) -> str:
    """What an image is known by: its file's name without folder and ending, or its path without ending."""
    whole = without_suffix(name.strip().replace("\\", "/"))
    return PurePosixPath(whole).as_posix() if by_path and whole else whole.rsplit("/", 1)[-1]


def image_keys(names: pd.Series, by_path: bool, spelled: Iterable[str] = ()) -> pd.Series:
    """`image_key` of every name. Names that differ only in case are one image: as in `spelled`, else as it came first.

    spelled: keys that this function gave before.
    """
    first = {key.casefold(): key for key in spelled}
    keys = [image_key(str(name), by_path) for name in names]
    return pd.Series([first.setdefault(key.casefold(), key) for key in keys], index=names.index, dtype=str)


def several_folders(rows: pd.DataFrame) -> list[str]:
    """A note if one file name stands in several folders: it was taken as one image, which it may not be."""
    paths = pd.DataFrame({"image": rows["image"], "path": image_keys(rows["given"], by_path=True)}).drop_duplicates()
    several = paths.loc[paths["image"].duplicated(), "image"]
    if several.empty:
        return []
    return [
        f"file names that stand in several folders: {several.nunique():,}, such as {several.iloc[0]}; each was taken "
        "as one image (if they are different pictures: --ids path)"
    ]


def read_duplicates(
    path: Path, images: set[str], by_path: bool, others: Iterable[str] = ()
) -> tuple[pd.DataFrame, str]:
    """Pairs of images as `one, other`, and a note on how many of them are pairs of the split.

    images: those of the split; others: those that only metadata names. A pair of an image that is in neither is kept:
    two pairs may tie images of the split through it. What lacks a name is no pair. UserError if the table is unusable,
    or if it cannot be told which two of its columns are the pair.
    """
    table = open_table(path)
    names = {plain(str(name)): str(name) for name in table if name != LINE}
    usual = [tuple(names[name] for name in pair) for pair in PAIRS if set(pair) <= set(names)]
    if not usual and len(names) != 2:
        raise UserError(
            f"{path}: which columns hold the pairs? Expected {' or '.join(','.join(pair) for pair in PAIRS)}, or only "
            f"two columns; there are: {names_of(table)}"
        )
    one, other = usual[0] if usual else tuple(names.values())
    if images.intersection(image_keys(pd.Series([one, other]), by_path, images)):
        raise UserError(f"{path}: the first line is a pair ({one},{other}): put a header over it, from_img,to_img")
    ends = pd.concat([known(table[one]), known(table[other])])
    keys = image_keys(ends, by_path, (*images, *others)).to_numpy().reshape(2, -1)
    pairs = pd.DataFrame({"one": keys[0], "other": keys[1]})
    there = pairs["one"].isin(images) & pairs["other"].isin(images)
    note = f"{there.sum():,} of {len(pairs):,} pairs of {path} have both their images in the split"
    return pairs[(pairs != "").all(axis=1)].reset_index(drop=True), note
