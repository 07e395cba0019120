"""Labels that contradict each other: one picture, or one lesion, under two of them."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Conflict:
    """One thing (an image's name, the first image of equal files, a lesion id), its labels, and its images."""

    name: str
    labels: tuple[str, ...]
    images: tuple[str, ...]


def conflicts(rows: pd.DataFrame, near: pd.DataFrame | None) -> dict[str, list[Conflict]]:
    """Conflicts by kind: `image` (one name), `equal_bytes` and `near_identical` (two names of one picture), `lesion`.

    A lesion with two labels may be real (it changed, or shows both); the others cannot all be right. rows: as for
    `audit`, also those on no side. Only kinds that could be looked at are there.
    """
    labelled = rows[rows["label"] != ""]
    if labelled.empty:
        return {}
    found = {"image": _within(labelled, "image")}
    if near is not None:
        files = labelled[labelled["sha256"] != ""]
        equal = _within(files, "sha256")
        found["equal_bytes"] = [Conflict(one.images[0], one.labels, one.images) for one in equal if len(one.images) > 1]
        found["near_identical"] = _between(files, near)
    if (rows["lesion_id"] != "").any():
        found["lesion"] = _within(labelled[labelled["lesion_id"] != ""], "lesion_id")
    return found


def _within(rows: pd.DataFrame, column: str) -> list[Conflict]:
    several = rows.groupby(column)["label"].transform("nunique") > 1
    return [
        Conflict(str(name), tuple(sorted(set(same["label"]))), tuple(sorted(set(same["image"]))))
        for name, same in rows[several].groupby(column)
    ]


def _between(files: pd.DataFrame, near: pd.DataFrame) -> list[Conflict]:
    files = files[files["sha256"].isin({*near["one"], *near["other"]})]
    by_file = {str(name): same for name, same in files.groupby("sha256")}
    found = []
    for one, other in zip(near["one"], near["other"], strict=True):
        if one in by_file and other in by_file:
            both = pd.concat([by_file[one], by_file[other]])
            labels, images = sorted(set(both["label"])), sorted(set(both["image"]))
            if len(labels) > 1 and len(images) > 1:
                found.append(Conflict(images[0], tuple(labels), tuple(images)))
    return found
