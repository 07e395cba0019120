"""Who is drawn how often, by counting."""

import numpy as np
import pytest
import torch

from derm.training.params import Sampling
from derm.training.sampling import epoch_rows, sampling_factors

TARGETS = torch.tensor([0] * 700 + [1] * 250 + [2] * 50)
SAMPLINGS: tuple[Sampling, ...] = ("natural", "balanced")


def drawn(sampling: Sampling, seed: int = 0, epochs: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.cat([epoch_rows(TARGETS, sampling, generator) for _ in range(epochs)])


def test_natural_is_every_row_once_in_another_order_each_epoch() -> None:
    first, second = drawn("natural", epochs=2).split(1000)
    for epoch in (first, second):
        assert epoch.dtype == torch.int64
        assert sorted(epoch.tolist()) == list(range(1000))
    assert first.tolist() != second.tolist() != list(range(1000))


def test_balanced_gives_every_class_its_share() -> None:
    """30,000 draws: a third each, within four standard deviations of a binomial number."""
    rows = drawn("balanced", epochs=30)
    assert len(rows) == 30_000
    counts = torch.bincount(TARGETS[rows]).numpy()
    np.testing.assert_allclose(counts, 10_000, atol=4 * np.sqrt(30_000 * 1 / 3 * 2 / 3))


def test_balanced_draws_every_row_of_a_class_as_often_as_the_next() -> None:
    """Of the rarest class, 50 rows share some 10,000 draws: 200 each, within 4.5 standard deviations."""
    counts = torch.bincount(drawn("balanced", epochs=30), minlength=1000).numpy()
    np.testing.assert_allclose(counts[950:], 200, atol=4.5 * np.sqrt(200))
    # And the commonest: as many draws for 700 rows.
    np.testing.assert_allclose(counts[:700], 10_000 / 700, atol=4.5 * np.sqrt(10_000 / 700))


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_same_generator_draws_the_same_rows(sampling: Sampling) -> None:
    assert torch.equal(drawn(sampling, 5), drawn(sampling, 5))
    assert not torch.equal(drawn(sampling, 5), drawn(sampling, 6))


def test_factors_by_hand() -> None:
    targets = TARGETS.numpy()
    assert sampling_factors(targets, 3, "natural").tolist() == [1, 1, 1]
    # A third each instead of 0.7, 0.25 and 0.05.
    expected = [1 / 2.1, 1 / 0.75, 1 / 0.15]
    np.testing.assert_allclose(sampling_factors(targets, 3, "balanced"), expected)


def test_factors_are_how_often_rows_are_drawn() -> None:
    counts = np.bincount(TARGETS[drawn("balanced", epochs=30)]) / 30
    expected = counts / np.bincount(TARGETS)
    np.testing.assert_allclose(sampling_factors(TARGETS.numpy(), 3, "balanced"), expected, rtol=0.03)
