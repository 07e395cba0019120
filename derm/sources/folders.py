"""One folder a class, with or without folders for the parts above them (`Train/melanoma/*.jpg`, `nevus/*.jpg`)."""

from pathlib import Path, PurePosixPath
from typing import Literal

import pandas as pd

from derm.errors import UserError
from derm.images import SUFFIXES
from derm.sources.image_files import image_files, without_suffix
from derm.sources.listing import COLUMNS, Listing, as_label

PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def read(root: Path, ids: Literal["name", "path"]) -> Listing:
    """Every image of every class folder; the class is the folder that holds the image, or one above it.

    ids: an image's id is its file's name, so that one name in two class folders is one image with two diagnoses; or
        its path, for folders in which names repeat for different images.
    Nothing is known of lesions here: only equal and near-identical images can be held together.
    UserError if there is no class folder with an image in it.
    """
    rows, loose = [], []
    for file in image_files(root):
        *folders, name = PurePosixPath(file).parts
        part = PARTS.get(folders[0].lower(), "") if folders else ""
        classes = folders[1:] if part else folders
        if not classes:
            loose.append(file)
            continue
        stem = without_suffix(name)
        image_id = stem if ids == "name" else "__".join([*folders, stem])
        rows.append(
            {
                "where": file,
                "image_id": image_id,
                "path": f"{root.as_posix()}/{file}",
                "diagnosis": classes[0],
                "source_part": part,
            }
        )
    if not rows:
        raise UserError(
            f"{root}: no image ({', '.join(SUFFIXES)}) in a class folder; expected <class>/<image>, or "
            "Train/<class>/<image> and Test/<class>/<image>"
        )
    images = pd.DataFrame(rows).reindex(columns=COLUMNS, fill_value="")
    images["diagnosis"] = as_label(images["diagnosis"])
    warnings = []
    if loose:
        warnings.append(
            f"WARNING: {len(loose)} images stand outside of every class folder and are left, first {loose[0]}"
        )
    return Listing(images, warnings=warnings)
