"""Class weights, by hand."""

import numpy as np
import pytest

from derm.weighting import ClassWeighting, class_weights

TARGETS = np.array([0] * 8 + [1] * 4 + [2] * 4)  # shares 1/2, 1/4, 1/4
WEIGHTINGS: tuple[ClassWeighting, ...] = ("none", "inverse", "sqrt_inverse", "effective")


@pytest.mark.parametrize(
    ("weighting", "factors", "expected"),
    [
        ("none", [1.0, 1.0, 1.0], [1, 1, 1]),
        ("inverse", [1.0, 1.0, 1.0], [2 / 3, 4 / 3, 4 / 3]),
        # 1/sqrt(share): sqrt 2, 2, 2, whose mean over the rows is 1 + 1/sqrt 2
        ("sqrt_inverse", [1.0, 1.0, 1.0], np.array([np.sqrt(2), 2, 2]) / (1 + np.sqrt(0.5))),
        # 1, 2, 1, whose mean over the rows is 5/4
        ("none", [1.0, 2.0, 1.0], [0.8, 1.6, 0.8]),
        # inverse 2, 4, 4 times 1, 3, 1: 2, 12, 4, mean over the rows 5
        ("inverse", [1.0, 3.0, 1.0], [0.4, 2.4, 0.8]),
        # 1 - 1/2^8 = 255/256 and 1 - 1/2^4 = 15/16: inverses 256/255 and 16/15, that is 16 and 17 parts of 16/255;
        # mean over the rows 16.5
        ("effective", [1.0, 1.0, 1.0], np.array([16, 17, 17]) / 16.5),
    ],
)
def test_by_hand(weighting: ClassWeighting, factors: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(class_weights(TARGETS, 3, weighting, 0.5, np.array(factors)), expected)


def random_targets(seed: int) -> np.ndarray:
    """65 of five classes of uneven size, every one present."""
    generator = np.random.default_rng(seed)
    return np.append(generator.choice(5, 60, p=[0.5, 0.25, 0.15, 0.07, 0.03]), np.arange(5))


def test_mean_over_rows_is_1() -> None:
    for seed in range(10):
        targets, factors = random_targets(seed), np.random.default_rng(seed).uniform(0.1, 9, 5)
        for weighting in WEIGHTINGS:
            assert class_weights(targets, 5, weighting, 0.99, factors)[targets].mean() == pytest.approx(1)


def test_inverse_gives_every_class_the_same_total() -> None:
    for seed in range(10):
        targets = random_targets(seed)
        totals = np.bincount(targets, class_weights(targets, 5, "inverse", 0.99, np.ones(5))[targets])
        np.testing.assert_allclose(totals, len(targets) / 5)


def test_factors_multiply_the_ratios_of_weights() -> None:
    targets, factors = random_targets(0), np.array([1.0, 2.0, 0.5, 7.0, 1.0])
    for weighting in WEIGHTINGS:
        ratio = class_weights(targets, 5, weighting, 0.9, factors) / class_weights(
            targets, 5, weighting, 0.9, np.ones(5)
        )
        np.testing.assert_allclose(ratio / ratio[0], factors)


def test_effective_is_the_formula_of_cui_and_goes_from_none_to_inverse() -> None:
    """The effective number of samples is the sum of the first n powers of beta: 1 + beta + beta^2 + ..."""
    targets, ones = random_targets(1), np.ones(5)
    counts = np.bincount(targets)
    for beta in (0.3, 0.9, 0.999):
        effective = np.array([sum(beta**power for power in range(count)) for count in counts])
        expected = 1 / effective * len(targets) / (counts / effective).sum()
        np.testing.assert_allclose(class_weights(targets, 5, "effective", beta, ones), expected)
    np.testing.assert_allclose(class_weights(targets, 5, "effective", 1e-12, ones), ones, rtol=1e-9)
    inverse = class_weights(targets, 5, "inverse", 0.5, ones)
    np.testing.assert_allclose(class_weights(targets, 5, "effective", 1 - 1e-9, ones), inverse, rtol=1e-6)
