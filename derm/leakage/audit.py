"""The leakage audit itself: which images of one part of a split belong to images of another."""

import re
from dataclasses import dataclass

import pandas as pd

from derm.leakage.conflicts import Conflict, conflicts
from derm.leakage.links import CHAIN, IDS, across_parts, group_rows, shared

MELANOMA = ("mel", "melanoma")


@dataclass(frozen=True)
class Share:
    """n of so many images."""

    n: int
    of: int

    @property
    def share(self) -> float:
        """From 0 to 1; 0 of nothing."""
        return self.n / self.of if self.of else 0.0


@dataclass(frozen=True)
class Siblings:
    """How many images of a part have a sibling on the other side: of all, of each class, of the melanomas (None: the
    part has no class of that name)."""

    all: Share
    by_class: dict[str, Share]
    melanoma: Share | None


@dataclass(frozen=True)
class Report:
    """What was found. An image that is listed several times in one part counts once in it.

    train: the training part; empty where each part is a fold, a test part against all the others.
    parts: images in each part. left_out: images on no side. checked_by: the kinds of link that were looked at.
    groups, groups_by_kind, groups_by_class: groups of images that stand in two or more parts: how many; for each kind
        of link, how many hold such a link from one part to another, and how many images are at its ends; for each
        class, how many hold an image of it (a group counts for each of its classes and kinds). What has none is absent.
    leaking: every image of these groups: `image, part, group, reason` (the links from this image to another part).
    share_of_test_with_sibling: for each part but train, images whose group has an image in train (in another fold); an
        image with two labels in one part counts for the first of them.
    alike: pairs of files of one picture under two names, across parts (`links.across_parts`), `distance` in bits,
        `similarity` from -1 to 1, `kind`: equal_bytes or near_identical. Files of equal bytes within a part stand once.
    conflicts: by kind, things with two labels. repeated: images listed more than once in a part: `image, part, rows`.
    in_several_parts: images that are themselves in two or more parts: `image, parts`.
    without_id: images of which no patient, lesion or group is known.
    """

    train: str
    parts: dict[str, int]
    left_out: int
    checked_by: list[str]
    groups: int
    groups_by_kind: dict[str, tuple[int, int]]
    groups_by_class: dict[str, int]
    leaking: pd.DataFrame
    share_of_test_with_sibling: dict[str, Siblings]
    alike: pd.DataFrame
    conflicts: dict[str, list[Conflict]]
    repeated: pd.DataFrame
    in_several_parts: pd.DataFrame
    without_id: list[str]

    @property
    def leak(self) -> bool:
        """Whether anything stands in two parts."""
        return self.groups > 0


def audit(
    rows: pd.DataFrame,
    train: str,
    duplicates: pd.DataFrame | None,
    near: pd.DataFrame | None,
    others: pd.DataFrame | None = None,
) -> Report:
    """Look for what stands in two parts.

    rows: `Listed.rows`, with `sha256` where files were read. train: the training part, or empty for folds.
    duplicates: pairs `one, other` of images; near: `pictures.lookalikes`; None: not looked at. others:
    `Listed.others`. Images that are in `others` or `duplicates` and not in `rows` connect, and are counted nowhere.
    """
    links = shared(rows, duplicates, near)
    none = pd.DataFrame(columns=["one", "other"], dtype=str)
    groups = group_rows(rows, others, none if duplicates is None else duplicates, none if near is None else near)
    sides = rows.assign(group=groups)[rows["part"] != ""]
    leaks = sides.groupby("group")["part"].transform("nunique") > 1
    images = sides.drop_duplicates(["image", "part"])
    leaking = sides[leaks].assign(reason=_reasons(links[leaks]))
    labelled = leaking[leaking["label"] != ""]
    listed_often = sides.groupby(["image", "part"]).size().rename("rows").reset_index()
    in_several = images[images["image"].duplicated(keep=False)].sort_values("part")
    return Report(
        train=train,
        parts={part: int((images["part"] == part).sum()) for part in _in_order(set(images["part"]), train)},
        left_out=rows.loc[rows["part"] == "", "image"].nunique(),
        checked_by=[str(kind) for kind in links],
        groups=leaking["group"].nunique(),
        groups_by_kind=_by_kind(leaking, links),
        groups_by_class={str(k): int(n) for k, n in labelled.groupby("label")["group"].nunique().items()},
        leaking=_told_once(leaking),
        share_of_test_with_sibling=_siblings(images, train),
        alike=_alike(rows, near),
        conflicts=conflicts(rows, near),
        repeated=listed_often[listed_often["rows"] > 1].reset_index(drop=True),
        in_several_parts=in_several.groupby("image")["part"].agg(list).rename("parts").reset_index(),
        without_id=sorted(set(rows["image"]) - set(rows.loc[(rows[IDS] != "").any(axis=1), "image"])),
    )


def _in_order(parts: set[str], train: str) -> list[str]:
    """The training part first; the others by name, and by number where they have one."""
    return sorted(
        parts, key=lambda part: (part != train, re.sub(r"\d+", lambda digits: digits[0].zfill(9), part.lower()), part)
    )


def _reasons(links: pd.DataFrame) -> list[str]:
    kinds = links.columns.to_numpy()
    return ["; ".join(kinds[row]) or CHAIN for row in links.to_numpy(dtype=bool)]


def _by_kind(leaking: pd.DataFrame, links: pd.DataFrame) -> dict[str, tuple[int, int]]:
    counts = {}
    linked = links.loc[leaking.index]
    for kind in links:
        there = leaking[linked[kind]]
        if len(there):
            counts[str(kind)] = (there["group"].nunique(), there["image"].nunique())
    direct = set(leaking.loc[linked.any(axis=1), "group"])
    chained = leaking[~leaking["group"].isin(direct)]
    if len(chained):
        counts[CHAIN] = (chained["group"].nunique(), chained["image"].nunique())
    return counts


def _told_once(leaking: pd.DataFrame) -> pd.DataFrame:
    """One row per image and part, with the reasons of all its rows; by group."""
    reasons = leaking.groupby(["group", "part", "image"])["reason"]
    told = reasons.agg(lambda texts: "; ".join(dict.fromkeys("; ".join(texts).split("; ")))).reset_index()
    return told[["image", "part", "group", "reason"]]


def _siblings(images: pd.DataFrame, train: str) -> dict[str, Siblings]:
    """images: one row per image and part, with its group."""
    result = {}
    for part in _in_order(set(images["part"]) - {train}, train):
        here = images[images["part"] == part]
        others = images[images["part"] == train] if train else images[images["part"] != part]
        found = here["group"].isin(set(others["group"]))
        by_class = found.groupby(here["label"]).agg(["sum", "size"])
        classes = {str(name): Share(int(n), int(of)) for name, (n, of) in by_class.iterrows()}
        melanoma = [share for name, share in classes.items() if name.lower() in MELANOMA]
        result[part] = Siblings(
            all=Share(int(found.sum()), len(here)),
            by_class=classes if set(classes) != {""} else {},
            melanoma=Share(sum(one.n for one in melanoma), sum(one.of for one in melanoma)) if melanoma else None,
        )
    return result


def _alike(rows: pd.DataFrame, near: pd.DataFrame | None) -> pd.DataFrame:
    columns = ["image_one", "part_one", "image_other", "part_other", "distance", "similarity", "kind"]
    if near is None:
        return pd.DataFrame(columns=columns)
    files = rows[rows["sha256"] != ""]
    digests = sorted(files.loc[files["sha256"].duplicated(), "sha256"].unique())
    same = pd.DataFrame({"one": digests, "other": digests, "distance": 0, "similarity": 1.0})
    found = pd.concat(
        [
            across_parts(files, "sha256", same).assign(kind="equal_bytes"),
            across_parts(files, "sha256", near).assign(kind="near_identical"),
        ]
    )
    # An image that is itself in both parts is told as such.
    found = found[found["image_one"] != found["image_other"]]
    return found[columns].sort_values(["similarity", "image_one", "image_other"], ascending=[False, True, True])
