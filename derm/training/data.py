"""What every way of training a head is given."""

from dataclasses import dataclass

import numpy as np

from derm.heads.inputs import Inputs
from derm.losses import TrainingLoss


@dataclass(frozen=True)
class TrainingData:
    """Inputs and targets int64 [n] of the training part and of val, and the loss.

    Training draws among an image's views, or takes each of them as an image; on val its logits are their mean.
    positive: the index of `task.positive`, or None.
    """

    train: Inputs
    train_targets: np.ndarray
    val: Inputs
    val_targets: np.ndarray
    loss: TrainingLoss
    positive: int | None

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.loss.weights)
