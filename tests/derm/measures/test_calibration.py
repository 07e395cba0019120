"""Calibration against simulations that are honest, too sure or shifted, by hand, and against scikit-learn."""

from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit, softmax
from sklearn.linear_model import LogisticRegression

from derm.measures.calibration import (
    by_class,
    calibration_slope,
    classwise_calibration_error,
    if_perfect,
    slope_and_intercept,
)
from derm.measures.weighted import expected_calibration_error


def drawn(rows: int = 5000, stretch: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities whose logits are `stretch` times too large, and targets."""
    generator = np.random.default_rng(seed)
    logits = 1.5 * generator.normal(size=(rows, 3))
    return softmax(stretch * logits, axis=1), (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)


def test_classwise_by_hand() -> None:
    """Two bins. Class 0: .2 and .4 in the first with one hit of two, .8 in the second with none: gaps |.6 - 1| and
    |.8 - 0|; class 1: .8 and .6 with one hit of two, .2 with a hit: the same gaps."""
    probabilities, targets = np.array([[0.2, 0.8], [0.4, 0.6], [0.8, 0.2]]), np.array([0, 1, 1])
    assert classwise_calibration_error(probabilities, targets, bins=2) == pytest.approx([1.2 / 3])
    # The first image twice, the last not at all: |.2 + .2 + .4 - 2| of three.
    weighted = classwise_calibration_error(probabilities, targets, np.array([[2.0, 1.0, 0.0]]), bins=2)
    assert weighted == pytest.approx([1.2 / 3])


def test_classwise_is_no_more_than_noise_where_probabilities_are_honest() -> None:
    assert classwise_calibration_error(*drawn(50_000))[0] < 0.009
    assert classwise_calibration_error(*drawn(stretch=2.0))[0] > 0.05


def test_the_slope_by_hand() -> None:
    """Told .8 of ten of which seven are hit: log-odds of .8 times the slope are those of .7."""
    probabilities, targets = np.tile([0.2, 0.8], (10, 1)), np.repeat([1, 0], [7, 3])
    assert calibration_slope(probabilities, targets) == pytest.approx([logit(0.7) / logit(0.8)], abs=1e-9)
    # A miss thrice: seven of sixteen, and the slope would be negative: the least there is.
    weights = np.array([[1.0] * 7 + [3.0] * 3])
    assert calibration_slope(probabilities, targets, weights) == pytest.approx([1 / 50], abs=1e-9)
    assert calibration_slope(probabilities[:7], targets[:7]) == pytest.approx([50], abs=1e-9)


def test_the_slope_of_two_classes_is_that_of_logistic_regression() -> None:
    generator = np.random.default_rng(4)
    told = generator.uniform(0.02, 0.98, 500)
    hit, weights = generator.random(500) < expit(0.6 * logit(told)), generator.integers(0, 3, 500).astype(float)
    oracle: Any = LogisticRegression(C=np.inf, tol=1e-12, solver="newton-cholesky", fit_intercept=False)
    oracle.fit(logit(told)[:, None], hit, sample_weight=weights)
    found = calibration_slope(np.stack([1 - told, told], axis=1), hit.astype(int), weights[None])
    assert found == pytest.approx([oracle.coef_[0, 0]], abs=1e-9)


@pytest.mark.parametrize("stretch", [0.5, 1.0, 2.0])
def test_the_slope_undoes_the_stretch(stretch: float) -> None:
    assert calibration_slope(*drawn(stretch=stretch)) == pytest.approx([1 / stretch], rel=0.04)


def test_a_weight_of_two_is_an_image_twice() -> None:
    probabilities, targets = drawn(200)
    weights = np.random.default_rng(1).integers(0, 3, (2, 200)).astype(float)
    for measure in (calibration_slope, classwise_calibration_error):
        repeated = [
            measure(probabilities.repeat(row.astype(int), axis=0), targets.repeat(row.astype(int)))[0]
            for row in weights
        ]
        np.testing.assert_allclose(measure(probabilities, targets, weights), repeated, rtol=1e-4)


def test_slope_and_intercept_are_those_of_logistic_regression() -> None:
    generator = np.random.default_rng(2)
    told = generator.uniform(0.02, 0.98, 600)
    hit = generator.random(600) < expit(0.6 * logit(told) - 0.8)
    oracle: Any = LogisticRegression(C=np.inf, tol=1e-12, solver="newton-cholesky")
    oracle.fit(logit(told)[:, None], hit)
    assert slope_and_intercept(told, hit) == pytest.approx((oracle.coef_[0, 0], oracle.intercept_[0]), abs=1e-9)
    assert all(np.isnan(slope_and_intercept(told, np.zeros(600, dtype=bool))))


def test_the_table_by_class() -> None:
    probabilities, targets = drawn(stretch=2.0)
    table = by_class(probabilities, targets, ["bcc", "mel", "nv"]).set_index("diagnosis")
    assert list(table["images"]) == np.bincount(targets).tolist()
    assert table["told"]["mel"] == pytest.approx(probabilities[:, 1].mean(), abs=1e-9)
    assert table["happened"]["mel"] == pytest.approx((targets == 1).mean(), abs=1e-9)
    line = slope_and_intercept(probabilities[:, 2], targets == 2)
    assert (table["slope"]["nv"], table["intercept"]["nv"]) == line
    assert (table["slope"] < 0.8).all()


def test_honest_probabilities_lie_within_what_is_drawn_from_them_and_sure_ones_do_not() -> None:
    for stretch, within in ((1.0, True), (1.6, False)):
        probabilities, targets = drawn(1500, stretch)
        values = if_perfect(probabilities, np.arange(1500), draws=200, seed=1)
        low, high = np.percentile(values, [2.5, 97.5])
        assert (low <= expected_calibration_error(probabilities, targets)[0] <= high) == within


def test_the_error_of_perfect_probabilities_by_hand() -> None:
    """One image told .7 of class 0: the error is .3 if it is (seven times in ten), and .7 if not; .42 in the mean."""
    values = if_perfect(np.array([[0.7, 0.3]]), np.array(["a"]), draws=4000, seed=1)
    assert np.unique(values) == pytest.approx([0.3, 0.7])
    assert values.mean() == pytest.approx(0.42, abs=0.015)


def test_photographs_of_one_lesion_get_one_label() -> None:
    """So that the error varies as that of a half as many."""
    probabilities, _ = drawn(400)
    doubled = probabilities.repeat(2, axis=0)
    alone = if_perfect(probabilities, np.arange(400), draws=300, seed=1)
    pairs = if_perfect(doubled, np.arange(400).repeat(2), draws=300, seed=1)
    np.testing.assert_allclose(alone, pairs)
    assert if_perfect(doubled, np.arange(800), draws=300, seed=1).mean() < 0.85 * pairs.mean()
    np.testing.assert_array_equal(alone, if_perfect(probabilities, np.arange(400), draws=300, seed=1))


def test_photographs_of_one_lesion_keep_their_own_chances() -> None:
    """Told .9 and .5: together right half the time, and the first alone in four of the ten others."""
    told, labels = np.array([[0.9, 0.1], [0.5, 0.5]]), []

    def noted(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
        labels.append(targets)
        return np.zeros(1)

    if_perfect(told, np.array(["a", "a"]), 4000, 1, noted)
    shares = {pair: labels_of.mean() for pair, labels_of in pairs_of(np.array(labels)).items()}
    assert shares == pytest.approx({(0, 0): 0.5, (0, 1): 0.4, (1, 0): 0.0, (1, 1): 0.1}, abs=0.02)


def pairs_of(labels: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    """For each pair of labels in which draws it stands."""
    return {(one, other): (labels == (one, other)).all(axis=1) for one in (0, 1) for other in (0, 1)}
