"""The learning rate, step by step, against closed forms and at places known by hand."""

import math
import warnings
from typing import Any

import pytest
import torch

from derm.training.schedule import make_schedule
from tests.derm.training.data import params

PEAK, LEAST, BATCHES = 0.5, 0.1, 4


def rates(**changes: Any) -> list[float]:
    """Of each step of a training, and what it would be after the last one. A warning is an error."""
    given = params(**({"learning_rate": PEAK, "least_learning_rate": LEAST} | changes))
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=given.learning_rate)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schedule, told = make_schedule(optimiser, given, BATCHES), []
        for _ in range(given.epochs * BATCHES):
            told.append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            schedule.step()
        assert schedule.get_last_lr() == [optimiser.param_groups[0]["lr"]]
    return [*told, optimiser.param_groups[0]["lr"]]


def half_cosine(share: float, start: float = PEAK, end: float = LEAST) -> float:
    """A share of the way from start to end."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


@pytest.mark.parametrize("schedule", ["cosine", "warm_restarts"])
@pytest.mark.parametrize("warmup", [1, 3])
def test_warm_up_rises_evenly_to_the_peak(schedule: str, warmup: int) -> None:
    told = rates(schedule=schedule, epochs=10, warmup_epochs=warmup)
    steps = warmup * BATCHES
    assert told[:steps] == pytest.approx([PEAK * (step + 1) / steps for step in range(steps)])
    assert told[steps] < PEAK


def test_cosine_without_warm_up() -> None:
    told = rates(schedule="cosine", epochs=10, warmup_epochs=0)
    assert told == pytest.approx([half_cosine(step / 40) for step in range(41)])
    assert (told[0], told[20], told[40]) == pytest.approx((PEAK, (PEAK + LEAST) / 2, LEAST))


@pytest.mark.parametrize("warmup", [1, 3])
def test_cosine_falls_from_the_end_of_warm_up_to_the_end_of_training(warmup: int) -> None:
    told = rates(schedule="cosine", epochs=10, warmup_epochs=warmup)
    top = warmup * BATCHES - 1
    assert told[top:] == pytest.approx([half_cosine((step - top) / (40 - top)) for step in range(top, 41)])
    assert told[40] == pytest.approx(LEAST)


@pytest.mark.parametrize("warmup", [0, 1, 3])
def test_warm_restarts_start_anew_every_restart_epochs(warmup: int) -> None:
    told = rates(schedule="warm_restarts", epochs=12, warmup_epochs=warmup, restart_epochs=3)
    top, length = max(0, warmup * BATCHES - 1), 3 * BATCHES
    expected = [half_cosine((step - top) % length / length) for step in range(top, 49)]
    assert told[top:] == pytest.approx(expected)
    assert told[top + length] == told[top + 2 * length] == pytest.approx(PEAK)
    assert told[top + length - 1] < LEAST + 0.02 * PEAK


@pytest.mark.parametrize("warmup", [0, 1, 3])
def test_one_cycle_rises_to_the_peak_and_falls_to_the_least(warmup: int) -> None:
    told = rates(schedule="one_cycle", epochs=10, warmup_epochs=warmup)
    top = max(1, warmup * BATCHES)
    assert told[: top + 1] == pytest.approx([half_cosine(step / top, PEAK / 25, PEAK) for step in range(top + 1)])
    assert told[top:] == pytest.approx([half_cosine((step - top) / (40 - top)) for step in range(top, 41)])
    assert max(told) == told[top] == pytest.approx(PEAK)


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_nothing_is_left_of_it_where_nothing_is_the_least(schedule: str) -> None:
    assert rates(schedule=schedule, epochs=10, least_learning_rate=0.0)[-1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("schedule", ["cosine", "warm_restarts", "one_cycle"])
@pytest.mark.parametrize("warmup", [2, 50])
def test_a_warm_up_of_all_epochs_or_more_rises_to_the_end(schedule: str, warmup: int) -> None:
    told = rates(schedule=schedule, epochs=2, warmup_epochs=warmup)[:8]
    assert told == sorted(told)
    assert told[0] < 0.2 * PEAK < 0.9 * PEAK < told[-1] <= PEAK


@pytest.mark.parametrize("schedule", ["cosine", "warm_restarts", "one_cycle"])
@pytest.mark.parametrize("warmup", [0, 1, 5])
def test_one_epoch_is_a_schedule_too(schedule: str, warmup: int) -> None:
    told = rates(schedule=schedule, epochs=1, warmup_epochs=warmup)
    assert len(told) == 5 and all(0 < rate <= PEAK * (1 + 1e-9) for rate in told)


@pytest.mark.parametrize("schedule", ["cosine", "warm_restarts", "one_cycle"])
def test_a_least_above_the_peak_is_the_peak(schedule: str) -> None:
    told = rates(schedule=schedule, epochs=4, warmup_epochs=1, least_learning_rate=2.0)
    assert told[BATCHES:] == pytest.approx([PEAK] * 13)
