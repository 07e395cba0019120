"""What training is given: targets and a loss; a head also the features that were made once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from derm.heads.inputs import Inputs
from derm.losses import TrainingLoss
from derm.training.params import Sampling
from derm.training.sampling import sampling_factors


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What is to be told of the training part and of val, int64 [n] each, and the loss.

    loss: of rows as training draws them; `part_loss`: of all rows of a part. positive: the index of `task.positive`, or
    None. sampling: how training draws. watch: is told each row of the learning curves as it comes.
    """

    train_targets: np.ndarray
    val_targets: np.ndarray
    loss: TrainingLoss
    positive: int | None
    sampling: Sampling = "natural"
    watch: Callable[[dict[str, Any]], None] | None = None

    @cached_property
    def part_loss(self) -> TrainingLoss:
        """The same objective on a whole part, such as val, in which nothing is drawn more or less often: there the
        classes count more or less instead."""
        if self.sampling == "natural":
            return self.loss
        return self.loss.times(sampling_factors(self.train_targets, self.classes, self.sampling))

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.loss.weights)


@dataclass(frozen=True, kw_only=True)
class TrainingData(Targets):
    """What every way of training a head is given: the targets, and the inputs of the training part and of val.

    Training draws among an image's views, or takes each of them as an image; on val its logits are their mean.
    """

    train: Inputs
    val: Inputs
