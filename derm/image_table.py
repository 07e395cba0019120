"""The image table: one row per usable image, checked and with its digest; every later stage starts from it."""

from pathlib import Path

import pandas as pd

from derm.errors import UserError
from derm.files import read_csv

# The `source` of images that this repository draws itself: whatever is made from them says so.
SYNTHETIC = "synthetic"

IMAGES_FILE = Path("data/prepared/images.csv")
# What the images look like (derm.appearance), beside it.
APPEARANCE_FILE = Path("data/prepared/appearance.csv")
# What groups hang together by, rows included that gave no image (derm.dataset.Dataset.linked).
LINKED_FILE = Path("data/prepared/linked.csv")
# What a dataset says of an image; the rest of the columns comes from the files themselves.
DESCRIBED = [
    "image_id",
    "path",
    "diagnosis",
    "lesion_id",
    "patient_id",
    "age",
    "sex",
    "body_site",
    "confirmation",
    "source",
    "source_part",
]
COLUMNS = [*DESCRIBED, "width", "height", "sha256", "perceptual_hash", "mask", "mask_sha256", "group"]


def read_images(path: Path = IMAGES_FILE) -> pd.DataFrame:
    """The table that `prepare` wrote, as text, with `width` and `height` as int; sorted by image_id."""
    return read_csv(path, width=int, height=int)


def read_appearance(path: Path = APPEARANCE_FILE) -> pd.DataFrame:
    """What each image looks like, in the order of the image table: `image_id` and one float for each of its measures
    (`derm.appearance.Appearance`), NaN where it could not be measured.

    UserError if the file is missing or damaged.
    """
    table = read_csv(path)
    try:
        return table.assign(**{name: pd.to_numeric(table[name]) for name in table.columns.drop("image_id")})
    except (ValueError, KeyError) as error:
        raise UserError(f"{path} is damaged ({error}): delete it and run `dvc repro`") from None
