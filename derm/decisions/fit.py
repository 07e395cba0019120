"""Fit what stands between logits and an outcome, on the calibration part."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from derm.calibration.registry import CalibrateParams, chosen, cross_fitted, fit_calibrator
from derm.decisions.conformal import ConformalParams, fit_conformal
from derm.decisions.outcome import Calibration, DecideParams
from derm.decisions.threshold import threshold_for_sensitivity
from derm.errors import UserError
from derm.lesions import lesions_of
from derm.task import Task


def fit_calibration(
    logits: np.ndarray,
    rows: pd.DataFrame,
    split: pd.DataFrame,
    task: Task,
    params: CalibrateParams,
    decide: DecideParams,
    conformal: ConformalParams,
) -> Calibration:
    """Calibrator, threshold and sets from the calibration part, priors from the lesions of the training part.

    logits: float64 [n, classes] and rows: `lesion_id, group, target`, of the calibration part; split: `group, part,
    target` of all.
    """
    targets, groups = rows["target"].to_numpy(), rows["group"].to_numpy()
    method = params.method
    if method == "auto":
        method = chosen(cross_fitted(logits, targets, groups, params.seed))
    calibrator = fit_calibrator(method, logits, targets)
    lesions = split[split["part"] == "train"].groupby("target")["group"].nunique()
    priors = (lesions / lesions.sum()).reindex(range(len(task.classes)), fill_value=0.0)
    threshold = None
    if task.positive is not None:
        positive = task.classes.index(task.positive)
        probabilities = calibrator.probabilities(logits)[targets == positive, positive]
        threshold = threshold_for_sensitivity(probabilities, decide.sensitivity)
    return Calibration(
        classes=task.classes,
        positive=task.positive,
        calibrator=calibrator,  # pyright: ignore[reportArgumentType]
        rule=decide.rule,
        tau=decide.tau,
        priors=[float(prior) for prior in priors],
        prevalence=_prevalence(decide.prevalence, task.classes, priors.to_numpy()),
        costs=_costs(decide.costs, task.classes),
        threshold=threshold,
        target_sensitivity=decide.sensitivity,
        conformal=fit_conformal(logits, targets, lesions_of(rows), conformal),
    )


def _prevalence(given: dict[str, float], classes: list[str], priors: np.ndarray) -> list[float]:
    """By class; UserError if a class is missing or unknown, or they do not sum to 1."""
    if not given:
        return [float(prior) for prior in priors]
    _refuse_unknown("prevalence", given, classes)
    missing = [name for name in classes if name not in given]
    if missing:
        raise UserError(f"decide.prevalence lacks {missing[0]}, expected a share of each of {', '.join(classes)}")
    if abs(sum(given.values()) - 1) > 1e-6:
        raise UserError(f"decide.prevalence sums to {sum(given.values()):g}, expected 1")
    return [given[name] for name in classes]


def _costs(given: dict[str, dict[str, float]], classes: list[str]) -> list[list[float]]:
    """[true class, class decided for]; UserError if a class is unknown."""
    _refuse_unknown("costs", given, classes)
    for name, row in given.items():
        _refuse_unknown(f"costs.{name}", row, classes)
    return [[given.get(true, {}).get(told, float(true != told)) for told in classes] for true in classes]


def _refuse_unknown(key: str, given: Collection[str], classes: list[str]) -> None:
    unknown = sorted(set(given) - set(classes))
    if unknown:
        raise UserError(f"decide.{key} names {unknown[0]}, expected classes out of {', '.join(classes)}")
