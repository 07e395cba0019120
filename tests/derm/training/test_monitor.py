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
    assert score(ROW, "hybrid") == pytest.approx(0.7)


@pytest.mark.parametrize("change", [{}, {"val_sensitivity": math.nan}])
def test_hybrid_needs_a_positive_class_with_images_on_val(change: dict[str, float]) -> None:
    row = {key: value for key, value in ROW.items() if key != "val_sensitivity"} | change
    with pytest.raises(UserError, match=r"^train\.monitor .*task\.positive.*$"):
        score(row, "hybrid")
    assert score(row, "loss") == -0.75
