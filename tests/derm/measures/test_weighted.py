"""Every measure against scikit-learn with sample_weight, or against a formula or a search written out here."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from derm.measures import weighted
from tests.derm.measures.data import random_predictions

SEEDS = range(6)
EACH: Any = None  # scikit-learn's word for: one number for each class
NOT: Any = False


def by_resample(seed: int, ours: Callable, oracle: Callable) -> None:
    """ours(predictions, weights) -> [resamples] must be oracle(predictions, one row of weights) for each."""
    given = random_predictions(seed)
    for weights in (given.weights, None):
        rows = np.ones((1, len(given.targets))) if weights is None else weights
        found, expected = ours(given, weights), [oracle(given, row) for row in rows]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


COUNTED = {
    "accuracy": (weighted.accuracy, metrics.accuracy_score),
    "balanced_accuracy": (weighted.balanced_accuracy, metrics.balanced_accuracy_score),
    "macro_f1": (weighted.macro_f1, lambda t, p, **w: metrics.f1_score(t, p, average="macro", **w)),
    "weighted_f1": (weighted.weighted_f1, lambda t, p, **w: metrics.f1_score(t, p, average="weighted", **w)),
    "recalls": (weighted.recalls, lambda t, p, **w: metrics.recall_score(t, p, average=EACH, **w)),
    "precisions": (weighted.precisions, lambda t, p, **w: metrics.precision_score(t, p, average=EACH, **w)),
    "f1_scores": (weighted.f1_scores, lambda t, p, **w: metrics.f1_score(t, p, average=EACH, **w)),
    "confusion": (lambda counts: counts, metrics.confusion_matrix),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", COUNTED)
def test_what_is_counted(seed: int, name: str) -> None:
    measure, oracle = COUNTED[name]
    by_resample(
        seed,
        lambda given, weights: measure(weighted.confusion(given.targets, given.predicted, 4, weights)),
        lambda given, row: oracle(given.targets, given.predicted, sample_weight=row),
    )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("index", range(4))
def test_specificity_is_the_recall_of_the_others(seed: int, index: int) -> None:
    by_resample(
        seed,
        lambda given, w: weighted.specificities(weighted.confusion(given.targets, given.predicted, 4, w))[:, index],
        lambda given, row: metrics.recall_score(given.targets != index, given.predicted != index, sample_weight=row),
    )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("ours", "oracle"),
    [
        (weighted.area_under_roc, metrics.roc_auc_score),
        (weighted.average_precision, metrics.average_precision_score),
    ],
)
def test_areas_with_ties(seed: int, ours: Callable, oracle: Callable) -> None:
    by_resample(
        seed,
        lambda given, weights: ours(given.probabilities[:, 1], given.targets == 1, weights),
        lambda given, row: oracle(given.targets == 1, given.probabilities[:, 1], sample_weight=row),
    )
    assert len(np.unique(random_predictions(seed).probabilities[:, 1])) < 65  # there are ties


def test_area_under_roc_by_hand() -> None:
    """Of the 4 pairs one is right, one is wrong and two are ties."""
    scores, positive = np.array([0.3, 0.7, 0.3, 0.7]), np.array([False, False, True, True])
    assert weighted.area_under_roc(scores, positive).tolist() == [0.5]
    assert weighted.area_under_roc(np.array([0.1, 0.2, 0.3]), np.array([False, True, True])).tolist() == [1.0]


def official(positive: np.ndarray, scores: np.ndarray, row: np.ndarray) -> float:
    """As the ISIC 2024 challenge scores: the curve is mirrored, so that sensitivity above .8 is a rate of false alarms
    below .2, for which scikit-learn has a partial area; its scaling is undone."""
    scaled: Any = metrics.roc_auc_score(1 - positive, -scores, max_fpr=0.2, sample_weight=row)
    least = 0.5 * 0.2**2
    return least + (0.2 - least) / 0.5 * (scaled - 0.5)


@pytest.mark.parametrize("seed", SEEDS)
def test_partial_area(seed: int) -> None:
    by_resample(
        seed,
        lambda given, weights: weighted.partial_area_under_roc(
            given.probabilities[:, 1], given.targets == 1, weights=weights
        ),
        lambda given, row: official((given.targets == 1).astype(int), given.probabilities[:, 1], row),
    )


def test_partial_area_by_hand() -> None:
    """Perfect: all of it; a line from corner to corner: a triangle of .2 by .2."""
    positive = np.array([True, False])
    assert weighted.partial_area_under_roc(np.array([0.9, 0.1]), positive)[0] == pytest.approx(0.2)
    assert weighted.partial_area_under_roc(np.array([0.5, 0.5]), positive)[0] == pytest.approx(0.02)
    assert weighted.partial_area_under_roc(np.array([0.1, 0.9]), positive)[0] == pytest.approx(0)


# The ROC curve of NDKA for the outcome of 113 patients (data set aSAH of pROC, Robin et al. 2011, BMC Bioinformatics
# 12:77), read off the sensitivities and specificities in pROC's own tests: patients by rising NDKA, poor outcome (P)
# or good (G), those of one value together.
NDKA = (
    "G P G G P P P G G G G G G G G G P G G G G G G P P G G P G GG G P PG G G G G P G G P G G G G G G P P P G P G G "
    "P G G G G G P G PG G G P G G P P G P P G G PG P P G G G P G G G G P P P P G G P G G G P P P P G G P G P G P G "
    "P"
)


@pytest.mark.parametrize(
    ("least", "published"),
    [(0.0, 0.611957994579946), (0.9, 0.0037940379403794), (0.8, 0.0037940379403794 + 0.0242547425474255)],
)
def test_partial_area_of_a_published_example(least: float, published: float) -> None:
    """By pROC's own tests (github.com/xrobin/pROC, tests/testthat/test-auc.R): the whole area, and the areas at
    sensitivities of .9 to 1 and of .8 to .9 (`partial.auc.focus = "se"`)."""
    scores = np.array([place for place, values in enumerate(NDKA.split()) for _ in values], dtype=float)
    poor = np.array([value == "P" for value in NDKA.replace(" ", "")])
    assert (poor.sum(), len(poor)) == (41, 113)
    assert weighted.partial_area_under_roc(scores, poor, least)[0] == pytest.approx(published, abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_log_loss(seed: int) -> None:
    by_resample(
        seed,
        lambda given, weights: weighted.negative_log_likelihood(given.probabilities, given.targets, weights),
        lambda given, row: metrics.log_loss(given.targets, given.probabilities, sample_weight=row),
    )


def test_log_loss_of_an_impossible_truth_is_finite() -> None:
    assert weighted.negative_log_likelihood(np.array([[1.0, 0.0]]), np.array([1]))[0] == pytest.approx(15 * np.log(10))


@pytest.mark.parametrize("seed", SEEDS)
def test_brier_score(seed: int) -> None:
    by_resample(
        seed,
        lambda given, weights: weighted.brier_score(given.probabilities, given.targets, weights),
        lambda given, row: metrics.brier_score_loss(
            given.targets, given.probabilities, sample_weight=row, labels=range(4), scale_by_half=NOT
        ),
    )
    # sure and wrong is 2, the worst there is
    assert weighted.brier_score(np.array([[1.0, 0.0]]), np.array([1])).tolist() == [2.0]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("wanted", [0.5, 0.8, 0.95])
def test_specificity_and_sensitivity_at_each_other_by_trying_every_threshold(seed: int, wanted: float) -> None:
    def rates(given, row: np.ndarray) -> list[tuple[float, float]]:
        positive = given.targets == 1
        tried = [np.inf, *np.unique(given.probabilities[:, 1])]
        return [
            (
                row[positive & (given.probabilities[:, 1] >= threshold)].sum() / row[positive].sum(),
                row[~positive & (given.probabilities[:, 1] < threshold)].sum() / row[~positive].sum(),
            )
            for threshold in tried
        ]

    by_resample(
        seed,
        lambda given, w: weighted.specificity_at_sensitivity(given.probabilities[:, 1], given.targets == 1, wanted, w),
        lambda given, row: max(spec for sens, spec in rates(given, row) if sens >= wanted - 1e-12),
    )
    by_resample(
        seed,
        lambda given, w: weighted.sensitivity_at_specificity(given.probabilities[:, 1], given.targets == 1, wanted, w),
        lambda given, row: max(sens for sens, spec in rates(given, row) if spec >= wanted - 1e-12),
    )


def test_calibration_error_by_hand() -> None:
    """Ten bins. In [.6, .7): .61 right, .65 wrong, confidence .63, accuracy .5. In [.9, 1]: .95 right, 1 right."""
    top = np.array([0.61, 0.65, 0.95, 1.0])
    probabilities = np.column_stack([top, 1 - top])
    targets = np.array([0, 1, 0, 0])
    expected = 0.5 * (0.63 - 0.5) + 0.5 * (1 - 0.975)
    assert weighted.expected_calibration_error(probabilities, targets, bins=10)[0] == pytest.approx(expected)
    # the wrong one three times: confidence (.61 + 3 * .65) / 4, accuracy 1/4; 4 rows of 6
    weights = np.array([[1.0, 3.0, 1.0, 1.0]])
    expected = 4 / 6 * (2.56 / 4 - 0.25) + 2 / 6 * 0.025
    assert weighted.expected_calibration_error(probabilities, targets, weights, 10)[0] == pytest.approx(expected)


def test_calibration_error_is_small_where_probabilities_are_true() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(3), size=20_000)
    targets = (probabilities.cumsum(axis=1) < generator.random((20_000, 1))).sum(axis=1)
    assert weighted.expected_calibration_error(probabilities, targets)[0] < 0.015
    overconfident = probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)
    assert weighted.expected_calibration_error(overconfident, targets)[0] > 0.15


@pytest.mark.parametrize("seed", SEEDS)
def test_whole_number_weights_are_repeated_rows(seed: int) -> None:
    given = random_predictions(seed)
    for row in given.weights:
        again = np.repeat(np.arange(len(row)), row.astype(int))
        one, scores, positive = row[None], given.probabilities[:, 2], given.targets == 2
        for measure in (weighted.area_under_roc, weighted.average_precision):
            np.testing.assert_allclose(measure(scores, positive, one), measure(scores[again], positive[again]))
        for measure in (weighted.specificity_at_sensitivity, weighted.sensitivity_at_specificity):
            np.testing.assert_allclose(
                measure(scores, positive, 0.9, one), measure(scores[again], positive[again], 0.9)
            )
        for measure in (
            weighted.negative_log_likelihood,
            weighted.brier_score,
            weighted.expected_calibration_error,
        ):
            np.testing.assert_allclose(
                measure(given.probabilities, given.targets, one),
                measure(given.probabilities[again], given.targets[again]),
            )


def test_what_cannot_be_computed_is_nan() -> None:
    scores, none, some = np.array([0.1, 0.9]), np.array([False, False]), np.array([True, False])
    assert np.isnan(weighted.area_under_roc(scores, none))
    assert np.isnan(weighted.average_precision(scores, none))
    assert np.isnan(weighted.specificity_at_sensitivity(scores, none, 0.95))
    assert np.isnan(weighted.sensitivity_at_specificity(scores, ~none, 0.95))
    # weight 0 is absence
    assert np.isnan(weighted.area_under_roc(scores, some, np.array([[0.0, 1.0]])))
    counts = weighted.confusion(np.array([0, 0]), np.array([0, 1]), 3)
    np.testing.assert_array_equal(weighted.recalls(counts), [[0.5, np.nan, np.nan]])
    np.testing.assert_array_equal(weighted.precisions(counts), [[1.0, 0.0, np.nan]])
    assert weighted.balanced_accuracy(counts).tolist() == [0.5]


@pytest.mark.parametrize("seed", SEEDS)
def test_f1_of_classes_that_are_absent_is_that_of_scikit_learn(seed: int) -> None:
    """Of six classes, 4 is predicted and never true, 5 neither; in the second resample no drawn row is predicted 4."""
    given = random_predictions(seed)
    predicted = given.predicted.copy()
    predicted[-3:] = 4
    weights = given.weights.copy()
    weights[:, -3:] = [1, 2, 1]
    weights[1, -3:] = 0
    counts = weighted.confusion(given.targets, predicted, 6, weights)
    for index, row in enumerate(weights):
        drawn = np.repeat(np.arange(len(row)), row.astype(int))
        truth, said = given.targets[drawn], predicted[drawn]
        there = np.union1d(truth, said)
        each = np.full(6, np.nan)
        each[there] = metrics.f1_score(truth, said, average=EACH, labels=there)
        assert np.isnan(each).tolist() == [False] * 4 + [index == 1, True]
        np.testing.assert_allclose(weighted.f1_scores(counts)[index], each, rtol=0, atol=1e-9)
        for ours, average in ((weighted.macro_f1, "macro"), (weighted.weighted_f1, "weighted")):
            expected = metrics.f1_score(truth, said, average=average)
            assert ours(counts)[index] == pytest.approx(expected, abs=1e-9)
