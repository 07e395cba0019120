"""Each verdict on curves that were made for it."""

from typing import Any

import pytest

from derm.heads.registry import Fit
from derm.training.verdict import verdict


def curves(train: list[float], val: list[float], l2: list[float] | None = None) -> list[dict[str, Any]]:
    rows = [
        {"step": step, "train_loss": one, "val_loss": two}
        for step, (one, two) in enumerate(zip(train, val, strict=True))
    ]
    return [row | {"l2": penalty} for row, penalty in zip(rows, l2, strict=True)] if l2 else rows


def told(rows: list[dict[str, Any]], best: int, fit: Fit, train: float = 0.8, val: float = 0.75) -> str:
    name, why = verdict(rows, best, fit, 0.01, train, val)
    assert "\n" not in why and not why.endswith(".")
    return f"{name}: {why}"


FALLING = [1.0, 0.8, 0.7, 0.65]


def test_still_improving_at_the_last_epoch_underfits() -> None:
    said = told(curves(FALLING, FALLING), 3, "gradient")
    assert said.startswith("underfits") and "train.epochs" in said
    assert "0.80 on train" in said and "0.75 on val" in said


def test_one_epoch_has_no_curve_to_judge() -> None:
    assert told(curves([1.0], [1.0]), 0, "gradient").startswith("fits")


def test_a_val_loss_that_rises_while_the_training_loss_falls_overfits() -> None:
    said = told(curves(FALLING, [1.0, 0.8, 0.83, 0.85]), 1, "gradient")
    assert said.startswith("overfits") and "epoch 1" in said and "0.800 to 0.850" in said


def test_a_rise_of_less_than_a_twentieth_is_trembling() -> None:
    assert told(curves(FALLING, [1.0, 0.8, 0.83, 0.835]), 1, "gradient").startswith("fits")


def test_a_val_loss_that_rises_with_the_training_loss_is_no_overfitting() -> None:
    assert told(curves([1.0, 0.8, 0.9, 1.0], [1.0, 0.8, 0.9, 1.0]), 1, "gradient").startswith("fits")


@pytest.mark.parametrize(
    ("rows", "best", "fit"),
    [
        (curves(FALLING, [1.0, 0.8, 0.81, 0.82]), 1, "gradient"),
        (curves(FALLING, FALLING, [1.0, 1.0, 0.1, 0.1]), 3, "convex"),
    ],
)
def test_much_better_on_train_than_on_val_overfits(rows: list[dict[str, Any]], best: int, fit: Fit) -> None:
    assert told(rows, best, fit, 0.9, 0.79).startswith("overfits")
    assert told(rows, best, fit, 0.9, 0.81).startswith("fits")


def test_the_weakest_penalty_being_the_best_underfits() -> None:
    """Whatever the accuracies are: there is more to be learned."""
    rows = curves(FALLING, FALLING, [1.0, 1.0, 0.01, 0.01])
    said = told(rows, 3, "convex", 0.99, 0.5)
    assert said.startswith("underfits") and "train.l2" in said


def test_a_sweep_may_end_at_its_best_or_rise_after_it() -> None:
    """From too much to too little, by design."""
    assert told(curves(FALLING, [1.0, 0.8, 0.7, 0.9], [1.0, 0.3, 0.1, 0.03]), 2, "convex").startswith("fits")
    assert told(curves(FALLING, FALLING, [1.0, 0.3, 0.1, 0.03]), 3, "convex").startswith("fits")


def test_neighbours_have_no_curve() -> None:
    nothing = float("nan")
    said = told(curves([nothing], [0.7]), 0, "neighbours", nothing, 0.5)
    assert said.startswith("fits") and "nan" not in said
