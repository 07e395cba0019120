"""Nearest neighbours against scikit-learn's."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from derm.heads.neighbours import Neighbours

CLASSES, DIM = 4, 6


def tables(rows: int, asked: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = np.concatenate([np.arange(CLASSES), generator.integers(0, CLASSES, rows - CLASSES)])
    lengths = generator.uniform(0.1, 9, size=(rows, 1))
    return generator.normal(size=(rows, DIM)) * lengths, labels, generator.normal(size=(asked, DIM))


def fitted(bank: np.ndarray, labels: np.ndarray, count: int, sharpness: float) -> Neighbours:
    neighbours = Neighbours(len(bank), DIM, CLASSES, count, sharpness).double()
    neighbours.remember(torch.from_numpy(bank), torch.from_numpy(labels))
    return neighbours


@pytest.mark.parametrize(("count", "sharpness"), [(1, 0.07), (5, 0.07), (20, 0.5), (60, 1.0), (1000, 0.3)])
def test_shares_are_those_of_scikit_learn_and_one_vote_more(count: int, sharpness: float) -> None:
    """60 rows: the last count is more than there are, and all of them vote."""
    bank, labels, asked = tables(60, 25)
    there = min(count, 60)
    votes: Any = lambda distances: np.exp((1 - distances) / sharpness)  # noqa: E731
    oracle = KNeighborsClassifier(there, metric="cosine", weights=votes, algorithm="brute").fit(bank, labels)
    expected = (there * np.asarray(oracle.predict_proba(asked)) + np.full(CLASSES, 1 / CLASSES)) / (there + 1)
    told = fitted(bank, labels, count, sharpness)(torch.from_numpy(asked)).numpy()
    np.testing.assert_allclose(np.exp(told), expected, rtol=1e-9)
    np.testing.assert_allclose(np.exp(told).sum(axis=1), 1, rtol=1e-12)


def test_one_neighbour_by_hand() -> None:
    """Its class gets its vote and a quarter of the added one, the others a quarter each, of two."""
    bank = np.eye(DIM)[:CLASSES]
    told = fitted(bank, np.arange(CLASSES), 1, 0.07)(torch.from_numpy(7 * bank[2:3])).exp()
    np.testing.assert_allclose(told, [[0.125, 0.125, 0.625, 0.125]])


def test_length_does_not_count() -> None:
    bank, labels, asked = tables(30, 5)
    neighbours = fitted(bank, labels, 5, 0.07)
    torch.testing.assert_close(neighbours(torch.from_numpy(asked)), neighbours(torch.from_numpy(1000 * asked)))


def test_gradients_are_those_of_differences_and_finite_at_the_mean() -> None:
    bank, labels, asked = tables(30, 5)
    neighbours = fitted(bank, labels, 5, 0.3)
    features = torch.from_numpy(asked).requires_grad_(True)
    assert torch.autograd.gradcheck(neighbours, (features,))
    mean = torch.zeros(1, DIM, dtype=torch.float64, requires_grad=True)
    told = neighbours(mean)
    told[0, 0].backward()
    assert mean.grad is not None and told.isfinite().all() and mean.grad.isfinite().all()
