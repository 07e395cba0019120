"""Prediction sets: thresholds by hand, and the share that is promised."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from derm.decisions.conformal import ConformalParams, as_sets, as_text, class_scores, fit_conformal, prediction_sets
from derm.lesions import lesions_of, one_of_each


def params(alpha: float = 0.1, seed: int = 1) -> ConformalParams:
    return ConformalParams(alpha=alpha, seed=seed)


def test_thresholds_by_hand() -> None:
    """Class 0: probabilities of the truth .9, .5, .1; with alpha .5 the ceil(4 / 2) = 2nd smallest score: -log .5.
    Class 1: .8 alone; ceil(2 / 2) = the 1st. All: .9, .8, .5, .1; ceil(5 / 2) = the 3rd: -log .5."""
    logits = np.log([[0.9, 0.1], [0.5, 0.5], [0.1, 0.9], [0.2, 0.8]])
    fitted = fit_conformal(logits, np.array([0, 0, 0, 1]), np.arange(4), params(0.5))
    assert fitted.thresholds == pytest.approx([-math.log(0.5), -math.log(0.8)], abs=1e-6)
    assert fitted.marginal == pytest.approx(-math.log(0.5), abs=1e-6)
    assert (fitted.lesions, fitted.missing) == ([3, 1], [0, 0])
    given = np.log([[0.5, 0.5], [0.2, 0.8], [0.49, 0.51]])
    assert prediction_sets(given, fitted).tolist() == [[True, False], [False, True], [False, False]]
    assert prediction_sets(given, fitted, marginal=True).tolist() == [[True, True], [False, True], [False, True]]


@pytest.mark.parametrize(("alpha", "needed"), [(0.1, 9), (0.05, 19), (0.5, 1), (0.3, 3)])
def test_how_many_lesions_are_missing(alpha: float, needed: int) -> None:
    """1 / alpha - 1, rounded up: with so many the rank ceil((n + 1)(1 - alpha)) is at most n, with one less not."""
    for count, missing in ((needed, 0), (needed - 1, 1)):
        logits, targets = np.random.default_rng(0).normal(size=(count + 3, 2)), np.r_[np.zeros(3), np.ones(count)]
        fitted = fit_conformal(logits, targets.astype(int), np.arange(count + 3), params(alpha))
        assert fitted.missing[1] == missing
        assert (math.ceil((count + 1) * (1 - alpha) - 1e-9) <= count) == (missing == 0)
        if missing and count:
            assert fitted.thresholds[1] == class_scores(logits)[3:, 1].max()


def test_a_class_without_lesions_is_in_every_set() -> None:
    logits = np.random.default_rng(0).normal(size=(20, 3))
    fitted = fit_conformal(logits, np.zeros(20, dtype=int) + np.arange(20) % 2, np.arange(20), params())
    assert prediction_sets(logits, fitted)[:, 2].all() and fitted.missing[2] == 9


def test_of_each_lesion_one_image_counts_and_the_seed_says_which() -> None:
    lesions = np.array(["b", "a", "b", "c", "b", "a"])
    drawn = [one_of_each(lesions, seed) for seed in range(200)]
    assert all(sorted(lesions[rows]) == ["a", "b", "c"] for rows in drawn)
    taken = np.bincount(np.concatenate(drawn), minlength=6) / 200
    np.testing.assert_allclose(taken, [1 / 3, 1 / 2, 1 / 3, 1, 1 / 3, 1 / 2], atol=0.12)
    np.testing.assert_array_equal(drawn[3], one_of_each(lesions, 3))


@pytest.mark.parametrize("alpha", [0.1, 0.2])
def test_each_class_is_covered_as_promised_over_many_draws(alpha: float) -> None:
    """Of skewed classes, with a head that is wrong about two of them; n of 12, 40 and 200 lesions."""
    counts, shift, generator = (12, 40, 200), np.array([-1.0, 0.5, 0.0]), np.random.default_rng(1)
    covered = np.zeros((400, 3))
    for draw in range(400):
        targets = np.repeat([0, 1, 2], [2 * count for count in counts])
        logits = 2 * np.eye(3)[targets] + shift + 1.5 * generator.normal(size=(len(targets), 3))
        fitting = np.concatenate([np.flatnonzero(targets == k)[:count] for k, count in enumerate(counts)])
        left = np.setdiff1d(np.arange(len(targets)), fitting)
        fitted = fit_conformal(logits[fitting], targets[fitting], fitting, params(alpha))
        hit = prediction_sets(logits[left], fitted)[np.arange(len(left)), targets[left]]
        covered[draw] = [hit[targets[left] == k].mean() for k in range(3)]
    promised = [math.ceil((count + 1) * (1 - alpha) - 1e-9) / (count + 1) for count in counts]
    np.testing.assert_allclose(covered.mean(axis=0), promised, atol=0.015)


def test_scores_are_of_softmax() -> None:
    logits = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(class_scores(logits), -np.log(softmax(logits, axis=1)), atol=1e-6)


def test_sets_as_text_and_back() -> None:
    sets = np.array([[True, False, True], [False, False, False], [False, True, False]])
    texts = as_text(sets, ["bcc", "mel", "nv"])
    assert texts == ["bcc|nv", "", "mel"]
    np.testing.assert_array_equal(as_sets(pd.Series(texts), ["bcc", "mel", "nv"]), sets)


def test_a_lesion_is_its_name_or_its_group() -> None:
    rows = pd.DataFrame({"lesion_id": ["a", "", "a"], "group": ["g1", "g2", "g1"]})
    assert lesions_of(rows).tolist() == ["a", "g2", "a"]
