"""What early stopping looks at, by hand."""

import math
from typing import Any

import pytest

from derm.errors import UserError
from derm.training.monitor import score

ROW: dict[str, Any] = {
    "step": 3,
    "train_loss": 0.1,
    "val_loss": 0.75,
    "val_balanced_accuracy": 0.6,
    "val_macro_f1": 0.5,
    "val_sensitivity": 0.9,
}


def test_each_by_hand() -> None:
    assert score(ROW, "loss") == -0.75
    assert score(ROW, "balanced_accuracy") == 0.6
    assert score(ROW, "macro_f1") == ROW["val_macro_f1"]
    assert score(ROW, "hybrid") ** 2 == pytest.approx(ROW["val_sensitivity"] * ROW["val_macro_f1"])


def test_the_hybrid_is_not_won_by_calling_everything_melanoma() -> None:
    """One in ten is a melanoma, seven classes: sensitivity 1, and macro F1 (2 x 0.1 / 1.1) / 7. Their plain mean would
    be .51, above the .50 of a head that finds every third one and knows the other classes."""
    everything = ROW | {"val_sensitivity": 1.0, "val_macro_f1": 2 * 0.1 / 1.1 / 7}
    useful = ROW | {"val_sensitivity": 0.35, "val_macro_f1": 0.65}
    assert score(useful, "hybrid") > 2 * score(everything, "hybrid")


@pytest.mark.parametrize("change", [{}, {"val_sensitivity": math.nan}])
def test_hybrid_needs_a_positive_class_with_images_on_val(change: dict[str, float]) -> None:
    row = {key: value for key, value in ROW.items() if key != "val_sensitivity"} | change
    with pytest.raises(UserError, match=r"^train\.monitor .*task\.positive.*$"):
        score(row, "hybrid")
    assert score(row, "loss") == -0.75
