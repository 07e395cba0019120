"""Metrics as functions of row weights: weights of 1 give the value, a bootstrap's counts give its resamples.

Everywhere: targets and predictions int [n]; probabilities float [n, classes]; weights float [resamples, n], or None for
one row of ones; the result is float [resamples]. A metric that cannot be computed (no positive, nothing predicted) is
NaN. Checked against scikit-learn with `sample_weight` in the tests.
"""

import numpy as np


def unit_weights(count: int, weights: np.ndarray | None) -> np.ndarray:
    """The given weights, or one row of ones."""
    return np.ones((1, count)) if weights is None else weights


def confusion(
    targets: np.ndarray, predicted: np.ndarray, classes: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """Weighted counts [resamples, true class, predicted class]."""
    cells = np.zeros((len(targets), classes * classes))
    cells[np.arange(len(targets)), targets * classes + predicted] = 1
    return (unit_weights(len(targets), weights) @ cells).reshape(-1, classes, classes)


def accuracy(counts: np.ndarray) -> np.ndarray:
    """Share of rows on the diagonal of `confusion`."""
    return _ratio(np.trace(counts, axis1=1, axis2=2), counts.sum(axis=(1, 2)))


def balanced_accuracy(counts: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that occur."""
    return np.nanmean(recalls(counts), axis=1)


def recalls(counts: np.ndarray) -> np.ndarray:
    """Recall by class [resamples, classes]."""
    return _ratio(np.diagonal(counts, axis1=1, axis2=2), counts.sum(axis=2))


def precisions(counts: np.ndarray) -> np.ndarray:
    """Precision by class [resamples, classes]."""
    return _ratio(np.diagonal(counts, axis1=1, axis2=2), counts.sum(axis=1))


def specificities(counts: np.ndarray) -> np.ndarray:
    """Specificity by class, one against the rest [resamples, classes]."""
    total = counts.sum(axis=(1, 2))[:, None]
    true, said = counts.sum(axis=2), counts.sum(axis=1)
    hits = np.diagonal(counts, axis1=1, axis2=2)
    return _ratio(total - true - said + hits, total - true)


def f1_scores(counts: np.ndarray) -> np.ndarray:
    """F1 by class [resamples, classes]; NaN where a class is neither true nor predicted."""
    hits = np.diagonal(counts, axis1=1, axis2=2)
    return _ratio(2 * hits, counts.sum(axis=1) + counts.sum(axis=2))


def macro_f1(counts: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes that are true or predicted."""
    return np.nanmean(f1_scores(counts), axis=1)


def weighted_f1(counts: np.ndarray) -> np.ndarray:
    """Mean F1, each class by its share of the true labels."""
    support = counts.sum(axis=2)
    return _ratio(np.nansum(f1_scores(counts) * support, axis=1), support.sum(axis=1))


def area_under_roc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Area under the ROC curve of scores [n] for bool [n]; ties count half."""
    hits, alarms = cumulative(scores, positive, unit_weights(len(scores), weights))
    area = (np.diff(alarms, prepend=0.0) * (hits + _shifted(hits)) / 2).sum(axis=1)
    return _ratio(area, hits[:, -1] * alarms[:, -1])


def partial_area_under_roc(
    scores: np.ndarray, positive: np.ndarray, least_sensitivity: float = 0.8, weights: np.ndarray | None = None
) -> np.ndarray:
    """Area under the ROC curve and above a sensitivity, the measure of the ISIC 2024 challenge: 0 to 1 - least."""
    hits, alarms = cumulative(scores, positive, unit_weights(len(scores), weights))
    above = hits - least_sensitivity * hits[:, -1:]
    before = _shifted(hits) - least_sensitivity * hits[:, -1:]
    width = np.diff(alarms, prepend=0.0)
    rise = above - before
    # Of a line that crosses the level only the end above it counts.
    share = np.where(before >= 0, 1.0, np.divide(above, rise, out=np.zeros_like(rise), where=rise > 0)).clip(0, 1)
    area = (width * share * (above.clip(0) + before.clip(0)) / 2).sum(axis=1)
    return _ratio(area, hits[:, -1] * alarms[:, -1])


def average_precision(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Sum of precision times the step in recall, one step for each distinct score."""
    hits, alarms = cumulative(scores, positive, unit_weights(len(scores), weights))
    precision = np.nan_to_num(_ratio(hits, hits + alarms))
    return _ratio((np.diff(hits, prepend=0.0) * precision).sum(axis=1), hits[:, -1])


def specificity_at_sensitivity(
    scores: np.ndarray, positive: np.ndarray, sensitivity: float, weights: np.ndarray | None = None
) -> np.ndarray:
    """The highest specificity among thresholds whose sensitivity is at least the given one."""
    hits, alarms = cumulative(scores, positive, unit_weights(len(scores), weights))
    enough = hits >= sensitivity * hits[:, -1:] - 1e-9
    fewest = np.where(enough, alarms, np.inf).min(axis=1)
    return np.where(hits[:, -1] > 0, 1 - _ratio(fewest, alarms[:, -1]), np.nan)


def sensitivity_at_specificity(
    scores: np.ndarray, positive: np.ndarray, specificity: float, weights: np.ndarray | None = None
) -> np.ndarray:
    """The highest sensitivity among thresholds whose specificity is at least the given one."""
    hits, alarms = cumulative(scores, positive, unit_weights(len(scores), weights))
    allowed = alarms <= (1 - specificity) * alarms[:, -1:] + 1e-9
    most = np.where(allowed, hits, 0.0).max(axis=1)
    return np.where(alarms[:, -1] > 0, _ratio(most, hits[:, -1]), np.nan)


def negative_log_likelihood(
    probabilities: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Mean of -log p of the true class (p not below 1e-15)."""
    loss = -np.log(np.maximum(probabilities[np.arange(len(targets)), targets], 1e-15))
    return _mean(loss, weights)


def brier_score(probabilities: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean squared distance to the one-hot truth, summed over classes (0 to 2; Brier 1950)."""
    truth = np.eye(probabilities.shape[1])[targets]
    return _mean(((probabilities - truth) ** 2).sum(axis=1), weights)


def expected_calibration_error(
    probabilities: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None, bins: int = 15
) -> np.ndarray:
    """Mean gap between confidence and accuracy over equal-width bins of the top probability (Guo et al. 2017)."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == targets
    weights = unit_weights(len(targets), weights)
    in_bin = np.eye(bins)[np.minimum((confidence * bins).astype(int), bins - 1)]
    gaps = np.abs(weights @ (in_bin * (confidence - correct)[:, None]))
    return _ratio(gaps.sum(axis=1), weights.sum(axis=1))


def _mean(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    weights = unit_weights(len(values), weights)
    return _ratio(weights @ values, weights.sum(axis=1))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.broadcast(above, below).shape, np.nan), where=below > 0)


def _shifted(values: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros((len(values), 1)), values[:, :-1]], axis=1)


def cumulative(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives [resamples, distinct scores] as the threshold falls from the highest score down."""
    order = np.argsort(-scores, kind="stable")
    last_of_its_score = np.append(np.diff(scores[order]) != 0, True)
    ordered = weights[:, order]
    hits = np.cumsum(ordered * positive[order], axis=1)[:, last_of_its_score]
    alarms = np.cumsum(ordered * ~positive[order], axis=1)[:, last_of_its_score]
    return hits, alarms
