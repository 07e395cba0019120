"""Deal images out to train, val, calibration and test, whole groups only, and prove it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from derm.errors import UserError
from derm.splits.keep import kept_parts
from derm.splits.params import LEFT_OUT, PARTS, SplitParams
from derm.splits.schemes import holdout, kfold, official
from derm.task import Task


@dataclass(frozen=True)
class Split:
    """table: `image_id, group, part, fold, target`, rows as the images'; moved: images that left an earlier part."""

    table: pd.DataFrame
    moved: int = 0


def split_images(images: pd.DataFrame, task: Task, params: SplitParams) -> Split:
    """Deal images out as the params say.

    images: `image_id, group, diagnosis, lesion_id, source_part`. A group counts as its most frequent diagnosis (the
    rarer one on a tie). `fold` is empty but with `kfold`; `part` may be `left_out` with `official`.
    UserError if a class has too few lesions to be in every part.
    """
    fold, moved = pd.Series("", index=images.index), 0
    if params.scheme == "official":
        part = official(images, task, params)
    elif params.scheme == "kfold":
        of_group, fold_of_group = kfold(images, task, params)
        part, fold = images["group"].map(of_group).fillna("train"), images["group"].map(fold_of_group).fillna("")
    elif params.keep:
        of_group, moved = kept_parts(images, task, params)
        part = images["group"].map(of_group)
    else:
        part = images["group"].map(holdout(images, task, params)).fillna("train")
    table = pd.DataFrame(
        {
            "image_id": images["image_id"],
            "group": images["group"],
            "part": part,
            "fold": fold,
            "target": task.targets(images["diagnosis"]),
        }
    )
    audit(table, images, task.classes, PARTS if params.rare == "refuse" else ("train",))
    _refuse_unmeasured_positive(table, task)
    return Split(table, moved)


def audit(split: pd.DataFrame, images: pd.DataFrame, classes: list[str], needed: Sequence[str] = PARTS) -> None:
    """Prove that no group or lesion stands in two parts, and that every class is in every needed part.

    UserError if not.
    """
    used = (split["part"] != LEFT_OUT).to_numpy()
    for key in ("group", "lesion_id"):
        names = images[key].to_numpy()
        here = used & (names != "")
        sides = split[here].groupby(names[here])["part"].nunique()
        leaks = sides[sides > 1]
        if len(leaks):
            raise UserError(f"{key} {leaks.index[0]} stands in {leaks.iloc[0]} parts of the split")
    counts = pd.crosstab(split["target"], split["part"]).reindex(
        index=range(len(classes)), columns=list(needed), fill_value=0
    )
    for target, part in zip(*np.nonzero(counts.to_numpy() == 0), strict=True):
        name = classes[target]
        raise UserError(
            f"class {name} has no image in part {needed[part]}: it has "
            f"{split.loc[split['target'] == target, 'group'].nunique()} lesions; make that part larger, leave the "
            f"class out (data.label_map: {{{name}: null}}), or merge it with another"
        )


def _refuse_unmeasured_positive(split: pd.DataFrame, task: Task) -> None:
    """The class that is flagged must be in every part, whatever the rare ones may do: its threshold needs it."""
    if task.positive is None:
        return
    parts = set(split.loc[split["target"] == task.classes.index(task.positive), "part"])
    if lacking := [part for part in PARTS if part not in parts]:
        raise UserError(
            f"task.positive is {task.positive}, which has no image in part {lacking[0]}: it cannot be flagged and "
            "measured; set task.positive to null or another class, or add images of it"
        )
