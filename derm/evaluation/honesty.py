"""How honest the probabilities of a part are: before calibration, after it, and what perfect ones would give."""

import numpy as np
import pandas as pd
from scipy.special import softmax

from derm.measures.bootstrap import percentile_interval
from derm.measures.calibration import calibration_slope, classwise_calibration_error, if_perfect
from derm.measures.weighted import brier_score, expected_calibration_error, negative_log_likelihood

COLUMNS = ["metric", "uncalibrated", "value", "low", "high", "perfect", "perfect_low", "perfect_high"]
# A slope is found anew for each resample, which takes long.
SLOPES = 200


def calibration_table(
    logits: np.ndarray, predictions: pd.DataFrame, classes: list[str], weights: np.ndarray, draws: int, seed: int
) -> pd.DataFrame:
    """`COLUMNS`: a row for NLL, Brier score, ECE, classwise ECE, slope, and what calibration gains in NLL.

    logits: float64 [n, classes], before calibration; predictions: `group, target, p_<class>`; weights: of the
    bootstrap, [resamples, n]. low, high: 95 % interval, of the slope over the first `SLOPES` resamples. perfect: mean
    and central 95 % of what as many images would give if the probabilities were true (labels redrawn from them, by
    group): an ECE is not 0 then.
    """
    targets, groups = predictions["target"].to_numpy(), predictions["group"].to_numpy()
    before, after = softmax(logits, axis=1), predictions[[f"p_{name}" for name in classes]].to_numpy()
    rows = []
    for metric, measure, resamples in (
        ("nll", negative_log_likelihood, weights),
        ("brier", brier_score, weights),
        ("ece", expected_calibration_error, weights),
        ("classwise_ece", classwise_calibration_error, weights),
        ("slope", calibration_slope, weights[:SLOPES]),
    ):
        perfect = if_perfect(after, groups, draws, seed, measure)
        value, uncalibrated = measure(after, targets)[0], measure(before, targets)[0]
        interval = percentile_interval(measure(after, targets, resamples))
        rows.append((metric, uncalibrated, value, *interval, perfect.mean(), *percentile_interval(perfect)))
    gained = [
        negative_log_likelihood(before, targets, drawn) - negative_log_likelihood(after, targets, drawn)
        for drawn in (None, weights)
    ]
    nothing = (np.nan, np.nan, np.nan)
    rows.append(("nll_gain", np.nan, gained[0][0], *percentile_interval(gained[1]), *nothing))
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))
