"""Which class a whole group counts as, and what the dealing is balanced by."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from derm.errors import UserError
from derm.task import Task

# Groups of one diagnosis and size that are balanced by themselves: four or so in a part of a tenth.
ENOUGH = 40


def group_labels(images: pd.DataFrame) -> pd.Series:
    """The diagnosis of each group: its most frequent one, the rarer in the dataset on a tie. Index sorted by group."""
    frequency = images["diagnosis"].value_counts()
    counts = images.groupby(["group", "diagnosis"]).size().rename("images").reset_index()
    counts["rarity"] = counts["diagnosis"].map(-frequency)
    best = counts.sort_values(["group", "images", "rarity", "diagnosis"]).groupby("group").tail(1)
    return best.set_index("group")["diagnosis"].sort_index()


def strata(images: pd.DataFrame, task: Task, parts: Sequence[str], rare: str) -> pd.Series:
    """What each group is balanced by: its diagnosis, and how many images it has. Index: group, sorted.

    By diagnosis, so that a split is the same whatever the target makes of it; for a binary target a diagnosis with
    fewer groups than `parts` goes with the commonest of its class. By size too where there are enough groups, or a part
    may draw the lesions with many images. A class with fewer groups than parts is refused with a UserError, or (`rare`
    is `train`) its groups are left out of what is returned: all of them are for training.
    """
    labels = group_labels(images)
    classes = labels.map(task.of)
    if rare == "refuse":
        refuse_few(classes, parts)
    enough = classes.map(classes.value_counts()) >= len(parts)
    if not enough.any():
        refuse_few(classes, parts)
    labels = _merged(labels[enough], classes[enough], len(parts))
    doublings = np.ceil(np.log2(images["group"].value_counts().loc[labels.index])).astype(int).astype(str)
    return _merged(labels + " / " + doublings, labels, ENOUGH)


def _merged(strata: pd.Series, within: pd.Series, enough: int) -> pd.Series:
    """Strata of fewer than `enough` groups go with the commonest stratum of the same value of `within`."""
    few = strata.map(strata.value_counts()) < enough
    commonest = strata.groupby(within).agg(lambda names: names.value_counts().sort_index().idxmax())
    return strata.where(~few, within.map(commonest))


def refuse_few(classes: pd.Series, parts: Sequence[str]) -> None:
    """UserError, with the numbers and the ways out, if a class has fewer groups than there are parts."""
    lesions = classes.value_counts()
    few = lesions[lesions < len(parts)].sort_index()
    if few.empty:
        return
    told = ", ".join(f"{name} has {count}" for name, count in few.items())
    others = ", ".join(f"{name} {count}" for name, count in lesions.drop(few.index).items()) or "none"
    name = few.index[0]
    raise UserError(
        f"too few lesions to be in each of {len(parts)} parts ({', '.join(parts)}): {told} (the others: {others}). Add "
        f"images of it, use fewer folds, merge it with another class (data.label_map: {{{name}: other name}}), leave "
        f"it out (data.label_map: {{{name}: null}}), choose a binary task.target, or train on it without being able to "
        "measure it (split.rare: train)"
    )
