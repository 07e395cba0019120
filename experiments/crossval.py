"""Cross-validation: one experiment for each fold, and the numbers of all test parts pooled."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from derm.errors import UserError
from derm.task import TaskParams, positive_class
from experiments.commands import dvc, dvc_quietly
from experiments.recipes import Changes, as_arguments
from experiments.state import flatten

PREDICTIONS = "data/predictions/test.csv"


@dataclass(frozen=True)
class Fold:
    """One finished fold: the name of its experiment, its params, headline numbers of test, and test predictions."""

    name: str
    params: dict[str, Any]
    metrics: dict[str, float]
    predictions: pd.DataFrame


def label(recipe: str | None, pairs: str) -> str:
    """What the experiments of a cross-validation are called: the recipe, and a digest of what else was changed."""
    return (recipe or "crossval") + (f"-{sha256(pairs.encode()).hexdigest()[:6]}" if pairs.strip() else "")


def fold_changes(chosen: Changes, folds: int, fold: int) -> Changes:
    """What fold ``fold`` of ``folds`` changes, beside what was chosen."""
    return chosen | {"split.scheme": "kfold", "split.folds": str(folds), "split.fold": str(fold)}


def run_folds(label: str, chosen: Changes, folds: int, say: Callable[[str], None]) -> list[Fold]:
    """Run the folds one after another, as experiments ``<label>-fold0`` and so on; older ones of that name go.

    They run in copies (`dvc exp run --temp`): the workspace stays as it is. Not through DVC's queue, whose worker can
    lose an experiment, or wait for ever, when it is told to stop as the next one comes. UserError if one of them fails.
    """
    if folds < 2:
        raise UserError(f"--folds is {folds}, expected at least 2")
    finished = []
    for fold in range(folds):
        name = f"{label}-fold{fold}"
        say(f"fold {fold + 1} of {folds}: experiment {name}")
        dvc_quietly("exp", "remove", name)
        if dvc("exp", "run", "--temp", "-n", name, *as_arguments(fold_changes(chosen, folds, fold))):
            raise UserError(
                f"{name} failed: see above; folds that ended are kept, and come from the cache when the "
                "cross-validation is run again"
            )
        finished.append(read_fold(name))
    return finished


def read_fold(name: str) -> Fold:
    """An experiment's params, test metrics and test predictions, from git and DVC's cache."""
    from dvc.api import DVCFileSystem

    files = DVCFileSystem(str(Path.cwd()), rev=name)
    metrics = json.loads(files.read_text("metrics/evaluate.json"))
    with files.open(PREDICTIONS) as stream:
        predictions = pd.read_csv(stream, dtype={"image_id": str, "lesion_id": str, "group": str})
    return Fold(
        name=name,
        params=yaml.safe_load(files.read_text("params.yaml")),
        metrics={key: value for key, value in flatten(metrics["test"]).items() if isinstance(value, int | float)},
        predictions=predictions,
    )


def pooled_report(folds: list[Fold]) -> pd.DataFrame:
    """Headline numbers of all folds' test predictions as if they were one test part: `metric, value, low, high`.

    The intervals are a bootstrap over groups with `evaluate.resamples` and `evaluate.seed` of the folds' params; they
    cover which lesions there are, not the five overlapping training sets.
    UserError if an image was tested in two folds: then the pool would count it twice.
    """
    from derm.measures.bootstrap import group_weights, intervals
    from derm.measures.headline import headline

    pooled = pd.concat([fold.predictions for fold in folds], ignore_index=True)
    repeated = pooled.loc[pooled["image_id"].duplicated(), "image_id"].tolist()
    if repeated:
        raise UserError(f"image {repeated[0]} was tested in two folds: the folds were split differently")
    columns = [str(column) for column in pooled.columns]
    classes = [column.removeprefix("p_") for column in columns if column.startswith("p_")]
    params = folds[0].params
    positive, drawing = positive_class(classes, TaskParams.model_validate(params["task"])), params["evaluate"]
    groups, targets = pooled["group"].to_numpy(), pooled["target"].to_numpy()
    weights = group_weights(groups, targets, drawing["resamples"], drawing["seed"])
    measure = partial(headline, pooled, classes, positive, bins=drawing["bins"])
    return intervals(measure, weights, "all folds pooled").dropna()


def table(folds: list[Fold], pooled: pd.DataFrame) -> str:
    """One line for each metric: pooled with its 95 % interval, then fold by fold."""
    lines = [f"{'test metric':<40}{'pooled [95 %]':>24}" + "".join(f"{f'fold {n}':>9}" for n in range(len(folds)))]
    for row in pooled.to_dict("records"):
        metric, told = row["metric"], f"{row['value']:.4f} [{row['low']:.3f}, {row['high']:.3f}]"
        cells = [fold.metrics.get(metric) for fold in folds]
        shown = "".join(f"{cell:9.4f}" if cell is not None else f"{'':>9}" for cell in cells)
        lines.append(f"{metric:<40}{told:>24}{shown}")
    return "\n".join(lines)


def summary(chosen: Changes, folds: list[Fold], pooled: pd.DataFrame) -> dict[str, Any]:
    """What ``--out`` gets as JSON; where a folder or file lies on this machine is left out, its name stays."""
    return {
        "changes": {key: Path(value).name if Path(value).is_absolute() else value for key, value in chosen.items()},
        "folds": [{"experiment": fold.name, "test": fold.metrics} for fold in folds],
        "pooled": {
            row["metric"]: {name: row[name] for name in ("value", "low", "high")} for row in pooled.to_dict("records")
        },
    }
