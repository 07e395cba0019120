"""Honest, overconfident and timid probabilities are told apart, on labels drawn from known ones."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss

from derm.evaluation.honesty import COLUMNS, calibration_table
from derm.measures.bootstrap import group_weights

CLASSES = ["bcc", "mel", "nv"]


def table(factor: float, seed: int = 0) -> dict[Any, dict[str, float]]:
    """Of 3,000 images whose labels come from softmax(logits), told as softmax(factor x logits)."""
    generator = np.random.default_rng(seed)
    logits = 1.5 * generator.normal(size=(3000, 3))
    chances = softmax(logits, axis=1).cumsum(axis=1)
    targets = (generator.random(3000)[:, None] >= chances[:, :-1]).sum(axis=1)
    told = pd.DataFrame(softmax(factor * logits, axis=1), columns=[f"p_{name}" for name in CLASSES])
    groups = np.arange(3000)
    weights = group_weights(groups, targets, 200, 1)
    made = calibration_table(3 * logits, told.assign(group=groups, target=targets), CLASSES, weights, 200, 2)
    assert list(made) == COLUMNS
    told_by_metric: Any = made.set_index("metric").to_dict("index")
    row = told_by_metric["nll"]
    assert row["value"] == pytest.approx(log_loss(targets, softmax(factor * logits, axis=1)), abs=1e-9)
    assert row["uncalibrated"] == pytest.approx(-log_softmax(3 * logits, axis=1)[groups, targets].mean(), abs=1e-9)
    return told_by_metric


def test_true_probabilities_are_within_what_perfect_ones_give() -> None:
    for seed in range(3):
        made = table(1.0, seed)
        inside = [row["perfect_low"] <= row["value"] <= row["perfect_high"] for row in list(made.values())[:5]]
        assert sum(inside) >= 4  # each of five 95 % intervals
        assert made["slope"]["low"] < 1 < made["slope"]["high"]


@pytest.mark.parametrize(("factor", "slope"), [(2.0, 0.5), (0.5, 2.0)])
def test_what_is_too_sure_or_too_timid_is_outside(factor: float, slope: float) -> None:
    made = table(factor)
    assert made["slope"]["value"] == pytest.approx(slope, rel=0.1)
    assert not made["slope"]["low"] < 1 < made["slope"]["high"]
    for metric in ("ece", "classwise_ece"):
        assert made[metric]["value"] > made[metric]["perfect_high"]


def test_what_calibration_gains_is_paired() -> None:
    """From three times too sure to true: a gain; and its interval is narrower than that of either loss."""
    made = table(1.0)
    gain, loss = made["nll_gain"], made["nll"]
    assert gain["value"] == pytest.approx(loss["uncalibrated"] - loss["value"], abs=1e-12)
    assert 0 < gain["low"] < gain["value"] < gain["high"]
    assert np.isnan(gain["perfect"])
