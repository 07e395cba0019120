"""What a split looks like: images and groups by part and class, and how far shares differ from the whole."""

from hashlib import sha256
from typing import Any

import pandas as pd

from derm.splits.params import LEFT_OUT, PARTS


def split_digest(split: pd.DataFrame) -> str:
    """SHA-256 of who stands where: equal for two splits that put every image into the same part and fold."""
    rows = split.sort_values("image_id")[["image_id", "part", "fold"]]
    return sha256(rows.to_csv(index=False, lineterminator="\n").encode()).hexdigest()


def class_balance(split: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Columns `part, diagnosis, images, groups, share` (of the part's images) `, difference` (from the share among
    all images that are used), for every part and class, `left_out` last where there is any."""
    named = split.assign(diagnosis=split["target"].map(dict(enumerate(classes))))
    used = named[named["part"] != LEFT_OUT]
    overall = used["diagnosis"].value_counts(normalize=True)
    rows = []
    for part in [*PARTS, LEFT_OUT]:
        here = named[named["part"] == part]
        if here.empty:
            continue
        for name in classes:
            of_class = here[here["diagnosis"] == name]
            share = len(of_class) / len(here)
            rows.append(
                {
                    "part": part,
                    "diagnosis": name,
                    "images": len(of_class),
                    "groups": of_class["group"].nunique(),
                    "share": share,
                    "difference": share - float(overall.get(name, 0.0)),
                }
            )
    return pd.DataFrame(rows)


def summary(split: pd.DataFrame, balance: pd.DataFrame) -> dict[str, Any]:
    """Images, groups and both by class for each part, and the split's digest."""
    told: dict[str, Any] = {"digest": split_digest(split)}
    for part, rows in balance.groupby("part", sort=False):
        here = split[split["part"] == part]
        told[str(part)] = {
            "images": len(here),
            "groups": here["group"].nunique(),
            "images_by_class": dict(zip(rows["diagnosis"], rows["images"], strict=True)),
            "groups_by_class": dict(zip(rows["diagnosis"], rows["groups"], strict=True)),
        }
    return told
