"""HAM10000 as Harvard Dataverse and Kaggle hand it out (Tschandl et al. 2018, doi:10.7910/DVN/DBW86T), with the
official test set of the ISIC 2018 challenge where it is there."""

from pathlib import Path, PurePosixPath

import pandas as pd

from derm.errors import UserError
from derm.images import SUFFIXES
from derm.sources.image_files import image_files, without_suffix
from derm.sources.listing import COLUMNS, Listing, as_label, known
from derm.sources.tables import LINE, read_table

DIAGNOSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
METADATA = "HAM10000_metadata"
TEST = "ISIC2018_Task3_Test_GroundTruth"
ENDINGS = (".csv", ".tab", "")
IMAGES = "HAM10000_images"
MASKS = "HAM10000_segmentations_lesion_tschandl"
DUPLICATES = "near_duplicates_across_lesion_ids.csv"
# Our column, and what the metadata calls it.
FIELDS = (
    ("lesion_id", "lesion_id"),
    ("patient_id", "patient_id"),
    ("age", "age"),
    ("sex", "sex"),
    ("body_site", "localization"),
    ("confirmation", "dx_type"),
    ("source", "dataset"),
)


def read(root: Path) -> Listing:
    """What the folder lists: metadata beside images in one or several folders, masks and duplicates where there are.

    The official test set (its table beside the metadata) is listed with `source_part` test, all else with train.
    `dx_type` (how the diagnosis was confirmed) goes to `confirmation`, for tables only: it gives the diagnosis away.
    UserError if the metadata file is missing or unusable, or if no image is found at all.
    """
    table, name = _table(root, METADATA)
    if table is None:
        raise UserError(
            f"{root}: none of {', '.join(METADATA + ending for ending in ENDINGS)} is there; set data.root to the "
            "folder that holds it, or data.source to another layout"
        )
    files, several = _files_by_stem(root)
    if not files:
        raise UserError(f"{root}: no image ({', '.join(SUFFIXES)}) in it or in its folders")
    masks = {
        PurePosixPath(file).stem.removesuffix("_segmentation"): f"{root.as_posix()}/{MASKS}/{file}"
        for file in (image_files(root / MASKS) if (root / MASKS).is_dir() else [])
    }
    tables = [(table, name, "train")]
    test, name = _table(root, TEST)
    if test is not None:
        tables.append((test, name, "test"))
    images = pd.concat([_rows(*listed, root, files, masks) for listed in tables], ignore_index=True)
    warnings = []
    listed_twice = sorted(set(several) & set(images["image_id"]))
    if listed_twice:
        first = files[listed_twice[0]]
        warnings.append(f"WARNING: {len(listed_twice)} images have several files; taken is the first, such as {first}")
    duplicates = _duplicates(root / DUPLICATES)
    return Listing(images, duplicates, DIAGNOSES, warnings)


def _table(root: Path, stem: str) -> tuple[pd.DataFrame | None, str]:
    """The table of this name, whatever its ending, and the file's name. UserError if two of them disagree."""
    found = [root / f"{stem}{ending}" for ending in ENDINGS if (root / f"{stem}{ending}").is_file()]
    if not found:
        return None, ""
    tables = [_normalised(read_table(path, ()), path) for path in found]
    for other, path in zip(tables[1:], found[1:], strict=True):
        columns = ["image_id", "dx", *(name for name in ("lesion_id",) if name in tables[0] and name in other)]
        one, two = (set(map(tuple, table.reindex(columns=columns).to_numpy())) for table in (tables[0], other))
        if one != two:
            differing = min(one ^ two)
            raise UserError(
                f"{found[0]} and {path.name} disagree, first on {differing[0]}: keep the one that is right, and move "
                "the other out of the folder"
            )
    return tables[0], found[0].name


def _normalised(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """With `image_id` and `dx`, also where the challenge gives one column a class. UserError if neither is there."""
    if "image_id" not in table and "image" in table:
        table = table.rename(columns={"image": "image_id"})
    one_hot = [name for name in table if str(name).lower() in DIAGNOSES]
    if "dx" not in table and len(one_hot) == len(DIAGNOSES):
        chosen = table[one_hot].apply(pd.to_numeric, errors="coerce") == 1
        first = chosen.idxmax(axis=1).astype(str).str.lower()
        table = table.assign(dx=first.where(chosen.sum(axis=1) == 1, ""))
    missing = [name for name in ("image_id", "dx") if name not in table]
    if missing:
        names = ", ".join(str(name) for name in list(table)[:12] if name != LINE)
        raise UserError(
            f"{path}: no column {', '.join(missing)} in the first line ({names}); "
            "expected a header line with these names"
        )
    return table


def _rows(
    table: pd.DataFrame, name: str, part: str, root: Path, files: dict[str, str], masks: dict[str, str]
) -> pd.DataFrame:
    images = pd.DataFrame("", index=table.index, columns=COLUMNS)
    images["where"] = [f"{name} line {line}" for line in table[LINE]]
    images["image_id"] = table["image_id"]
    images["diagnosis"] = as_label(table["dx"])
    for column, origin in FIELDS:
        if origin in table:
            images[column] = known(table[origin])
    images["path"] = [f"{root.as_posix()}/{files[image]}" if image in files else "" for image in table["image_id"]]
    images["source_part"] = part
    images["mask"] = [masks.get(image, "") for image in table["image_id"]]
    return images


def _files_by_stem(root: Path) -> tuple[dict[str, str], list[str]]:
    """Image files, relative to the root, by name without ending, and the names that more than one file has.

    Looked for in the root, then in HAM10000's own folders, then in others (Kaggle's archive holds every image twice);
    the first found is taken.
    """
    files = [file for file in image_files(root) if not file.startswith(f"{MASKS}/")]
    files.sort(key=lambda file: ("/" in file, not file.startswith(IMAGES)))
    found: dict[str, str] = {}
    several = []
    for file in files:
        stem = without_suffix(PurePosixPath(file).name)
        if stem in found:
            several.append(stem)
        found.setdefault(stem, file)
    return found, several


def _duplicates(path: Path) -> list[tuple[str, str]]:
    """Pairs that show one lesion under two lesion ids (Abhishek et al. 2024, Corrected-Skin-Image-Datasets)."""
    if not path.is_file():
        return []
    table = read_table(path, required=("from_img", "to_img"), empty=True)
    return list(zip(table["from_img"].map(without_suffix), table["to_img"].map(without_suffix), strict=True))
