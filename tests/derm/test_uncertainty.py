"""Entropy, its split and intervals against scipy, numpy and cases known by hand."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from derm.calibration.scaling import NoCalibrator, TemperatureCalibrator
from derm.errors import UserError
from derm.heads.predict import member_logits
from derm.uncertainty import UncertaintyParams, logit_samples, uncertainty
from tests.derm.heads.data import inputs, random_head, shape

CLASSES = ["bkl", "mel", "nv"]


def drawn(samples: int = 9, images: int = 6, seed: int = 0) -> np.ndarray:
    return 2 * np.random.default_rng(seed).normal(size=(samples, images, len(CLASSES)))


def certain(*classes: int) -> np.ndarray:
    """One image, of which each sample is certain that it is of this class."""
    return np.where(np.arange(3) == np.array(classes)[:, None], 0.0, -2000.0)[:, None]


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
def test_the_parts_are_those_of_scipy(temperature: float) -> None:
    """The mutual information a second time, as the mean divergence of the samples from their mean."""
    samples = drawn()
    table = uncertainty(samples, TemperatureCalibrator(temperature=temperature), CLASSES)
    probabilities = softmax(samples / temperature, axis=2)
    mean = probabilities.mean(axis=0)
    np.testing.assert_allclose(table["entropy"], entropy(mean, axis=1))
    np.testing.assert_allclose(table["aleatoric"], np.mean([entropy(each, axis=1) for each in probabilities], axis=0))
    divergence = np.mean([entropy(each, mean, axis=1) for each in probabilities], axis=0)
    np.testing.assert_allclose(table["epistemic"], divergence, atol=1e-12)
    np.testing.assert_allclose(table["aleatoric"] + table["epistemic"], table["entropy"])


def test_intervals_are_percentiles_of_the_probabilities() -> None:
    samples = drawn(samples=41)
    table = uncertainty(samples, TemperatureCalibrator(temperature=2.0), CLASSES)
    # Of 41 sorted numbers the 2nd stands at 2.5 % and the 40th at 97.5 %.
    ordered = np.sort(softmax(samples / 2, axis=2), axis=0)
    for index, name in enumerate(CLASSES):
        np.testing.assert_allclose(table[f"low_{name}"], ordered[1, :, index])
        np.testing.assert_allclose(table[f"high_{name}"], ordered[39, :, index])
    assert list(table) == [
        *("entropy", "aleatoric", "epistemic"),
        *("low_bkl", "high_bkl", "low_mel", "high_mel", "low_nv", "high_nv"),
    ]


def test_samples_that_agree_leave_nothing_epistemic() -> None:
    table = uncertainty(np.repeat(drawn(samples=1), 7, axis=0), NoCalibrator(), CLASSES)
    np.testing.assert_allclose(table["epistemic"], 0, atol=1e-12)
    assert (table["epistemic"] >= 0).all()
    np.testing.assert_allclose(table["aleatoric"], table["entropy"])
    for name in CLASSES:
        np.testing.assert_allclose(table[f"low_{name}"], table[f"high_{name}"])


def test_two_that_are_certain_of_different_classes_are_all_epistemic() -> None:
    table = uncertainty(certain(0, 2), NoCalibrator(), CLASSES).iloc[0]
    assert table["aleatoric"] == pytest.approx(0, abs=1e-12)
    assert table["epistemic"] == pytest.approx(np.log(2))
    assert table["low_mel"] == table["high_mel"] == 0
    # Between 0 and 1, at 2.5 % and at 97.5 % of the way.
    assert (table["low_nv"], table["high_nv"]) == pytest.approx((0.025, 0.975))


def test_two_that_are_certain_of_the_same_class_leave_nothing() -> None:
    """And no -0 or NaN comes of the logarithm of 0."""
    table = uncertainty(certain(1, 1), NoCalibrator(), CLASSES).iloc[0]
    assert table[["entropy", "aleatoric", "epistemic"]].tolist() == [0, 0, 0]


def test_one_sample_has_an_entropy_and_nothing_else() -> None:
    samples = drawn(samples=1)
    table = uncertainty(samples, TemperatureCalibrator(temperature=1.5), CLASSES)
    np.testing.assert_allclose(table["entropy"], entropy(softmax(samples[0] / 1.5, axis=1), axis=1))
    assert table.drop(columns="entropy").isna().all(axis=None)


def given_of(passes: int, seed: int = 1) -> UncertaintyParams:
    return UncertaintyParams(passes=passes, seed=seed)


def test_without_passes_the_members_are_asked() -> None:
    head = random_head(shape(4, 3, type="mlp", hidden=[5], members=3))
    images = inputs(np.random.default_rng(0).normal(size=(6, 1, 4)))
    samples = logit_samples(head, images, given_of(0))
    assert samples.shape == (3, 6, 3)
    np.testing.assert_array_equal(samples, member_logits(head, images))


def test_passes_of_a_head_without_dropout_are_refused() -> None:
    images = inputs(np.zeros((2, 1, 4)))
    with pytest.raises(UserError, match=r"^uncertainty\.passes .*$"):
        logit_samples(random_head(shape(4, 3, type="linear")), images, given_of(5))


def test_the_error_of_the_passes_falls_as_one_over_their_root() -> None:
    """Sixteen times the passes, a quarter of the error: its root mean square over 60 seeds, which is itself known to
    one part in sqrt(2 x 60 x numbers), about a tenth as the numbers of one seed hang together."""
    head = random_head(shape(4, 3, type="mlp", hidden=[12], dropout=0.5))
    images = inputs(np.random.default_rng(0).normal(size=(8, 1, 4)))

    def told(passes: int, seed: int) -> np.ndarray:
        return softmax(logit_samples(head, images, given_of(passes, seed)), axis=2).mean(axis=0)

    truth = told(4000, 10_000)
    errors = {
        passes: np.sqrt(np.mean([np.square(told(passes, seed) - truth) for seed in range(60)])) for passes in (4, 64)
    }
    assert 3.3 < errors[4] / errors[64] < 4.8


def test_each_member_is_asked_with_every_pass_and_another_seed_draws_others() -> None:
    head = random_head(shape(4, 3, type="mlp", hidden=[12], members=2))
    images = inputs(np.random.default_rng(0).normal(size=(6, 1, 4)))
    one, again, other = (logit_samples(head, images, given_of(5, seed)) for seed in (1, 1, 2))
    assert one.shape == (10, 6, 3)
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other)
    # No two of the ten samples are alike.
    flat = log_softmax(one, axis=2).reshape(10, -1)
    assert len(np.unique(flat.round(9), axis=0)) == 10
