"""Grouped, stratified splits into four parts, and the proof that no group stands on two sides."""

import math
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from sklearn.model_selection import StratifiedKFold, train_test_split

from derm.errors import UserError
from derm.params import Section

PARTS = ("train", "val", "calibration", "test")


class SplitParams(Section):
    """Section `split`: how lesions are dealt out."""

    method: Literal["holdout", "kfold"]
    val: float = Field(gt=0, lt=1)
    calibration: float = Field(gt=0, lt=1)
    test: float = Field(gt=0, lt=1)
    folds: int = Field(ge=2, le=50)
    fold: int = Field(ge=0)
    seed: int = Field(ge=0, lt=2**32 - 2)

    @model_validator(mode="after")
    def _consistent(self) -> "SplitParams":
        if self.val + self.calibration + self.test >= 1:
            raise ValueError("val + calibration + test below 1, so that something is left to train on")
        if self.fold >= self.folds:
            raise ValueError(f"fold below folds ({self.folds}); folds count from 0")
        return self


def split_groups(images: pd.DataFrame, classes: list[str], params: SplitParams) -> pd.DataFrame:
    """Deal groups out to the four parts, each class in the same proportions.

    images: `image_id, group, diagnosis`. With `holdout` the shares are those of the params; with `kfold` the test
    part is fold `fold` of `folds`, and the rest is dealt out as train : val : calibration in the params' proportions.
    A group counts as its most frequent class (the rarer one on a tie).
    Returns `image_id, group, part, fold, target`; `fold` is empty with `holdout`.
    UserError if a class has too few lesions to be in every part.
    """
    labels = _group_labels(images)
    _refuse_few(labels, PARTS if params.method == "holdout" else range(max(params.folds, len(PARTS))))
    groups = labels.index.to_numpy()
    fold = pd.Series("", index=groups)
    if params.method == "holdout":
        rest, test = _cut(groups, labels, params.test, params.seed)
    else:
        folds = StratifiedKFold(params.folds, shuffle=True, random_state=params.seed)
        for number, (_, held_out) in enumerate(folds.split(groups, labels)):
            fold[groups[held_out]] = str(number)
        test = groups[(fold == str(params.fold)).to_numpy()]
        rest = groups[(fold != str(params.fold)).to_numpy()]
    remainder = 1 - params.test
    rest, calibration = _cut(rest, labels, params.calibration / remainder, params.seed + 1)
    train, val = _cut(rest, labels, params.val / (remainder - params.calibration), params.seed + 2)
    part = pd.Series("", index=groups)
    for name, members in zip(PARTS, (train, val, calibration, test), strict=True):
        part[members] = name
    split = pd.DataFrame(
        {
            "image_id": images["image_id"],
            "group": images["group"],
            "part": images["group"].map(part),
            "fold": images["group"].map(fold),
            "target": images["diagnosis"].map({name: index for index, name in enumerate(classes)}),
        }
    )
    audit(split, images, classes)
    return split


def audit(split: pd.DataFrame, images: pd.DataFrame, classes: list[str]) -> None:
    """Prove that no group or lesion stands in two parts, and that every class is in every part. UserError if not."""
    for key in ("group", "lesion_id"):
        names = images[key].to_numpy()
        sides = split[names != ""].groupby(names[names != ""])["part"].nunique()
        leaks = sides[sides > 1]
        if len(leaks):
            raise UserError(f"{key} {leaks.index[0]} stands in {leaks.iloc[0]} parts of the split")
    counts = pd.crosstab(split["target"], split["part"]).reindex(index=range(len(classes)), columns=PARTS, fill_value=0)
    for target, part in zip(*np.nonzero(counts.to_numpy() == 0), strict=True):
        raise UserError(
            f"class {classes[target]} has no image in part {PARTS[part]}: "
            f"it has {split.loc[split['target'] == target, 'group'].nunique()} lesions; "
            "make that part larger, or leave the class out of the data"
        )


def _group_labels(images: pd.DataFrame) -> pd.Series:
    """The class of each group: its most frequent one, the rarer in the dataset on a tie. Index sorted by group."""
    frequency = images["diagnosis"].value_counts()
    counts = images.groupby(["group", "diagnosis"]).size().rename("images").reset_index()
    counts["rarity"] = counts["diagnosis"].map(-frequency)
    best = counts.sort_values(["group", "images", "rarity", "diagnosis"]).groupby("group").tail(1)
    return best.set_index("group")["diagnosis"].sort_index()


def _refuse_few(labels: pd.Series, parts: tuple[str, ...] | range) -> None:
    lesions = labels.value_counts()
    few = lesions[lesions < len(parts)].sort_index()
    if len(few):
        told = ", ".join(f"{name} has {count}" for name, count in few.items())
        raise UserError(
            f"too few lesions to be in each of {len(parts)} parts: {told} lesion(s); "
            "add images of it, use fewer folds, or leave the class out of the data"
        )


def _cut(groups: np.ndarray, labels: pd.Series, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut groups in two, the second with `share` of them, each class alike; a class never gives up its last one."""
    here = labels[groups]
    members = here.value_counts()
    if math.ceil(len(groups) * share - 1e-9) < len(members):
        raise UserError(
            f"{len(groups)} lesions, {share:.0%} of them in a part, are not one for each of {len(members)} classes: "
            "make the split's smaller parts larger"
        )
    try:
        kept, cut = train_test_split(groups, test_size=share, stratify=here, random_state=seed)
    except ValueError:
        raise UserError(
            f"class {members.index[-1]} has {members.iloc[-1]} lesion(s) left for two parts: add images of it, "
            "make the split's smaller parts larger, or leave the class out of the data"
        ) from None
    return np.sort(kept), np.sort(cut)
