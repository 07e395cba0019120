"""Deal the lesions out to train, val, calibration and test."""

from pathlib import Path

import pandas as pd

from derm.files import write_csv, write_json
from derm.image_table import read_images
from derm.params import load
from derm.splits import PARTS, SplitParams, split_groups
from derm.task import TaskParams, class_names
from stages.runner import run


def main() -> None:
    params, task = load("split", SplitParams), load("task", TaskParams)
    images = read_images()
    classes = class_names(images, task)
    split = split_groups(images, classes, params)
    write_csv(Path("data/split/split.csv"), split)
    write_json(Path("metrics/split.json"), summary(split, classes))
    counts = pd.crosstab(split["target"].map(dict(enumerate(classes))), split["part"])[list(PARTS)]
    print(counts.rename_axis(index=None, columns=None).to_string())


def summary(split: pd.DataFrame, classes: list[str]) -> dict:
    """Images, lesions and lesions by class, for each part."""
    return {
        part: {
            "images": len(rows),
            "lesions": rows["group"].nunique(),
            "lesions_by_class": {
                name: rows.loc[rows["target"] == target, "group"].nunique() for target, name in enumerate(classes)
            },
        }
        for part, rows in split.groupby("part")
    }


if __name__ == "__main__":
    run("split", main)
