"""Points of curves against scikit-learn, and what is left of them after thinning."""

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from derm.measures.curves import POINTS, precision_recall_points, reliability_bins, roc_points


def drawn(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and what is positive; a few scores are tied."""
    generator = np.random.default_rng(rows)
    positive = generator.random(rows) < 0.3
    return (generator.normal(size=rows) + positive).round(3), positive


def test_a_short_roc_curve_is_that_of_scikit_learn() -> None:
    scores, positive = drawn(150)
    curve = roc_points(scores, positive)
    expected = metrics.roc_auc_score(positive, scores)
    assert metrics.auc(curve["false_positive_rate"], curve["sensitivity"]) == pytest.approx(expected, abs=1e-9)
    assert curve.iloc[0].tolist() == [0, 0] and curve.iloc[-1].tolist() == [1, 1]


def test_a_short_precision_recall_curve_is_that_of_scikit_learn() -> None:
    """Average precision is the sum of precision times the step in sensitivity."""
    scores, positive = drawn(150)
    curve = precision_recall_points(scores, positive)
    area = (np.diff(curve["sensitivity"]) * curve["precision"].to_numpy()[1:]).sum()
    assert area == pytest.approx(metrics.average_precision_score(positive, scores), abs=1e-9)
    assert curve.iloc[0].tolist() == [0, 1] and curve["sensitivity"].iloc[-1] == 1
    assert curve["precision"].iloc[-1] == pytest.approx(positive.mean(), abs=1e-9)


def test_curves_by_hand() -> None:
    """From the highest score down: a hit, a false alarm, a hit, a false alarm."""
    scores, positive = np.array([0.9, 0.7, 0.5, 0.3]), np.array([True, False, True, False])
    assert roc_points(scores, positive).to_numpy().tolist() == [[0, 0], [0, 0.5], [0.5, 0.5], [0.5, 1], [1, 1]]
    expected = [[0, 1], [0.5, 1], [0.5, 1 / 2], [1, 2 / 3], [1, 1 / 2]]
    np.testing.assert_allclose(precision_recall_points(scores, positive), expected, atol=1e-12)


@pytest.mark.parametrize("points", [roc_points, precision_recall_points])
def test_a_long_curve_is_thinned_and_keeps_its_ends(points) -> None:
    scores, positive = drawn(5000)
    curve = points(scores, positive)
    assert len(curve) == POINTS and np.isfinite(curve.to_numpy()).all()
    x, y = curve.columns
    assert (curve[x].iloc[0], curve[x].iloc[-1]) == (0, 1)
    if points is roc_points:
        assert metrics.auc(curve[x], curve[y]) == pytest.approx(metrics.roc_auc_score(positive, scores), abs=2e-3)


def test_reliability_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(3)
    probabilities = generator.dirichlet(np.full(4, 0.5), 900)
    targets = generator.integers(0, 4, 900)
    bins = reliability_bins(probabilities, targets, np.ones((2, 900)), bins=12)
    right = probabilities.argmax(axis=1) == targets
    share, told = calibration_curve(right, probabilities.max(axis=1), n_bins=12, strategy="uniform")
    np.testing.assert_allclose(bins["accuracy"], share, rtol=0, atol=1e-9)
    np.testing.assert_allclose(bins["confidence"], told, rtol=0, atol=1e-9)
    assert bins["count"].sum() == 900
    assert (bins["low"] <= bins["confidence"]).all() and (bins["confidence"] <= bins["high"]).all()
    # Two draws that are the data: no width.
    np.testing.assert_allclose(bins[["accuracy_low", "accuracy_high"]].T, [bins["accuracy"]] * 2)


def test_reliability_by_hand() -> None:
    """Two bins: .6 and .8 with one right, drawn as they are and with the wrong one alone; 1 falls into the last bin."""
    probabilities, targets = np.array([[0.6, 0.4], [0.2, 0.8], [1.0, 0.0]]), np.array([0, 0, 0])
    weights = np.array([[1.0, 1.0, 0.0], [0.0, 3.0, 0.0]])
    row = reliability_bins(probabilities, targets, weights, bins=2).iloc[0]
    assert row[["low", "high", "count"]].tolist() == [0.5, 1, 3]
    assert (row["confidence"], row["accuracy"]) == pytest.approx((0.8, 2 / 3))
    assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx((0.025 / 2, 0.975 / 2))
