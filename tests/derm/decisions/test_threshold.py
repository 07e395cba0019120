"""The flag's threshold, over many random sets of positives."""

import numpy as np
import pytest

from derm.decisions.threshold import threshold_for_sensitivity


def test_by_hand() -> None:
    positives = np.array([0.9, 0.1, 0.5, 0.3])
    reached = {s: threshold_for_sensitivity(positives, s) for s in (0.25, 0.26, 0.5, 0.75, 0.76, 0.95)}
    assert reached == {0.25: 0.9, 0.26: 0.5, 0.5: 0.5, 0.75: 0.3, 0.76: 0.1, 0.95: 0.1}


def test_reaches_the_sensitivity_and_nothing_higher_does() -> None:
    generator = np.random.default_rng(0)
    for _ in range(500):
        positives = generator.beta(0.5, 1.5, size=generator.integers(1, 60))
        if generator.random() < 0.5:
            positives = np.round(positives, 1)  # ties
        sensitivity = float(generator.choice([0.01, 0.5, 0.8, 0.9, 0.95, 0.99, generator.uniform(0.01, 0.99)]))
        threshold = threshold_for_sensitivity(positives, sensitivity)
        assert (positives >= threshold).mean() >= sensitivity - 1e-9
        for higher in np.unique(positives[positives > threshold + 2e-6]):
            assert (positives >= higher).mean() < sensitivity


@pytest.mark.parametrize("count", [10, 20, 40, 100, 1000])
def test_a_share_that_is_a_whole_number_of_images_is_met_exactly(count: int) -> None:
    """0.55 * 100 is 55.00000000000001 in floating point: it may not cost an image more."""
    positives = (np.arange(count) + 1) / (count + 1)
    for sensitivity in (0.1, 0.3, 0.7, 0.9) if count < 100 else (0.07, 0.14, 0.55, 0.56, 0.95):
        threshold = threshold_for_sensitivity(positives, sensitivity)
        assert (positives >= threshold).sum() == round(sensitivity * count)


def test_rounded_down_to_what_is_stored_so_that_the_last_positive_is_kept() -> None:
    threshold = threshold_for_sensitivity(np.array([0.12345678, 0.9]), 0.95)
    assert threshold == 0.123456
    assert round(0.12345678, 6) >= threshold


def test_probabilities_of_0_are_all_flagged() -> None:
    assert threshold_for_sensitivity(np.zeros(3), 0.95) == 0.0
