"""Learning curves: one row a step."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch

from derm.measures.weighted import balanced_accuracy, confusion, macro_f1, recalls
from derm.training.data import Targets


@dataclass
class Curves:
    """One row a step, and whatever facts the way of training adds to it."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, data: Targets, train_loss: float, val_logits: torch.Tensor, **facts: float) -> dict[str, Any]:
        """One step more, which is returned. val_logits [n, classes], as the loss sees them."""
        targets = torch.from_numpy(data.val_targets)
        counts = confusion(data.val_targets, val_logits.argmax(1).numpy(), data.classes)
        row: dict[str, Any] = {
            "step": len(self.rows),
            "train_loss": train_loss,
            "val_loss": float(data.part_loss(val_logits, targets)),
            "val_balanced_accuracy": float(balanced_accuracy(counts)[0]),
            "val_macro_f1": float(macro_f1(counts)[0]),
        }
        if data.positive is not None:
            row["val_sensitivity"] = float(recalls(counts)[0, data.positive])
        self.rows.append(row | facts)
        if data.watch is not None:
            data.watch(self.rows[-1])
        return self.rows[-1]

    def table(self) -> pd.DataFrame:
        """Columns: step, train_loss, val_loss, val_balanced_accuracy, val_macro_f1, val_sensitivity (of the positive
        class, if there is one), then the facts."""
        return pd.DataFrame(self.rows)
