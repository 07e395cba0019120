"""Class weights, by hand."""

import numpy as np
import pytest

from derm.weighting import ClassWeighting, class_weights

TARGETS = np.array([0] * 8 + [1] * 4 + [2] * 4)  # shares 1/2, 1/4, 1/4


@pytest.mark.parametrize(
    ("weighting", "positive", "boost", "expected"),
    [
        ("none", None, 5.0, [1, 1, 1]),
        ("inverse", None, 1.0, [2 / 3, 4 / 3, 4 / 3]),
        # 1/sqrt(share): sqrt 2, 2, 2, whose mean over the rows is 1 + 1/sqrt 2
        ("sqrt_inverse", None, 1.0, np.array([np.sqrt(2), 2, 2]) / (1 + np.sqrt(0.5))),
        # boost 2 on the second class: 1, 2, 1, whose mean over the rows is 5/4
        ("none", 1, 2.0, [0.8, 1.6, 0.8]),
        # inverse 2, 4, 4 with boost 3: 2, 12, 4, mean over the rows 5
        ("inverse", 1, 3.0, [0.4, 2.4, 0.8]),
    ],
)
def test_by_hand(weighting: ClassWeighting, positive: int | None, boost: float, expected: list[float]) -> None:
    np.testing.assert_allclose(class_weights(TARGETS, 3, weighting, positive, boost), expected)


def test_mean_over_rows_is_1_and_inverse_gives_every_class_the_same_total() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        targets = np.append(generator.integers(0, 5, 60), np.arange(5))
        for weighting in ("none", "inverse", "sqrt_inverse"):
            assert class_weights(targets, 5, weighting, 2, 3.0)[targets].mean() == pytest.approx(1)
        totals = np.bincount(targets, class_weights(targets, 5, "inverse", None, 1.0)[targets])
        np.testing.assert_allclose(totals, totals[0])
