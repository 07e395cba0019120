"""The ways to deal groups out to parts: each takes whole groups and gives whole groups."""

import math

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold, train_test_split

from derm.errors import UserError
from derm.splits.params import LEFT_OUT, PARTS, SplitParams
from derm.splits.strata import strata
from derm.task import Task


def holdout(images: pd.DataFrame, task: Task, params: SplitParams) -> pd.Series:
    """The part of each group, in the shares of the params, each diagnosis alike. Index: group."""
    labels = strata(images, task, PARTS, params.rare)
    rest, test = _cut(labels.index.to_numpy(), labels, params.test, params.seed)
    return _parts(rest, test, labels, params)


def kfold(images: pd.DataFrame, task: Task, params: SplitParams) -> tuple[pd.Series, pd.Series]:
    """The part and the fold of each group. Test is fold `fold` of `folds`; the rest is dealt out as train : val :
    calibration in the params' proportions."""
    needed = [f"fold {number}" for number in range(params.folds)]
    labels = strata(images, task, needed if len(needed) > len(PARTS) else PARTS, params.rare)
    groups = labels.index.to_numpy()
    fold = pd.Series("", index=groups)
    dealt = StratifiedKFold(params.folds, shuffle=True, random_state=params.seed)
    for number, (_, held_out) in enumerate(dealt.split(groups, labels)):
        fold[groups[held_out]] = str(number)
    is_test = (fold == str(params.fold)).to_numpy()
    return _parts(groups[~is_test], groups[is_test], labels, params), fold


def official(images: pd.DataFrame, task: Task, params: SplitParams) -> pd.Series:
    """The part of each image as its source says (`source_part`), with nothing on two sides. Index as `images`.

    The source's test images are the test part, all of them. An image of a group that is tested on, but that the source
    trains on, is left out: the test set stays what others report on. Val is the source's own where it has one, less
    what would be on two sides; calibration, and val where there is none, come out of the rest by group, in the params'
    proportions. UserError if the source names no test images, or leaves nothing to train on.
    """
    said = images["source_part"]
    if not (said == "test").any():
        raise UserError(
            "split.scheme is official, and the source names no test images: use holdout or kfold, or put the official "
            "test files beside the training files"
        )
    part = pd.Series(LEFT_OUT, index=images.index)
    part[said == "test"] = "test"
    taken = set(images.loc[said == "test", "group"])
    val = (said == "val") & ~images["group"].isin(taken)
    part[val] = "val"
    taken |= set(images.loc[val, "group"])
    rest = images[(said == "train") & ~images["group"].isin(taken)]
    if rest.empty:
        raise UserError("split.scheme is official, and the source leaves no image to train on: use holdout or kfold")
    from_rest = [name for name in PARTS if name not in ("test", "val") or (name == "val" and not val.any())]
    labels = strata(rest, task, from_rest, params.rare)
    dealt = pd.Series("train", index=labels.index)
    groups, remainder = labels.index.to_numpy(), 1 - params.test
    if val.any():
        remainder -= params.val
    groups, calibration = _cut(groups, labels, params.calibration / remainder, params.seed + 1)
    dealt[calibration] = "calibration"
    if not val.any():
        _, chosen = _cut(groups, labels, params.val / (remainder - params.calibration), params.seed + 2)
        dealt[chosen] = "val"
    part[rest.index] = rest["group"].map(dealt).fillna("train")
    return part


def _parts(rest: np.ndarray, test: np.ndarray, labels: pd.Series, params: SplitParams) -> pd.Series:
    remainder = 1 - params.test
    rest, calibration = _cut(rest, labels, params.calibration / remainder, params.seed + 1)
    train, val = _cut(rest, labels, params.val / (remainder - params.calibration), params.seed + 2)
    part = pd.Series("", index=labels.index)
    for name, members in zip(PARTS, (train, val, calibration, test), strict=True):
        part[members] = name
    return part


def _cut(groups: np.ndarray, labels: pd.Series, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut groups in two, the second with `share` of them, each class alike; a class never gives up its last one."""
    here = labels[groups]
    members = here.value_counts()
    if math.ceil(len(groups) * share - 1e-9) < len(members):
        raise UserError(
            f"{len(groups)} lesions, {share:.0%} of them in a part, are not one for each of "
            f"{len(members)} classes and sizes: make the split's smaller parts larger"
        )
    try:
        kept, cut = train_test_split(groups, test_size=share, stratify=here, random_state=seed)
    except ValueError:
        raise UserError(
            f"class {str(members.index[-1]).split(' / ')[0]} has {members.iloc[-1]} lesion(s) left for two parts: "
            "add images of it, make the split's smaller parts larger, or leave the class out (data.label_map)"
        ) from None
    return np.sort(kept), np.sort(cut)
