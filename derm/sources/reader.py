"""Which reader takes which layout, and what a dataset's params are."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import Field, field_validator

from derm.errors import UserError
from derm.params import Section
from derm.sources.listing import Listing, as_label
from derm.sources.tables import read_table


class DatasetParams(Section):
    """One dataset: its layout and where it lies."""

    source: Literal["ham10000", "isic", "folders", "table"]
    root: str = Field(min_length=1)
    table: str = ""
    columns: dict[str, str] = Field(default_factory=dict)
    ids: Literal["name", "path"] = "name"
    label_map: dict[str, str | None] = Field(default_factory=dict)


class ExternalParams(DatasetParams):
    """A further dataset: prepared and embedded beside the home set, and never trained on."""

    name: str
    digest: str
    max_rejected: float | None = Field(default=None, ge=0, le=1)

    @field_validator("name")
    @classmethod
    def _is_a_folder_name(cls, given: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", given):
            raise ValueError("a short name of lower-case letters, digits, - and _, which becomes a folder's name")
        return given


class DataParams(DatasetParams):
    """Section `data`: which images, and how many bad ones are borne."""

    external: list[ExternalParams]
    min_side: int = Field(ge=1)
    max_pixels: int = Field(ge=1)
    max_rejected: float = Field(ge=0, le=1)

    @field_validator("external")
    @classmethod
    def _names_differ(cls, given: list[ExternalParams]) -> list[ExternalParams]:
        names = [one.name for one in given]
        if len(set(names)) < len(names):
            raise ValueError("a different name for every external set")
        return given


def dataset_root(params: DatasetParams, key: str) -> Path:
    """The dataset's folder. UserError if it is none, or if a relative path leaves the repository."""
    root = Path(params.root)
    if not root.is_absolute() and ".." in root.parts:
        raise UserError(
            f"{key} {params.root!r} leaves the repository, and queued experiments run in a copy of it: "
            "give an absolute path, or put the data under data/raw"
        )
    if not root.is_dir():
        raise UserError(f"{key}: no folder {params.root!r}: set it to your dataset's folder (make data ROOT=...)")
    return root


def read_source(params: DatasetParams, key: str = "data") -> Listing:
    """The dataset's listing, its diagnoses renamed by `label_map`. `key`: where the params stand, for messages.

    UserError if the folder is not usable or `label_map` names a diagnosis that is not there.
    """
    root = dataset_root(params, f"{key}.root")
    if params.source == "ham10000":
        from derm.sources.ham10000 import read

        listing = read(root)
    elif params.source == "isic":
        from derm.sources.isic import read

        listing = read(root)
    elif params.source == "folders":
        from derm.sources.folders import read

        listing = read(root, params.ids)
    else:
        from derm.sources.table import read

        listing = read(root, params.table, params.columns, key)
    listing = replace(listing, duplicates=[*listing.duplicates, *_known_duplicates(listing.images["image_id"])])
    return _with_warning(_relabelled(_checked(listing), params.label_map, key))


def _known_duplicates(ids: pd.Series) -> list[tuple[str, str]]:
    """The 18 pairs of HAM10000's images that show one lesion under two lesion ids, for any dataset with one of them:
    ISIC's image ids are the same everywhere (Abhishek et al. 2025, Scientific Data 12:196)."""
    table = read_table(Path(__file__).with_name("known_duplicates.csv"), ("from_img", "to_img"))
    there = set(ids)
    pairs = zip(table["from_img"], table["to_img"], strict=True)
    return [(one, other) for one, other in pairs if one in there or other in there]


def _with_warning(listing: Listing) -> Listing:
    """One loud line if it is not known which images show one lesion."""
    images = listing.images
    unnamed = int(((images["lesion_id"] == "") & (images["patient_id"] == "")).sum())
    if not unnamed:
        return listing
    told = (
        f"WARNING: {unnamed} of {len(images)} images have no lesion_id and no patient_id: unless their pixels are "
        "nearly the same, each of them counts as a lesion of its own, and a lesion photographed twice may stand on "
        "both sides of a split"
    )
    return replace(listing, warnings=[*listing.warnings, told])


def _checked(listing: Listing) -> Listing:
    """With a `problem` where a diagnosis is not one of those that the layout knows."""
    if listing.diagnoses is None:
        return listing
    expected = f"expected one of {', '.join(listing.diagnoses)}"
    images = listing.images
    strange = ~images["diagnosis"].isin(listing.diagnoses)
    told = images["diagnosis"].map(
        lambda name: f"unknown diagnosis {name!r}: {expected}" if name else f"no diagnosis: {expected}"
    )
    before = images["problem"] if "problem" in images else pd.Series("", index=images.index)
    return replace(listing, images=images.assign(problem=before.where((before != "") | ~strange, told)))


def _relabelled(listing: Listing, label_map: dict[str, str | None], key: str) -> Listing:
    """Diagnoses renamed; a diagnosis that is mapped to null takes its images out of the listing, with a warning."""
    if not label_map:
        return replace(listing, images=listing.images.assign(leaves=False))
    names = list(as_label(pd.Series(list(label_map), dtype=str)))
    if len(set(names)) < len(names):
        raise UserError(f"{key}.label_map names {max(names, key=names.count)!r} twice (capitals do not count)")
    new = dict(zip(names, label_map.values(), strict=True))
    there = listing.images["diagnosis"]
    absent = sorted(set(new) - set(there))
    if absent:
        counts = ", ".join(f"{name} ({count})" for name, count in there.value_counts().items())
        raise UserError(f"{key}.label_map names {absent[0]!r}, which no image has; there are: {counts}")
    renamed = {name: " ".join(target.split()).lower() for name, target in new.items() if target is not None}
    if "" in renamed.values():
        raise UserError(f"{key}.label_map gives an empty name: null leaves a class out")
    leaving = [name for name, target in new.items() if target is None]
    stays = ~there.isin(leaving)
    # They are looked at all the same: what contradicts them, or hangs together through them, must come out.
    images = listing.images.assign(diagnosis=there.map(lambda name: renamed.get(name, name)), leaves=~stays)
    told = (
        [f"note: {int((~stays).sum())} images of {', '.join(leaving)} are left out by {key}.label_map"]
        if leaving
        else []
    )
    return replace(listing, images=images, warnings=[*listing.warnings, *told])
