"""Deal whole groups of images out to train, val, calibration and test."""

import sys
from pathlib import Path

import pandas as pd

from derm.description.balance import balance_figure
from derm.description.missing import count_missing, warnings
from derm.files import write_csv, write_figure, write_json
from derm.image_table import read_images
from derm.params import load
from derm.splits.balance import class_balance, summary
from derm.splits.params import LEFT_OUT, PARTS, SplitParams
from derm.splits.split import split_images
from derm.task import Task, TaskParams, make_task
from stages.runner import run

PLOTS = Path("plots/split")


def main() -> None:
    params, task_params = load("split", SplitParams), load("task", TaskParams)
    images = read_images()
    task = make_task(images, task_params)
    split = split_images(images, task, params)
    write_csv(Path("data/split/split.csv"), split.table)
    balance = class_balance(split.table, task.classes)
    write_csv(PLOTS / "balance.csv", balance)
    write_figure(PLOTS / "balance.png", balance_figure(balance))
    write_json(Path("metrics/split.json"), summary(split.table, balance))
    if task_params.target != "diagnosis":
        for name in task.classes:
            print(f"{name}: {', '.join(sorted(diagnosis for diagnosis, of in task.of.items() if of == name))}")
    print(table(balance))
    for warning in missing_warnings(images, task, task_params):
        print(f"WARNING: {warning}", file=sys.stderr)
    left_out = split.table["part"] == LEFT_OUT
    if left_out.any():
        said = images.loc[left_out.to_numpy(), "source_part"].replace("", "unnamed").value_counts()
        print(
            f"WARNING: {int(left_out.sum())} images are left out, of the source's own parts "
            f"{', '.join(f'{part} {count}' for part, count in said.items())}: their lesion or patient stands in a part "
            "that is tested on, or the source names no part for them",
            file=sys.stderr,
        )
    if split.moved:
        print(
            f"WARNING: {split.moved} images left their earlier part: their group is now known to stand in another",
            file=sys.stderr,
        )


def missing_warnings(images: pd.DataFrame, task: Task, params: TaskParams) -> list[str]:
    """Where a missing value gives the class away; for `diagnosis`, whether it gives away what is malignant."""
    if params.target == "diagnosis":
        is_malignant = images["diagnosis"].isin(params.malignant)
        classes = is_malignant.map({True: "malignant", False: "benign"})
    else:
        classes = images["diagnosis"].map(task.of)
    return warnings(count_missing(images.assign(diagnosis=classes)))


def table(balance: pd.DataFrame) -> str:
    """Images (groups) by class and part, for the terminal."""
    told = balance.assign(told=[f"{row.images} ({row.groups})" for row in balance.itertuples()])
    wide = told.pivot(index="diagnosis", columns="part", values="told")
    wide = wide[[part for part in [*PARTS, LEFT_OUT] if part in wide]]
    return f"images (groups)\n{wide.rename_axis(index=None, columns=None).to_string()}"


if __name__ == "__main__":
    run("split", main)
