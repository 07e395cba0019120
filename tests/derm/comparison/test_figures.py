"""The forest plot: what stands where, and that nothing is cut off."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from derm.comparison.figures import LOOKS, forest
from derm.measures.paired import Comparison
from tests.derm.comparison.comparisons import comparison


def picture(figure: Figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return np.asarray(Image.open(buffer).convert("RGB"))


def points(figure: Figure) -> dict[str, tuple[float, str, bool]]:
    """Metric -> place on the axis, marker, whether it is filled; from the left panels."""
    found = {}
    for axes in figure.axes[::2]:
        labels = [text.get_text() for text in axes.get_yticklabels()]
        markers = [line for line in axes.lines if len(np.atleast_1d(line.get_xdata())) == 1]
        for label, line in zip(labels, markers, strict=True):
            (place,) = np.atleast_1d(line.get_xdata())
            found[label.split(" ")[0]] = (float(place), line.get_marker(), line.get_markerfacecolor() != "white")
    return found


def test_to_the_right_is_in_favour_of_b() -> None:
    found = points(forest(comparison()))
    assert {metric: round(place, 9) for metric, (place, _, _) in found.items()} == {
        "balanced_accuracy": 0.04,
        "nll": 0.05,  # lower by 0.05, which is better
        "melanoma.auc": -0.02,
        "ece": -0.01,
        "accuracy": 0.01,
    }


def test_it_can_be_read_without_colour() -> None:
    looks = {metric: (marker, filled) for metric, (_, marker, filled) in points(forest(comparison())).items()}
    assert looks["balanced_accuracy"] == looks["nll"] == (">", True)
    assert looks["melanoma.auc"] == ("<", True)
    assert looks["ece"] == looks["accuracy"] == ("o", False)
    assert len({colour for colour, _ in LOOKS.values()}) == 3


@pytest.mark.parametrize(("first", "top"), [("balanced_accuracy", 4), ("nll", 1)])
def test_the_primary_is_on_top_and_nll_has_an_axis_of_its_own(first: str, top: int) -> None:
    panels = forest(comparison(first=first)).axes[::2]
    rows = [[text.get_text().split(" ")[0] for text in axes.get_yticklabels()] for axes in panels]
    assert rows[0][0] == first and len(rows[0]) == top and len(rows[1]) == 5 - top
    assert panels[0].get_yticklabels()[0].get_fontweight() == "bold"
    assert ["nats" in axes.get_xlabel() for axes in panels] == [first == "nll", first != "nll"]


LONG = "an-experiment-with-a-name-that-goes-on-and-on-" * 3


@pytest.mark.parametrize(
    "given",
    [comparison(), comparison(names=(LONG + "a", "$x_1$")), comparison("fitted models", "differ", (LONG, LONG + "$"))],
    ids=["plain", "long", "longer"],
)
def test_nothing_is_cut_off_and_it_is_the_same_each_time(given: Comparison) -> None:
    pixels = picture(forest(given))
    assert 1000 < pixels.shape[1] < 1400 and 300 < pixels.shape[0] < 1000
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert edge.min() > 200
    np.testing.assert_array_equal(pixels, picture(forest(given)))


def test_a_long_metric_keeps_both_ends() -> None:
    given = comparison()
    given.table.loc[2, "metric"] = "pigmented benign keratosis and more.specificity_at_95_sensitivity"
    labels = [text.get_text() for text in forest(given).axes[0].get_yticklabels()]
    assert "pigmented benign k…ificity_at_95_sensitivity" in labels


def test_one_metric_alone() -> None:
    given = comparison()
    alone = Comparison(**{**vars(given), "table": given.table.head(1)})
    assert list(points(forest(alone))) == ["balanced_accuracy"]
