"""Folders of the ISIC challenges, 2016 to 2020 and 2024, as challenge.isic-archive.com and Kaggle hand them out."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from derm.errors import UserError
from derm.folder_files import files_below
from derm.images import SUFFIXES
from derm.sources.image_files import without_suffix
from derm.sources.isic_columns import BENIGN, FIELDS, MALIGNANT, PAIRS, agree, labels, part_of, read_columns
from derm.sources.listing import COLUMNS, NAMED, Listing, known
from derm.sources.tables import LINE

EXPECTED = (
    "ISBI2016_ISIC_Part3_Training_GroundTruth.csv",
    "ISIC-2017_Training_Part3_GroundTruth.csv",
    "ISIC2018_Task3_Training_GroundTruth.csv",
    "ISIC_2019_Training_GroundTruth.csv",
    "ISIC_2020_Training_GroundTruth_v2.csv",
    "ISIC_2024_Training_GroundTruth.csv",
    "Kaggle's train.csv or train-metadata.csv",
)
HDF5 = (".hdf5", ".h5")
# Beside the pictures lie masks of lesions (2016 to 2018), superpixels (2017) and masks of attributes (2018).
MASK = "_segmentation"
NO_PICTURE = re.compile(rf"({MASK}|_superpixels|_attribute_[a-z_]+)\.png")
# 2019 hands out some pictures of earlier years again, smaller and under this name.
SMALLER = "_downsampled"
# Tables that differ in one of these may speak of two lesions; if they differ in another field, one is out of date.
IDENTITY = ("lesion_id", "patient_id")


def read(root: Path) -> Listing:
    """Every image that a ground-truth table at any depth names, one row each, described by all the tables together.

    A table is known by its first line, its part (`source_part`) by its name or folder; tables without image ids, and
    submissions, are passed over. An image of several years gets its first diagnosis in the order of file names (a named
    one before benign or malignant), and test before val before train. Where tables differ on its diagnosis (beyond the
    names that the years have for one thing), its lesion or its patient, `problem` names both.
    UserError if there is no ground-truth table or no image, or if a table cannot be read.
    """
    files = files_below(root)
    tables, truth, warnings = _tables(root, files)
    if truth.empty:
        raise UserError(_without_truth(root, files, warnings))
    pictures, masks, several = _pictures(files)
    if not pictures:
        raise UserError(_without_pictures(root, files))
    rows = _rows(truth)
    ids = rows["image_id"]
    images = pd.DataFrame("", index=rows.index, columns=[*COLUMNS, "problem"])
    images["where"] = [f"{file} line {line}" for file, line in zip(rows["file"], rows["line"], strict=True)]
    images["image_id"] = ids
    images["diagnosis"] = rows["diagnosis"]
    for column, found in (("path", pictures), ("mask", masks)):
        there = [found.get(image.lower()) for image in ids]
        images[column] = [f"{root.as_posix()}/{file}" if file else "" for file in there]
    parts, told = _parts(truth)
    images["source_part"] = [parts.get(image, "") for image in ids]
    warnings += told
    described = _of_images(tables, set(ids))
    problems, differing = [_wrong_rows(truth), _agreed("diagnosis", truth, agree)[1]], {}
    for column, origins in FIELDS.items():
        first, at_odds = _agreed(column, _statements(described, origins, column), _same)
        images[column] = [first.get(image, "") for image in ids]
        if column in IDENTITY:
            problems.append(at_odds)
        else:
            differing = at_odds | differing
    images["problem"] = [next((told[image] for told in problems if image in told), "") for image in ids]
    if differing:
        image = min(differing)
        warnings.append(
            f"WARNING: tables differ on age, sex, site, confirmation or source of {len(differing)} images, the first "
            f"value is kept, such as {image}: {differing[image]}"
        )
    return Listing(images, _duplicates(tables, ids), None, warnings + _on_files(ids, pictures, several))


def _tables(root: Path, files: list[str]) -> tuple[dict[str, pd.DataFrame], pd.DataFrame, list[str]]:
    """The tables about images by file, what they say of diagnoses, and a warning for each that holds predictions.

    Diagnoses: `image_id, diagnosis, problem, file, line, part`; first the rows that name one, then those that only say
    benign or malignant, then those without, each in the order of files and lines.
    """
    tables, warnings = {}, []
    truth = [pd.DataFrame(columns=["image_id", "diagnosis", "problem", "file", "line", "part"])]
    for file in files:
        name = file.rsplit("/", 1)[-1].lower()
        table = read_columns(root / file) if name.endswith(".csv") and "submission" not in name else None
        if table is None:
            continue
        said = labels(table)
        if said is not None and said.empty:
            warnings.append(f"WARNING: {file} is left out: no value in its columns is a diagnosis (predictions?)")
            continue
        if said is not None:
            truth.append(said.assign(image_id=table["image_id"], file=file, line=table[LINE], part=part_of(file)))
        tables[file] = table
    said = pd.concat(truth, ignore_index=True)
    vague = said["diagnosis"].isin((BENIGN, MALIGNANT)).astype(int) + 2 * (said["diagnosis"] == "")
    return tables, said.loc[vague.sort_values(kind="stable").index], warnings


def _rows(truth: pd.DataFrame) -> pd.DataFrame:
    """The rows of each image's first file, in the order of files and lines.

    Rows that repeat an image within that file stay, and so do rows without an id: the checks of all layouts tell them.
    """
    first = truth.drop_duplicates("image_id").set_index("image_id")["file"]
    chosen = truth["image_id"].map(first)
    return truth[(truth["file"] == chosen) | (truth["image_id"] == "")].sort_values(["file", "line"], ignore_index=True)


def _pictures(files: list[str]) -> tuple[dict[str, str], dict[str, str], set[str]]:
    """The pictures and the masks by image id in lower case, and the ids with several files: the first of them is taken.

    JPEG first: that is what the challenges hand out, and a PNG of the same name is likely made from it.
    """
    pictures: dict[str, str] = {}
    masks: dict[str, str] = {}
    several = set()
    images = [file for file in files if file.lower().endswith(SUFFIXES)]
    for file in sorted(images, key=lambda file: not file.lower().endswith((".jpg", ".jpeg"))):
        name = file.rsplit("/", 1)[-1].lower()
        beside = NO_PICTURE.search(name)
        if beside and beside[1] != MASK:
            continue
        image = name[: beside.start()] if beside else without_suffix(name)
        found = masks if beside else pictures
        if image in found:
            several.add(image)
        found.setdefault(image, file)
    return pictures, masks, several


def _parts(truth: pd.DataFrame) -> tuple[dict[str, str], list[str]]:
    """The part of each image, and a warning if tables name several for one: training of one year, test of another."""
    said = truth[truth["part"] != ""].drop_duplicates(["image_id", "part"])
    parts = dict(zip(said["image_id"], said["part"], strict=True))
    twice = said[said["image_id"].duplicated(keep=False) & (said["image_id"] != "")]
    if twice.empty:
        return parts, []
    tested = set(said["image_id"][said["part"] == "test"])
    images = sorted(set(twice["image_id"]))
    parts |= {image: "test" if image in tested else "val" for image in images}
    first = twice[twice["image_id"] == images[0]].sort_values("file")
    places = ", ".join(f"{part} by {file}" for part, file in zip(first["part"], first["file"], strict=True))
    told = f"WARNING: {len(images)} images are in different parts, taken is test, else val; first {images[0]}: {places}"
    return parts, [told]


def _wrong_rows(truth: pd.DataFrame) -> dict[str, str]:
    """Image id -> what is wrong with its first row that should give a diagnosis and does not."""
    wrong = truth[truth["problem"] != ""].drop_duplicates("image_id")
    rows = zip(wrong["image_id"], wrong["file"], wrong["line"], wrong["problem"], strict=True)
    return {image: f"{file} line {line}: {problem}" for image, file, line, problem in rows}


def _of_images(tables: dict[str, pd.DataFrame], ids: set[str]) -> dict[str, pd.DataFrame]:
    """The rows of the tables that describe one of these images."""
    return {
        file: table[np.array([image in ids for image in table["image_id"]], dtype=bool)]
        for file, table in tables.items()
        if "image_id" in table
    }


def _statements(tables: dict[str, pd.DataFrame], origins: Iterable[str], column: str) -> pd.DataFrame:
    """`image_id, column, file, line` of all that the tables say under any of the names that a column has."""
    pieces = [pd.DataFrame(columns=["image_id", column, "file", "line"])]
    for file, table in tables.items():
        for origin in origins:
            if origin in table:
                facts = {"image_id": table["image_id"], column: known(table[origin]), "file": file, "line": table[LINE]}
                pieces.append(pd.DataFrame(facts))
    return pd.concat(pieces, ignore_index=True)


def _agreed(column: str, said: pd.DataFrame, same: Callable[[str, str], bool]) -> tuple[dict[str, str], dict[str, str]]:
    """Image id -> the first value that is said of it, and image id -> both values where a later one is not the same."""
    said = said[(said[column] != "") & (said["image_id"] != "")]
    first = said.drop_duplicates("image_id")
    later = said[said["image_id"].duplicated()]
    before = first.set_index("image_id").loc[later["image_id"]]
    pairs = list(zip(before[column], later[column], strict=True))
    verdicts = {pair: same(*pair) for pair in set(pairs)}
    differs = np.array([not verdicts[pair] for pair in pairs], dtype=bool)
    before, later = before[differs], later[differs]
    at_odds: dict[str, str] = {}
    for image, mine, theirs in zip(later["image_id"], _told(column, before), _told(column, later), strict=True):
        at_odds.setdefault(image, f"{column} is {mine}, {theirs}")
    values = first[column].map(_plain) if column.endswith("_id") else first[column]
    return dict(zip(first["image_id"], values, strict=True)), at_odds


def _told(column: str, said: pd.DataFrame) -> list[str]:
    rows = zip(said[column], said["file"], said["line"], strict=True)
    return [f"{value} in {file} line {line}" for value, file, line in rows]


def _same(one: str, other: str) -> bool:
    """Whether two values differ in nothing but the case of letters or the way a whole number is written."""
    return _plain(one).lower() == _plain(other).lower()


def _plain(value: str) -> str:
    """A whole number as it is written elsewhere: lesion `12.0` is lesion 12."""
    whole = value.removesuffix(".0")
    return whole if whole.isdecimal() else value


def _duplicates(tables: dict[str, pd.DataFrame], ids: pd.Series) -> list[tuple[str, str]]:
    """Published pairs, and the pictures that are listed both as they were and made smaller."""
    published = [
        pair
        for table in tables.values()
        for one, other in PAIRS
        if {one, other} <= set(table)
        for pair in zip(table[one], table[other], strict=True)
    ]
    listed = set(ids)
    smaller = [image for image in ids if image.endswith(SMALLER) and image.removesuffix(SMALLER) in listed]
    return [*published, *((image.removesuffix(SMALLER), image) for image in smaller)]


def _on_files(ids: pd.Series, pictures: dict[str, str], several: set[str]) -> list[str]:
    """Warnings: of pictures without a ground truth, and of listed images with several files."""
    warnings = []
    listed = set(ids.str.lower())
    left = [file for image, file in pictures.items() if image not in listed]
    if left:
        warnings.append(f"WARNING: {len(left)} images have no ground truth and are left out, first {min(left)}")
    twice = sorted(several & listed)
    if twice:
        first = pictures.get(twice[0], twice[0])
        warnings.append(f"WARNING: {len(twice)} images have several files; taken is the first, such as {first}")
    return warnings


def _without_truth(root: Path, files: list[str], warnings: list[str]) -> str:
    there = [file for file in files if file.lower().endswith(".csv")]
    found = ", ".join(there[:NAMED]) + (", ..." if len(there) > NAMED else "")
    why = "".join(f"; {warning.removeprefix('WARNING: ')}" for warning in warnings[:1])
    return (
        f"{root}: no ground-truth table of an ISIC challenge at any depth, expected one such as {', '.join(EXPECTED)}; "
        f"CSV files there: {found or 'none'}{why}"
    )


def _without_pictures(root: Path, files: list[str]) -> str:
    packed = [file for file in files if file.lower().endswith(HDF5)]
    if packed:
        return f"{root}: the images are in {packed[0]}, and HDF5 is not read: unpack the JPEG version into the folder"
    return f"{root}: no image of a lesion ({', '.join(SUFFIXES)}) at any depth; unpack the challenge's images into it"
