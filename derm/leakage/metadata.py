"""What a second table says of images: those of a split, and others that may tie them together."""

from collections.abc import Mapping

import pandas as pd

from derm.errors import UserError
from derm.leakage.columns import Column, choose, names_of, option
from derm.leakage.names import image_keys
from derm.sources.listing import known
from derm.sources.tables import LINE

# What may be known of an image besides its part.
DESCRIBED = ("label", "lesion", "patient", "group")


def described(
    table: pd.DataFrame, path: str, images: pd.Series, image_column: str, asked: Mapping[str, str], by_path: bool
) -> tuple[dict[str, Column], pd.DataFrame, list[str]]:
    """The columns that were found, what they say of each image (one column a role, empty: unknown), and notes.

    What is said is indexed by image, also for images that are not in `images`, those of the split. path: the table's
    file, for messages. image_column: what the split calls its images; taken where this table has that column too.
    UserError if the table says nothing of use, contradicts itself or has none of the images.
    """
    ours = {"image": image_column} if image_column in table else {}
    asked = {role: name for role, name in asked.items() if role in DESCRIBED} | ours
    columns = choose(map(str, table), path, asked, ("image", *DESCRIBED))
    if "image" not in columns:
        raise UserError(f"{path}: no image column among {names_of(table)}: call it {image_column}, as the split does")
    roles = [role for role in DESCRIBED if role in columns]
    if not roles:
        raise UserError(
            f"{path}: no lesion, patient, group or label column among {names_of(table)}: name one, such as "
            f"{option('lesion')} NAME"
        )
    keys = image_keys(table[columns["image"].name], by_path, images)
    there = images.isin(set(keys))
    if not there.any():
        raise UserError(
            f"{path} has none of the images of the split: its first is {keys.iloc[0]!r}, the split's {images.iloc[0]!r}"
        )
    said = pd.DataFrame({role: known(table[columns[role].name]) for role in roles}).assign(key=keys, line=table[LINE])
    said = said[keys != ""]
    _refuse_contradictions(said, {role: columns[role].name for role in roles}, path)
    # Rows of one image agree where they say something; the greatest of equal and empty texts is what they say.
    by_image = said.groupby("key")[roles].max()
    absent = images[~there]
    notes = [f"images that are not in {path}: {absent.nunique():,}, such as {absent.iloc[0]}"] if len(absent) else []
    return columns, by_image, notes


def _refuse_contradictions(said: pd.DataFrame, names: Mapping[str, str], path: str) -> None:
    for role, name in names.items():
        values = said[said[role] != ""].drop_duplicates(["key", role])
        twice = values[values["key"].duplicated(keep=False)].sort_values(["key", "line"])
        if len(twice):
            (key, line, value), (_, other_line, other) = twice[["key", "line", role]].head(2).to_numpy()
            raise UserError(
                f"{path}: {name} of image {key} is {value!r} in line {line} and {other!r} in line {other_line}: keep "
                "the one that is right"
            )
