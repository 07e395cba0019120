"""What every way of training a head is given and gives back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from derm.measures.weighted import balanced_accuracy, confusion
from derm.params import Section


class TrainParams(Section):
    """Section `train`: how the head is fitted. `l2` and `max_iterations` are the linear head's, the rest the mlp's."""

    seed: int = Field(ge=0, lt=2**63)
    l2: list[Annotated[float, Field(gt=0)]] = Field(min_length=1)
    max_iterations: int = Field(ge=1)
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    warmup_epochs: int = Field(ge=0)
    patience: int = Field(ge=1)


@dataclass(frozen=True)
class TrainingData:
    """Features float64 [n, views, dim] and targets int64 [n] of two parts, and the loss: (logits, targets) -> scalar.

    Training draws among an image's views, or takes each of them as an image; on val its logits are their mean.
    """

    train_features: np.ndarray
    train_targets: np.ndarray
    val_features: np.ndarray
    val_targets: np.ndarray
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass
class Curves:
    """Learning curves: one row a step, and whatever facts the way of training adds to it."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self, train_loss: float, val_logits: torch.Tensor, val_targets: torch.Tensor, val_loss: float, **facts
    ) -> None:
        """One step more."""
        counts = confusion(val_targets.numpy(), val_logits.argmax(1).numpy(), val_logits.shape[1])
        row = {"step": len(self.rows), "train_loss": train_loss, "val_loss": val_loss}
        self.rows.append(row | {"val_balanced_accuracy": float(balanced_accuracy(counts)[0])} | facts)

    def table(self) -> pd.DataFrame:
        """Columns: step, train_loss, val_loss, val_balanced_accuracy, then the facts."""
        return pd.DataFrame(self.rows)
