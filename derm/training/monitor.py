"""What early stopping looks at."""

import math
from dataclasses import dataclass
from typing import Any

from derm.errors import UserError
from derm.training.params import GradientParams, Monitor


@dataclass
class Best:
    """The best step so far. score: as `score` below, then minus the val loss: of equal ones the lower loss is better,
    for a hybrid is zero until the first melanoma is found. step: None before the first that has a finite val loss."""

    score: tuple[float, float] = (-math.inf, -math.inf)
    step: int | None = None

    def improved_by(self, row: dict[str, Any], params: GradientParams, section: str = "train") -> bool:
        """Whether a row of the learning curves is the best so far, which it then stands for."""
        found = (score(row, params.monitor, section), -row["val_loss"])
        if not math.isfinite(row["val_loss"]) or found <= self.score:
            return False
        self.score, self.step = found, row["step"]
        return True

    def is_over(self, step: int, patience: int) -> bool:
        """Whether it is too long ago for training to go on after `step`."""
        return step - (self.step or 0) >= patience


def score(row: dict[str, Any], monitor: Monitor, section: str = "train") -> float:
    """How good a step is on val, higher is better; row: of the learning curves; section: of params, for the error.

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
                    f"{section}.monitor is hybrid, which needs task.positive and images of it in val: set "
                    f"{section}.monitor=loss"
                )
            return math.sqrt(row["val_sensitivity"] * row["val_macro_f1"])
