"""Fit what stands between logits and an outcome, on the calibration part."""

import numpy as np
import pandas as pd

from derm.calibration.registry import CalibrateParams, chosen, cross_fitted, fit_calibrator
from derm.decisions.outcome import Calibration, DecideParams
from derm.decisions.threshold import threshold_for_sensitivity
from derm.task import Task


def fit_calibration(
    logits: np.ndarray,
    rows: pd.DataFrame,
    split: pd.DataFrame,
    task: Task,
    params: CalibrateParams,
    decide: DecideParams,
) -> Calibration:
    """Calibrator and threshold from the calibration part, priors from the lesions of the training part.

    logits: float64 [n, classes] and rows: `group, target`, of the calibration part; split: `group, part, target` of
    all.
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
        threshold=threshold,
        target_sensitivity=decide.sensitivity,
    )
