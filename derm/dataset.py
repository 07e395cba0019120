"""From a folder to an image table: list, check, open every image, find what belongs together."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from derm.appearance import MEASURES
from derm.description.distributions import gist
from derm.errors import UserError
from derm.groups import group_images
from derm.image_table import COLUMNS
from derm.inspection import inspect
from derm.near_duplicates import near_identical
from derm.sources.listing import REJECTED, check_rows
from derm.sources.reader import DataParams, DatasetParams, read_source

KINDS = ("bytes", "near-identical", "published")
PAIRS = ["one", "other", "kind", "distance", "similarity", "joins"]
PAIRS += ["lesion_one", "lesion_other", "diagnosis_one", "diagnosis_other"]


@dataclass(frozen=True)
class Dataset:
    """images: the image table, sorted by id; rejected: `where, image_id, path, reason`; listed: rows before any check;
    lost: how many of them were refused.

    pairs: images that belong together whatever their ids say: `one, other` (image ids), `kind` (bytes, near-identical,
    published), `distance` in bits and `similarity` of near-identical ones, `joins` (1 if no id held the two
    together), and the lesion ids and diagnoses of both.
    appearance: `image_id` and what each of the images looks like (`derm.appearance.Appearance`), in their order.
    linked: `image_id, lesion_id, patient_id, group` of everything that a group hangs together by: also rows that were
    refused or left out, and images that only a list of duplicates names. Groups without an image left are empty.
    """

    images: pd.DataFrame
    appearance: pd.DataFrame
    rejected: pd.DataFrame
    pairs: pd.DataFrame
    linked: pd.DataFrame
    listed: int
    lost: int


def read_dataset(params: DatasetParams, data: DataParams, key: str = "data") -> Dataset:
    """Read a dataset: `params` say where it is, `data` how small, large and many bad images are borne.

    Warnings go to stderr. UserError if the folder is not usable or no row is.
    """
    listing = read_source(params, key)
    for warning in listing.warnings:
        print(warning, file=sys.stderr)
    everything = listing.images
    leaves = everything["leaves"]
    listed, refused_rows = check_rows(everything)
    opened, refused_files = inspect(listed, data.min_side, data.max_pixels)
    usable, contradicting = _one_label_a_file(opened)
    rejected = pd.concat([refused_rows, refused_files, contradicting], ignore_index=True)
    # What leaves by the user's wish is not lost when it is bad as well.
    going = set(everything.loc[leaves, "where"])
    rejected = rejected[~rejected["where"].isin(going)]
    order = {where: number for number, where in enumerate(everything["where"])}
    rejected = rejected.sort_values("where", key=lambda places: places.map(order), kind="stable", ignore_index=True)
    images = usable[~usable["where"].isin(going)].sort_values("image_id", ignore_index=True)
    found = _pairs(opened.sort_values("image_id", ignore_index=True), listing.duplicates)
    images, linked = _grouped(images, everything, opened, found, listing.duplicates)
    pairs = _described(found, images)
    _warn_of_labels(pairs)
    kept = everything[~leaves]
    looks = images[["image_id", *MEASURES]]
    return Dataset(images[COLUMNS], looks, rejected, pairs, linked, len(kept), len(kept) - len(images))


def _grouped(
    images: pd.DataFrame,
    everything: pd.DataFrame,
    opened: pd.DataFrame,
    pairs: pd.DataFrame,
    published: Sequence[tuple[str, str]],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The images with their `group`, and `Dataset.linked`.

    Two images may hang together through a third that cannot be used, so all that is listed is grouped; a group is then
    called by the smallest image that is left in it.
    """
    bytes_of = dict(zip(opened["image_id"], opened["sha256"], strict=True))
    ids = ["image_id", "lesion_id", "patient_id"]
    named = pd.DataFrame({"image_id": sorted({name for pair in published for name in pair})}, dtype=str)
    rows = pd.concat([everything[ids], named], ignore_index=True).fillna("")
    rows["sha256"] = [bytes_of.get(name, "") for name in rows["image_id"]]
    group = group_images(rows, [*zip(pairs["one"], pairs["other"], strict=True), *published])
    left = dict(zip(rows["image_id"], group, strict=True))
    whole = images["image_id"].map(left)
    called = images["image_id"].groupby(whole).min()
    names = dict(zip(called.index, called, strict=True))
    linked = rows[ids].assign(group=[names.get(root, "") for root in group])
    linked = linked[linked["image_id"] != ""].drop_duplicates().sort_values(ids, ignore_index=True)
    return images.assign(group=whole.map(names)), linked


def refuse_bad(dataset: Dataset, max_rejected: float, key: str, where: str) -> None:
    """UserError with a summary if no row can be used, or a larger share of them is bad than `max_rejected`.

    key: where the params of the dataset stand; where: the file that lists what was rejected.
    """
    reasons = dataset.rejected["reason"].map(gist).value_counts()
    told = "; ".join(f"{count} x {reason}" for reason, count in reasons.head(3).items())
    several = dataset.rejected["reason"].str.contains("with different diagnoses").any()
    hint = " (if names repeat for different images in class folders: set data.ids to path)" if several else ""
    if dataset.images.empty:
        raise UserError(f"{key}: no row can be used ({told or 'none is left'}){hint}; all are in {where}")
    if dataset.lost > max_rejected * dataset.listed:
        first = dataset.rejected.iloc[0]
        raise UserError(
            f"{dataset.lost} of {dataset.listed} rows cannot be used, {key}.max_rejected allows {max_rejected:.1%}: "
            f"{told}{hint}; the first: {first['where']}, {first['image_id']}: {first['reason']}; all are in {where}"
        )


def _one_label_a_file(images: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Take out files of equal bytes that stand under several diagnoses: no one can say which is right."""
    labels = images.groupby("sha256")["diagnosis"].transform("nunique")
    bad = images[labels > 1].copy()
    reasons = []
    for digest in bad["sha256"]:
        same = bad[bad["sha256"] == digest]
        told = ", ".join(f"{one} ({label})" for one, label in zip(same["image_id"], same["diagnosis"], strict=True))
        reasons.append(f"the same file stands under different diagnoses: {told}")
    bad["reason"] = reasons
    return images[labels <= 1].copy(), bad[REJECTED]


def _pairs(images: pd.DataFrame, published: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Pairs of equal bytes, near-identical pixels, or on a published list (there also if the pixels found it):
    `one, other, kind, distance, similarity`."""
    ids = images["image_id"].to_numpy()
    rows = []
    first: dict[str, int] = {}
    for position, digest in enumerate(images["sha256"]):
        if first.setdefault(digest, position) != position:
            rows.append((ids[first[digest]], ids[position], KINDS[0], 0, 1.0))
    for pair in near_identical(images).to_dict("records"):
        rows.append((ids[pair["one"]], ids[pair["other"]], KINDS[1], pair["distance"], pair["similarity"]))
    listed = {(min(pair), max(pair)) for pair in published}
    rows += [(one, other, KINDS[2], None, None) for one, other in sorted(listed)]
    return pd.DataFrame(rows, columns=["one", "other", "kind", "distance", "similarity"])


def _described(found: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """The pairs of which both images are used, with what is known of them (see `Dataset.pairs`)."""
    described = images.set_index("image_id")
    there = found["one"].isin(described.index) & found["other"].isin(described.index)
    table = found[there].reset_index(drop=True)
    by_ids = group_images(images.drop(columns="sha256"), []).set_axis(described.index)
    for side in ("one", "other"):
        table[f"lesion_{side}"] = table[side].map(described["lesion_id"])
        table[f"diagnosis_{side}"] = table[side].map(described["diagnosis"])
    table["joins"] = (table["one"].map(by_ids) != table["other"].map(by_ids)).astype(int)
    return table[PAIRS]


def _warn_of_labels(pairs: pd.DataFrame) -> None:
    """One loud line if pairs have two diagnoses."""
    at_odds = pairs[pairs["diagnosis_one"] != pairs["diagnosis_other"]]
    if len(at_odds):
        one = at_odds.iloc[0]
        print(
            f"WARNING: {len(at_odds)} pairs show the same picture or lesion under two diagnoses, first {one['one']} "
            f"({one['diagnosis_one']}) and {one['other']} ({one['diagnosis_other']}): they are kept, in one group",
            file=sys.stderr,
        )
