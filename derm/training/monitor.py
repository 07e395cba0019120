"""What early stopping looks at."""

import math
from typing import Any

from derm.errors import UserError
from derm.training.params import Monitor


def score(row: dict[str, Any], monitor: Monitor) -> float:
    """How good a step is on val, higher is better; row: of the learning curves.

    loss: minus the val loss. balanced_accuracy, macro_f1: of the largest logit. hybrid: the geometric mean of the
    positive class's sensitivity and macro F1, so that neither is bought with the other: their plain mean is won by an
    untrained head that calls everything melanoma. UserError without a positive class for it, or without an image of
    that class on val.
    """
    match monitor:
        case "loss":
            return -row["val_loss"]
        case "balanced_accuracy":
            return row["val_balanced_accuracy"]
        case "macro_f1":
            return row["val_macro_f1"]
        case "hybrid":
            if math.isnan(row.get("val_sensitivity", math.nan)):
                raise UserError(
                    "train.monitor is hybrid, which needs task.positive and images of it in val: set train.monitor=loss"
                )
            return math.sqrt(row["val_sensitivity"] * row["val_macro_f1"])
