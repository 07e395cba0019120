"""The bootstrap over lesions: how it draws, and whether its intervals are as wide as they should be."""

from collections.abc import Callable

import numpy as np
import pytest

from derm.measures.bootstrap import group_weights, intervals


def mean_of(values: np.ndarray) -> Callable[[np.ndarray | None], dict[str, np.ndarray]]:
    def measure(weights: np.ndarray | None) -> dict[str, np.ndarray]:
        given = np.ones((1, len(values))) if weights is None else weights
        return {"mean": given @ values / given.sum(axis=1)}

    return measure


def interval(values: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    row = intervals(mean_of(values), weights, "test").iloc[0]
    return row["value"], row["low"], row["high"]


def test_every_stratum_keeps_its_number_of_groups_and_a_group_stays_whole() -> None:
    generator = np.random.default_rng(0)
    groups = generator.integers(0, 40, 150).astype(str)
    of_group = {group: generator.integers(0, 3) for group in np.unique(groups)}
    strata = np.array([of_group[group] for group in groups])
    weights = group_weights(groups, strata, 200, seed=1)
    assert weights.shape == (200, 150)
    first = np.array([np.flatnonzero(groups == group)[0] for group in groups])
    np.testing.assert_array_equal(weights, weights[:, first])
    one_a_group = np.unique(first)
    for stratum in range(3):
        rows = one_a_group[strata[one_a_group] == stratum]
        assert (weights[:, rows].sum(axis=1) == len(rows)).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.35)  # each is drawn once on average
    assert (weights == weights.round()).all() and weights.min() == 0 and weights.max() > 2


def test_a_lesion_of_two_classes_is_drawn_as_one() -> None:
    weights = group_weights(np.array(["b", "a", "a"]), np.array([1, 0, 1]), 50, seed=0)
    np.testing.assert_array_equal(weights, np.ones((50, 3)))  # each stratum has one group: it is always drawn


def test_the_seed_decides() -> None:
    groups, strata = np.arange(30), np.zeros(30)
    np.testing.assert_array_equal(group_weights(groups, strata, 5, 1), group_weights(groups, strata, 5, 1))
    assert (group_weights(groups, strata, 5, 1) != group_weights(groups, strata, 5, 2)).any()


def test_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    values = np.random.default_rng(3).normal(size=400)
    value, low, high = interval(values, group_weights(np.arange(400), np.zeros(400), 2000, seed=1))
    error = values.std() / np.sqrt(400)
    assert value == pytest.approx(values.mean())
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_repeated_photographs_do_not_make_the_interval_narrower() -> None:
    """Four copies of each row: drawn by lesion the interval is as before, drawn by row it would be half as wide."""
    values = np.random.default_rng(3).normal(size=200)
    copies, lesions = np.tile(values, 4), np.tile(np.arange(200), 4)
    widths = {}
    for name, groups in (("lesions", lesions), ("rows", np.arange(800))):
        _, low, high = interval(copies, group_weights(groups, np.zeros(800), 1500, seed=1))
        widths[name] = high - low
    _, low, high = interval(values, group_weights(np.arange(200), np.zeros(200), 1500, seed=1))
    assert widths["lesions"] == pytest.approx(high - low, rel=0.02)
    assert widths["rows"] == pytest.approx((high - low) / 2, rel=0.1)


def test_nineteen_of_twenty_intervals_hold_the_truth() -> None:
    """300 datasets of 60 lesions, two photographs each; 95 % give or take what 300 trials allow (and n = 60)."""
    generator = np.random.default_rng(5)
    held = 0
    for seed in range(300):
        lesions = np.repeat(generator.normal(loc=2.0, size=60), 2)
        weights = group_weights(np.repeat(np.arange(60), 2), np.zeros(120), 300, seed)
        low, high = np.percentile(mean_of(lesions)(weights)["mean"], [2.5, 97.5])
        held += low <= 2.0 <= high
    assert 0.90 < held / 300 < 0.98


def test_resampling_lesions_covers_a_recall_and_resampling_images_does_not() -> None:
    """400 datasets of 60 lesions with 1, 2 or 6 photographs, of which all but one in ten are right or wrong together:
    the 95 % interval of the share that is right."""
    generator, truth, covered = np.random.default_rng(8), 0.7, {"lesions": 0, "images": 0}
    for seed in range(400):
        lesions = np.repeat(np.arange(60), generator.choice([1, 2, 6], 60))
        own, alone = generator.random(60) < truth, generator.random(len(lesions)) < truth
        right = np.where(generator.random(len(lesions)) < 0.1, alone, own[lesions])
        for name, groups in (("lesions", lesions), ("images", np.arange(len(lesions)))):
            drawn = mean_of(right.astype(float))(group_weights(groups, np.zeros(len(lesions)), 300, seed))["mean"]
            low, high = np.percentile(drawn, [2.5, 97.5])
            covered[name] += low <= truth <= high
    assert 0.90 < covered["lesions"] / 400 < 0.98
    assert covered["images"] / 400 < 0.8


def test_numbers_that_cannot_be_computed() -> None:
    """NaN in some resamples is passed over; NaN in all stays NaN."""

    def measure(weights: np.ndarray | None) -> dict[str, np.ndarray]:
        count = 1 if weights is None else len(weights)
        sometimes = np.where(np.arange(count) % 2 == 1, np.nan, 1.0)
        return {"sometimes": sometimes, "never": np.full(count, np.nan)}

    numbers = intervals(measure, np.ones((250, 3)), "test")[["value", "low", "high"]].to_numpy()
    np.testing.assert_array_equal(numbers, [[1.0, 1.0, 1.0], [np.nan, np.nan, np.nan]])


def test_all_resamples_count_whatever_the_chunks() -> None:
    """Of the numbers 0 to 200, 2.5 % lie below 5 and 2.5 % above 195."""

    def measure(weights: np.ndarray | None) -> dict[str, np.ndarray]:
        return {"drawn": np.ones(1) if weights is None else weights[:, 0]}

    row = intervals(measure, np.arange(201.0)[:, None], "test").iloc[0]
    assert (row["value"], row["low"], row["high"]) == (1.0, 5.0, 195.0)
