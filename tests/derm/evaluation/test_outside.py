"""The share of images outside agrees with hand-computed numbers, and the picture shows one image of each lesion."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from derm.evaluation.outside import outside_figure, outside_numbers, write_outside
from derm.measures.bootstrap import group_weights
from derm.out_of_distribution.distance import Threshold

THRESHOLD = Threshold(score=3.0, share=0.95, lesions=40)
SCORES = np.r_[np.linspace(1, 3, 16), [3.5, 4.0, 4.5, 5.0]]
TOLD = pd.DataFrame({"ood_score": SCORES, "ood": (SCORES > 3).astype(int)})
# The last four images are of one lesion.
LESIONS = np.array([f"l{min(number, 16)}" for number in range(20)])
ROWS = pd.DataFrame({"lesion_id": LESIONS, "group": LESIONS})


def test_the_share_is_that_of_the_images_drawn() -> None:
    outside = np.array([1, 0, 0, 1])
    assert outside_numbers(outside)["ood.outside"].tolist() == [0.5]
    drawn = np.array([[3.0, 1, 0, 0], [0, 2, 2, 0], [1, 1, 1, 2]])
    np.testing.assert_allclose(outside_numbers(outside, drawn)["ood.outside"], [0.75, 0, 0.6])


def test_value_interval_and_picture_are_written(tmp_path: Path) -> None:
    weights = group_weights(LESIONS, np.zeros(20, int), 400, 1)
    table = write_outside(TOLD, ROWS, THRESHOLD, weights, 1, tmp_path, "test")
    assert list(table["metric"]) == ["ood.outside"] and table["value"][0] == 0.2
    # the one lesion is drawn with all four of its images, or not at all
    shares = weights[:, 16:].sum(axis=1) / weights.sum(axis=1)
    np.testing.assert_allclose([table["low"][0], table["high"][0]], np.percentile(shares, [2.5, 97.5]))
    assert (tmp_path / "ood_test.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_counts_lesions_and_names_the_threshold() -> None:
    figure = outside_figure(TOLD.iloc[:17], THRESHOLD, "val")
    (axes,) = figure.axes
    bars = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
    assert sum(bar.get_height() for bar in bars) == 17
    assert any(abs(bar.get_x() - 3) < 1e-9 for bar in bars), "a bar lies on both sides of the threshold"
    words = " ".join(text.get_text() for text in figure.legends[0].get_texts())
    # Wilson's interval of 1 in 17 by hand: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)
    assert "inside: 16 lesions" in words and "outside: 5.9% [1.0%, 27.0%]" in words
    assert "95% of 40 calibration lesions" in words
    assert axes.get_xlabel() and axes.get_ylabel() == "lesions" and "17 lesions" in axes.get_title()


@pytest.mark.parametrize("rows", [slice(5), slice(15, 16), slice(19, 20)])
def test_nobody_outside_a_single_lesion_and_all_outside_can_be_drawn(rows: slice) -> None:
    assert outside_figure(TOLD.iloc[rows], THRESHOLD, "val").axes[0].get_title()
