"""Which calibrator is chosen, and on what."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from pydantic import TypeAdapter

from derm.calibration.calibrator import Calibrator
from derm.calibration.registry import CALIBRATORS, AnyCalibrator, Method, chosen, cross_fitted, fit_calibrator
from derm.calibration.scaling import TemperatureCalibrator
from derm.errors import UserError
from derm.files import read_json, write_json
from tests.derm.calibration.test_scaling import simulated


def groups_of(count: int, size: int = 2) -> np.ndarray:
    """Groups of so many images, which stand side by side."""
    return np.array([f"g{number // size}" for number in range(count)])


def test_every_method_but_auto_is_a_calibrator_of_that_name() -> None:
    assert set(CALIBRATORS) == set(get_args(Method)) - {"auto"}
    logits, targets = simulated(1.0, rows=80)
    assert [fit_calibrator(name, logits, targets).model_dump()["method"] for name in CALIBRATORS] == list(CALIBRATORS)


@pytest.mark.parametrize("method", CALIBRATORS)
def test_what_is_fitted_is_read_back_as_it_was(method: str, tmp_path: Path) -> None:
    """From the file that `calibrate` writes: its probabilities are the very same."""
    logits, targets = simulated(1.5, rows=200)
    fitted = fit_calibrator(method, logits, targets)
    write_json(tmp_path / "calibrator.json", fitted.model_dump())
    again = TypeAdapter(AnyCalibrator).validate_python(read_json(tmp_path / "calibrator.json"))
    assert again == fitted
    np.testing.assert_array_equal(again.probabilities(logits), fitted.probabilities(logits))


@pytest.mark.parametrize(
    ("logits_of", "best"), [("honest", "none"), ("too sure", "temperature"), ("shifted", "vector")]
)
def test_what_the_simulation_needs_is_chosen(logits_of: str, best: str) -> None:
    logits, targets = simulated(2.5 if logits_of == "too sure" else 1.0, rows=4000)
    if logits_of == "shifted":
        logits = (logits + np.array([2.0, 0.0, -2.0, 0.0])) * np.array([0.5, 1.0, 2.0, 1.0])
    losses = cross_fitted(logits, targets, groups_of(4000), seed=1)
    assert chosen(losses) == best or losses[best] - min(losses.values()) < 5e-4
    worse = {"honest": [], "too sure": ["none"], "shifted": ["none", "temperature"]}[logits_of]
    assert all(losses[name] > losses[best] + 0.01 for name in worse)


def test_a_group_is_never_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    was = TemperatureCalibrator.fit

    def fit(logits: np.ndarray, targets: np.ndarray) -> TemperatureCalibrator:
        seen.append(logits[:, 0].copy())
        return was(logits, targets)

    monkeypatch.setattr(TemperatureCalibrator, "fit", fit)
    logits, targets = simulated(1.0, rows=300)
    groups = groups_of(300, size=3)
    cross_fitted(logits, targets, groups, seed=1)
    assert len(seen) == 5
    fitted_on = [np.isin(logits[:, 0], values) for values in seen]
    for rows in fitted_on:
        assert not set(groups[rows]) & set(groups[~rows])
    assert (np.sum([~rows for rows in fitted_on], axis=0) == 1).all()  # each image is left out once


def test_losses_are_of_what_was_left_out() -> None:
    """Isotonic calibration that sees its own images has the lowest loss of all; left out it has not."""
    logits, targets = simulated(1.0, rows=150)
    left_out = cross_fitted(logits, targets, groups_of(150), seed=1)
    told = fit_calibrator("isotonic", logits, targets).probabilities(logits)
    assert -np.log(told[np.arange(150), targets]).mean() < min(left_out.values()) < left_out["isotonic"]


def test_a_class_with_too_few_groups_leaves_the_methods_that_treat_all_alike() -> None:
    logits, targets = simulated(1.0, rows=200)
    targets = np.where(targets == 3, 0, targets)
    targets[:2] = 3  # one group
    assert set(cross_fitted(logits, targets, groups_of(200), seed=1)) == {"none", "temperature"}


def test_a_class_without_images_is_refused_by_name_of_the_way_out() -> None:
    logits, targets = simulated(1.0, rows=50)
    targets = np.where(targets == 3, 0, targets)
    with pytest.raises(UserError, match=r"there are none of class 3: set calibrate\.method=temperature"):
        fit_calibrator("vector", logits, targets)
    assert isinstance(fit_calibrator("temperature", logits, targets), Calibrator)


def test_without_anything_to_choose_by_it_is_a_temperature() -> None:
    assert chosen({}) == "temperature"
    assert chosen({"none": 0.5, "temperature": 0.5}) == "none"
    assert cross_fitted(np.zeros((4, 2)), np.array([0, 1, 0, 1]), np.array(["g"] * 4), seed=1) == {}
