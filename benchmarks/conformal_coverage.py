"""Do the prediction sets hold the true class as often as they promise? Calibration and test drawn again and again.

    python -m benchmarks.conformal_coverage FOLDER...

Each FOLDER is a checkout after `dvc repro`, with its data/ and models/; by default the one that this runs in. The head
of each gives logits to its own calibration and test images, which it was not trained on, or with --out-of-fold to its
test images alone: of the folds of a cross-validation these are all images, each once. All are pooled, and the groups of
each class are cut anew into calibration and test, in the shares that they have (--share: another one). Thresholds are
fitted on one image of each calibration lesion (`derm.decisions.conformal`) and tried on one image of each test lesion.
With n calibration lesions a class is promised ceil((n + 1)(1 - alpha)) / (n + 1); with fewer than 1 / alpha - 1 of them
no more than n / (n + 1) can be had, and nothing is promised. Coverage of all test images, which nothing is promised of,
stands beside it, and that of the marginal sets. Prints one JSON object.
"""

import json
import math
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
import torch
import typer
from tqdm import tqdm

from benchmarks.machine import machine
from derm.decisions.conformal import ConformalParams, fit_conformal, prediction_sets
from derm.embedding.features import read_features
from derm.files import read_csv
from derm.heads.head import head_file, read_head
from derm.heads.predict import image_logits
from derm.image_table import read_images
from derm.lesions import lesions_of, one_of_each
from derm.optimise import TRAINING_THREADS
from derm.params import load
from derm.seeds import derived
from derm.task import TaskParams, make_task

# How far the mean coverage of a class may be from what is promised.
ALLOWED = 0.02


class Pool(NamedTuple):
    """logits float64 [n, classes]; targets int [n]; lesions and groups text [n]; share: of groups for calibration."""

    logits: np.ndarray
    targets: np.ndarray
    lesions: np.ndarray
    groups: np.ndarray
    share: float


def main(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Checkouts after `dvc repro`; by default this one.")
    ] = None,
    out_of_fold: Annotated[bool, typer.Option(help="Test images alone: the folders are folds.")] = False,
    share: Annotated[float | None, typer.Option(help="Share of the groups for calibration; by default as now.")] = None,
    alpha: Annotated[float | None, typer.Option(help="Instead of conformal.alpha.")] = None,
    draws: Annotated[int, typer.Option(help="How often calibration and test are drawn.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 1,
) -> None:
    """Measure the coverage of prediction sets over many draws of the calibration lesions."""
    torch.set_num_threads(TRAINING_THREADS)
    asked = load("conformal", ConformalParams)
    asked = asked.model_copy(update={"alpha": alpha or asked.alpha})
    classes, pool = read_pool(folders or [Path()], out_of_fold)
    pool = pool._replace(share=share or pool.share)
    table = coverage(pool, classes, asked.alpha, draws, seed)
    result = {
        "machine": machine(),
        "alpha": asked.alpha,
        "draws": draws,
        "seed": seed,
        "folders": len(folders or [Path()]),
        "out_of_fold": out_of_fold,
        "share": round(pool.share, 3),
        "images": len(pool.targets),
        "lesions": len(np.unique(pool.lesions)),
        "all_within": bool(table.loc[table["missing"] == 0, "within"].all()),
        "classes": table.round(4).to_dict("records"),
    }
    print(json.dumps(result, indent=2))


def read_pool(folders: list[Path], out_of_fold: bool) -> tuple[list[str], Pool]:
    """The classes, and what the heads say of images that they were not trained on. ValueError if classes differ."""
    pools, known = [], []
    for folder in folders:
        data = folder / "data"
        images, features = read_images(data / "prepared/images.csv"), read_features(data / "features")
        task = make_task(images, load("task", TaskParams))
        split, head = read_csv(data / "split/split.csv", target=int), read_head(folder / head_file())
        parts = ["test"] if out_of_fold else ["calibration", "test"]
        rows = split[split["part"].isin(parts)].merge(images, on="image_id", suffixes=("", "_of_image"))
        logits = image_logits(head, head.inputs(features, rows))
        groups = split.groupby("part")["group"].nunique()
        share = groups["calibration"] / (groups["calibration"] + groups["test"])
        pools.append(Pool(logits, rows["target"].to_numpy(), lesions_of(rows), rows["group"].to_numpy(), share))
        known.append(task.classes)
    if any(classes != known[0] for classes in known):
        raise ValueError("the folders have different classes")
    *arrays, shares = zip(*pools, strict=True)
    return known[0], Pool(*(np.concatenate(array) for array in arrays), share=float(np.mean(shares)))


def coverage(pool: Pool, classes: list[str], alpha: float, draws: int, seed: int) -> pd.DataFrame:
    """One row for each class: `diagnosis, lesions, missing, promised, covered, standard_error, gap, within, of_images,
    marginal`; means over the draws, lesions of calibration."""
    found = np.full((draws, 6, len(classes)), np.nan)
    for draw in tqdm(range(draws), desc="draws", unit="draw"):
        fitting = calibration_rows(pool, derived(seed, draw, 0))
        params = ConformalParams(alpha=alpha, seed=derived(seed, draw, 1))
        fitted = fit_conformal(pool.logits[fitting], pool.targets[fitting], pool.lesions[fitting], params)
        left = np.flatnonzero(~fitting)
        one = np.isin(left, left[one_of_each(pool.lesions[left], derived(seed, draw, 2))])
        targets = pool.targets[left]
        hit, by_one = (
            prediction_sets(pool.logits[left], fitted, marginal)[np.arange(len(left)), targets]
            for marginal in (False, True)
        )
        for k in range(len(classes)):
            of = targets == k
            found[draw, :, k] = (
                fitted.lesions[k],
                fitted.missing[k],
                promised(fitted.lesions[k], alpha),
                hit[of & one].mean(),
                hit[of].mean(),
                by_one[of & one].mean(),
            )
    lesions, missing, wanted, covered, of_images, marginal = found.mean(axis=0)
    gap = covered - wanted
    return pd.DataFrame(
        {
            "diagnosis": classes,
            "lesions": lesions,
            "missing": missing,
            "promised": wanted,
            "covered": covered,
            "standard_error": found[:, 3].std(axis=0) / math.sqrt(draws),
            "gap": gap,
            "within": np.abs(gap) <= ALLOWED,
            "of_images": of_images,
            "marginal": marginal,
        }
    )


def calibration_rows(pool: Pool, seed: int) -> np.ndarray:
    """Which images are for calibration, bool [n]: whole groups, their share of each class (of a group's first row)."""
    generator = np.random.default_rng(seed)
    _, first, member = np.unique(pool.groups, return_index=True, return_inverse=True)
    of_group, chosen = pool.targets[first], np.zeros(len(first), dtype=bool)
    for k in np.unique(of_group):
        there = generator.permutation(np.flatnonzero(of_group == k))
        chosen[there[: round(pool.share * len(there))]] = True
    return chosen[member]


def promised(lesions: int, alpha: float) -> float:
    """The mean coverage of a class with so many calibration lesions."""
    return min(math.ceil((lesions + 1) * (1 - alpha) - 1e-9), lesions) / (lesions + 1)


if __name__ == "__main__":
    typer.run(main)
