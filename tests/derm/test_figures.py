"""What figures tell beside their lines: n, intervals, units."""

import numpy as np
import pandas as pd

from derm.figures import confusion_matrix, curves_by_class, learning_curves, reliability


def words(figure: object) -> str:
    """All text of a figure."""
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in figure.findobj(Text))  # pyright: ignore[reportAttributeAccessIssue]


def test_confusion_matrix_tells_n_and_the_interval_of_each_class() -> None:
    targets, predicted = pd.Series([0, 0, 0, 1]), pd.Series([0, 0, 1, 1])
    plain = words(confusion_matrix(targets, predicted, ["mel", "nv"], "test"))
    assert "test (4 images)" in plain
    assert "mel (3)" in plain
    assert "95 %" not in plain
    # Resamples that draw the right ones of mel alone, and the wrong one alone.
    weights = np.array([[1.0, 1.0, 0.0, 1.0]] * 50 + [[0.0, 0.0, 1.0, 1.0]] * 50)
    with_intervals = words(confusion_matrix(targets, predicted, ["mel", "nv"], "test", weights))
    assert "0.67 [0.00, 1.00]" in with_intervals
    assert "1.00 [1.00, 1.00]" in with_intervals
    never = words(confusion_matrix(targets, predicted, ["mel", "nv", "df"], "test", weights))
    assert "df (0)" in never


def test_curves_tell_labels_and_draw_one_band() -> None:
    curve = pd.DataFrame({"sensitivity": [0.0, 1.0], "precision": [1.0, 0.5]})
    band = pd.DataFrame({"sensitivity": [0.0, 1.0], "low": [0.9, 0.4], "high": [1.0, 0.6]})
    curves = {"mel": curve, "nv": curve}
    figure = curves_by_class(curves, "sensitivity", "precision", "t", False, {"mel": "mel (3): 0.75"}, ("mel", band))
    assert "mel (3): 0.75" in words(figure)
    assert "band: 95 % of mel" in words(figure)
    assert len(figure.axes[0].collections) == 1
    plain = curves_by_class(curves, "sensitivity", "precision", "t", False)
    assert "95 %" not in words(plain)
    assert not plain.axes[0].collections


def test_reliability_tells_n() -> None:
    row = {"low": 0.4, "high": 0.6, "count": 7, "confidence": 0.5, "accuracy": 0.5}
    bins = pd.DataFrame([row | {"accuracy_low": 0.2, "accuracy_high": 0.8}])
    assert "after (7 images)" in words(reliability({"after": bins}, "t"))


def test_learning_curves_tell_n_and_axes() -> None:
    curves = pd.DataFrame({"step": [1, 2], "train_loss": 1.0, "val_loss": 1.0, "val_balanced_accuracy": 0.5})
    told = words(learning_curves(curves, 2, {"train": 1534, "val": 9}))
    for text in ("train (1,534 images)", "val (9 images)", "mean loss of an image", "kept: step 2"):
        assert text in told
