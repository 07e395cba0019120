"""Fit what stands between logits and an outcome, on the calibration part."""

from typing import Literal

import numpy as np
import pandas as pd

from derm.calibration.temperature import apply_temperature, fit_temperature
from derm.decisions.outcome import Calibration, DecideParams
from derm.decisions.threshold import threshold_for_sensitivity
from derm.files import DECIMALS
from derm.params import Section
from derm.task import Task


class CalibrateParams(Section):
    """Section `calibrate`: how logits become probabilities."""

    method: Literal["temperature", "none"]


def fit_calibration(
    logits: np.ndarray, targets: np.ndarray, split: pd.DataFrame, task: Task, method: str, decide: DecideParams
) -> Calibration:
    """Temperature and threshold from the calibration part, priors from the lesions of the training part.

    logits: float64 [n, classes], targets: int [n], of the calibration part; split: `group, part, target` of all.
    """
    # Rounded as it is stored: the threshold must be that of the very probabilities that will be told.
    temperature = round(fit_temperature(logits, targets), DECIMALS) if method == "temperature" else 1.0
    lesions = split[split["part"] == "train"].groupby("target")["group"].nunique()
    priors = (lesions / lesions.sum()).reindex(range(len(task.classes)), fill_value=0.0)
    threshold = None
    if task.positive is not None:
        positive = task.classes.index(task.positive)
        probabilities = apply_temperature(logits, temperature)[targets == positive, positive]
        threshold = threshold_for_sensitivity(probabilities, decide.sensitivity)
    return Calibration(
        classes=task.classes,
        positive=task.positive,
        method=method,
        temperature=temperature,
        rule=decide.rule,
        tau=decide.tau,
        priors=[float(prior) for prior in priors],
        threshold=threshold,
        target_sensitivity=decide.sensitivity,
    )
