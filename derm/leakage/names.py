"""What an image is called, however a table writes it, and the pairs of images that a list knows to show one lesion."""

from pathlib import Path, PurePosixPath

import pandas as pd

from derm.errors import UserError
from derm.leakage.columns import names_of, plain
from derm.sources.image_files import without_suffix
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


def image_keys(names: pd.Series, by_path: bool) -> pd.Series:
    """`image_key` of every name."""
    return names.map(lambda name: image_key(str(name), by_path))


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


def read_duplicates(path: Path, images: set[str], by_path: bool) -> tuple[pd.DataFrame, str]:
    """Pairs of images of the split as `one, other`, and a note on how many of the list's pairs these are.

    UserError if the table is unusable, or if it cannot be told which two of its columns are the pair.
    """
    table = open_table(path)
    names = {plain(str(name)): str(name) for name in table if name != LINE}
    known = [tuple(names[name] for name in pair) for pair in PAIRS if set(pair) <= set(names)]
    if not known and len(names) != 2:
        raise UserError(
            f"{path}: which columns hold the pairs? Expected {' or '.join(','.join(pair) for pair in PAIRS)}, or only "
            f"two columns; there are: {names_of(table)}"
        )
    one, other = known[0] if known else tuple(names.values())
    if {image_key(one, by_path), image_key(other, by_path)} & images:
        raise UserError(f"{path}: the first line is a pair ({one},{other}): put a header over it, from_img,to_img")
    pairs = pd.DataFrame({"one": image_keys(table[one], by_path), "other": image_keys(table[other], by_path)})
    there = pairs["one"].isin(images) & pairs["other"].isin(images)
    note = f"{there.sum():,} of {len(pairs):,} pairs of {path} have both their images in the split"
    return pairs[there].reset_index(drop=True), note
