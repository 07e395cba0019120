"""What is fitted on the calibration part, against scipy and by hand."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from derm.calibration.registry import CALIBRATORS, CalibrateParams, Method, chosen, cross_fitted, fit_calibrator
from derm.calibration.scaling import TemperatureCalibrator
from derm.decisions.conformal import ConformalParams, fit_conformal
from derm.decisions.fit import fit_calibration
from derm.decisions.outcome import Calibration, DecideParams, outcomes
from derm.errors import UserError
from derm.task import Task

CLASSES = ["bcc", "mel", "nv"]
DECIDE = DecideParams(rule="prior", tau=0.7, prevalence={}, costs={}, sensitivity=0.8)
CONFORMAL = ConformalParams(alpha=0.1, seed=1)
# Lesions of the training part: a, b (of two images) are nv, c is mel; what other parts hold does not count.
SPLIT = pd.DataFrame(
    {
        "group": ["a", "b", "b", "c", "d", "e", "f"],
        "part": ["train", "train", "train", "train", "calibration", "val", "test"],
        "target": [2, 2, 2, 1, 0, 1, 1],
    }
)


def drawn(scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are too sure by a factor, and targets."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(400, 3))
    targets = np.array([generator.choice(3, p=softmax(row)) for row in logits])
    return scale * logits, targets


def fit(logits: np.ndarray, targets: np.ndarray, of: Task, method: Method = "temperature") -> Calibration:
    """On images that are each a lesion of their own."""
    rows = pd.DataFrame({"group": [f"g{number}" for number in range(len(targets))], "target": targets, "lesion_id": ""})
    return fit_calibration(logits, rows, SPLIT, of, CalibrateParams(method=method, seed=1), DECIDE, CONFORMAL)


def task(positive: str | None = "mel") -> Task:
    return Task(CLASSES, {name: name for name in CLASSES}, positive)


def test_the_temperature_is_where_scipy_finds_it() -> None:
    logits, targets = drawn(3.0)

    def loss(temperature: float) -> float:
        return -log_softmax(logits / temperature, axis=1)[np.arange(400), targets].mean()

    oracle: Any = minimize_scalar(loss, bounds=(0.1, 20), method="bounded", options={"xatol": 1e-7})
    fitted = fit(logits, targets, task()).calibrator
    assert isinstance(fitted, TemperatureCalibrator)
    assert fitted.temperature == pytest.approx(oracle.x, abs=1e-3)
    assert round(fitted.temperature, 6) == fitted.temperature  # as it is stored


def test_auto_is_what_does_best_on_lesions_that_it_was_not_fitted_on() -> None:
    logits, targets = drawn(3.0)
    groups = np.array([f"g{number}" for number in range(400)])
    best = chosen(cross_fitted(logits, targets, groups, seed=1))
    assert best != "none"
    assert fit(logits, targets, task(), "auto").calibrator == fit_calibrator(best, logits, targets)


def test_priors_are_the_shares_of_the_training_parts_lesions() -> None:
    fitted = fit(*drawn(1.0), task())
    assert fitted.priors == pytest.approx([0, 1 / 3, 2 / 3])
    assert (fitted.rule, fitted.tau, fitted.target_sensitivity) == ("prior", 0.7, 0.8)
    assert (fitted.classes, fitted.positive, fitted.calibrator.method) == (CLASSES, "mel", "temperature")


@pytest.mark.parametrize("method", CALIBRATORS)
def test_the_flag_reaches_its_sensitivity_on_what_is_told_and_just_so(method: Any) -> None:
    logits, targets = drawn(3.0)
    fitted = fit(logits, targets, task(), method)
    told = outcomes(logits, fitted)
    melanomas = told[targets == 1]
    assert 0.8 <= melanomas["flag"].mean() < 0.8 + 1 / len(melanomas)


def test_without_a_positive_class_there_is_no_threshold() -> None:
    fitted = fit(*drawn(1.0), task(None))
    assert fitted.positive is None and fitted.threshold is None


def test_sets_come_from_the_head_as_it_is_with_one_image_a_lesion() -> None:
    """Two photographs of each lesion: with the lesion's name they are one, without it the group is all there is."""
    logits, targets = drawn(3.0)
    rows = pd.DataFrame({"group": [f"g{number}" for number in range(400)], "target": np.repeat(targets[::2], 2)})
    params = CalibrateParams(method="temperature", seed=1)
    for names, lesions in ((np.arange(400) // 2, 200), (np.full(400, ""), 400)):
        given = rows.assign(lesion_id=names.astype(str))
        fitted = fit_calibration(logits, given, SPLIT, task(), params, DECIDE, CONFORMAL)
        assert sum(fitted.conformal.lesions) == lesions
    alone = fit_conformal(logits, rows["target"].to_numpy(), np.arange(400).astype(str), CONFORMAL)
    assert sum(alone.lesions) == 400


def decided(**changes: Any) -> Calibration:
    rows = pd.DataFrame({"group": ["a", "b", "c"], "target": [0, 1, 2], "lesion_id": ""})
    params = CalibrateParams(method="none", seed=1)
    return fit_calibration(np.eye(3), rows, SPLIT, task(), params, DECIDE.model_copy(update=changes), CONFORMAL)


def test_prevalence_and_costs_are_in_the_order_of_classes() -> None:
    assert decided().prevalence == pytest.approx([0, 1 / 3, 2 / 3])
    fitted = decided(prevalence={"nv": 0.9, "mel": 0.04, "bcc": 0.06}, costs={"mel": {"nv": 10.0}, "bcc": {"bcc": 0.5}})
    assert fitted.prevalence == [0.06, 0.04, 0.9]
    assert fitted.costs == [[0.5, 1, 1], [1, 0, 10], [1, 1, 0]]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"prevalence": {"nv": 0.9, "mel": 0.1}}, r"decide\.prevalence lacks bcc"),
        ({"prevalence": {"nv": 0.9, "mel": 0.1, "bcc": 0.1}}, r"decide\.prevalence sums to 1\.1, expected 1"),
        ({"prevalence": {"nevus": 0.9}}, r"decide\.prevalence names nevus, expected classes out of bcc, mel, nv"),
        ({"costs": {"melanoma": {"nv": 1.0}}}, r"decide\.costs names melanoma"),
        ({"costs": {"mel": {"nevus": 1.0}}}, r"decide\.costs\.mel names nevus"),
    ],
)
def test_what_cannot_be_is_one_line(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        decided(**changes)
