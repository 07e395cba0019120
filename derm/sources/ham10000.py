"""HAM10000 as Harvard Dataverse and Kaggle hand it out (Tschandl et al. 2018, doi:10.7910/DVN/DBW86T)."""

from pathlib import Path

import pandas as pd

from derm.errors import UserError
from derm.images import SUFFIXES
from derm.sources.listing import COLUMNS, LINE, Listing, read_table

DIAGNOSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
METADATA = ("HAM10000_metadata.csv", "HAM10000_metadata.tab", "HAM10000_metadata")
IMAGES = "HAM10000_images"
MASKS = "HAM10000_segmentations_lesion_tschandl"
DUPLICATES = "near_duplicates_across_lesion_ids.csv"


def read(root: Path) -> Listing:
    """What the folder lists: metadata beside images in one or several folders, masks and duplicates where there are.

    `dx_type` (how the diagnosis was confirmed) goes to `confirmation`, for tables only: it gives the diagnosis away.
    UserError if the metadata file is missing or unusable, or if no image is found at all.
    """
    metadata = next((root / name for name in METADATA if (root / name).is_file()), None)
    if metadata is None:
        raise UserError(f"{root}: none of {', '.join(METADATA)} is there; set data.root to the folder that holds it")
    table = read_table(metadata, required=("image_id", "dx"))
    files, several = _files_by_stem(root)
    if not files:
        raise UserError(f"{root}: no image ({', '.join(SUFFIXES)}) in it or in its folders")
    masks = _masks_by_id(root / MASKS)
    images = pd.DataFrame(dict.fromkeys(COLUMNS, ""), index=table.index)
    images["row"] = table[LINE]
    images["image_id"] = table["image_id"]
    images["diagnosis"] = table["dx"].str.lower()
    for column, origin in (
        ("lesion_id", "lesion_id"),
        ("patient_id", "patient_id"),
        ("age", "age"),
        ("sex", "sex"),
        ("body_site", "localization"),
        ("confirmation", "dx_type"),
        ("source", "dataset"),
    ):
        if origin in table:
            images[column] = table[origin].where(~table[origin].str.lower().isin(("unknown", "nan", "na")), "")
    images["path"] = [files.get(name, "") for name in table["image_id"]]
    images["source_part"] = [Path(path).parent.name if path else "" for path in images["path"]]
    images["mask"] = [masks.get(name, "") for name in table["image_id"]]
    warnings = []
    listed_twice = sorted(set(several) & set(table["image_id"]))
    if listed_twice:
        name = listed_twice[0]
        warnings.append(
            f"WARNING: {len(listed_twice)} images have several files; taken is the first, such as {files[name]}"
        )
    unnamed = int((images["lesion_id"] == "").sum())
    if unnamed:
        warnings.append(
            f"WARNING: {unnamed} of {len(images)} images have no lesion_id: each of them counts as a lesion of its "
            "own, and a lesion photographed twice may stand on both sides of a split"
        )
    return Listing(images, _duplicates(root / DUPLICATES), warnings)


def _files_by_stem(root: Path) -> tuple[dict[str, str], list[str]]:
    """Image files by name without suffix, and the names that more than one file has.

    Looked for in the root, then in HAM10000's own folders, then in other folders; the first found is taken.
    """
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir() and folder.name != MASKS)
    folders.sort(key=lambda folder: not folder.name.startswith(IMAGES))
    found: dict[str, str] = {}
    several = []
    for folder in [root, *folders]:
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in SUFFIXES:
                if path.stem in found:
                    several.append(path.stem)
                found.setdefault(path.stem, path.as_posix())
    return found, several


def _masks_by_id(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        return {}
    return {
        path.stem.removesuffix("_segmentation"): path.as_posix()
        for path in sorted(folder.iterdir())
        if path.suffix.lower() == ".png"
    }


def _duplicates(path: Path) -> list[tuple[str, str]]:
    """Pairs that show one lesion under two lesion ids (Abhishek et al. 2024, Corrected-Skin-Image-Datasets)."""
    if not path.is_file():
        return []
    if len(path.read_text(encoding="utf-8-sig").split()) < 2:
        return []
    table = read_table(path, required=("from_img", "to_img"))
    return list(zip(table["from_img"], table["to_img"], strict=True))
