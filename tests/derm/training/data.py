"""Small params, losses and parts for tests of the training."""

from typing import Any

import numpy as np
import torch

from derm.heads.head import Member
from derm.heads.inputs import Inputs
from derm.losses import LossParams, TrainingLoss
from derm.training.data import TrainingData
from derm.training.params import TrainParams
from tests.derm.heads.data import inputs, shape, table

# As in params.yaml.
LOSS: dict[str, Any] = {
    "gamma": 0.0,
    "alpha": None,
    "label_smoothing": 0.0,
    "tau": 0.0,
    "class_weights": "none",
    "effective_beta": 0.999,
    "melanoma_boost": 1.0,
}
TRAIN: dict[str, Any] = {
    "seed": 1,
    "members": 1,
    "sampling": "natural",
    "l2": [1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003],
    "max_iterations": 300,
    "epochs": 60,
    "batch_size": 128,
    "learning_rate": 0.001,
    "least_learning_rate": 0.0,
    "weight_decay": 0.01,
    "schedule": "cosine",
    "warmup_epochs": 3,
    "restart_epochs": 20,
    "clip_norm": 0.0,
    "mixup": 0.0,
    "noise": 0.0,
    "averaging": 0.0,
    "monitor": "loss",
    "patience": 10,
}


def params(**changes: Any) -> TrainParams:
    """Section `train` as in params.yaml, but for the changes."""
    return TrainParams.model_validate(TRAIN | changes)


def loss_params(**changes: Any) -> LossParams:
    """Section `loss` as in params.yaml, but for the changes."""
    return LossParams.model_validate(LOSS | changes)


def plain_loss(classes: int = 3) -> TrainingLoss:
    """Cross-entropy."""
    ones = torch.ones(classes, dtype=torch.float64)
    return TrainingLoss(loss_params(), ones, -ones.mul(classes).log())


def parts(
    train: tuple[np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray],
    loss: TrainingLoss | None = None,
    positive: int | None = None,
) -> TrainingData:
    """Features [n, dim] of one view, or [n, views, dim], and targets of the two parts."""
    return TrainingData(
        train=viewed(train[0]),
        train_targets=train[1],
        val=viewed(val[0]),
        val_targets=val[1],
        loss=loss or plain_loss(int(train[1].max()) + 1),
        positive=positive,
    )


def viewed(features: np.ndarray) -> Inputs:
    """Features [n, dim] as those of one view; those with views as they are."""
    return inputs(features if features.ndim > 2 else features[:, None])


def training_data(loss: TrainingLoss | None = None, positive: int | None = None) -> TrainingData:
    """240 images to train on and 120 to choose by, of three classes; 8 features."""
    return parts(table(240, 1), table(120, 2), loss, positive)


def standardised_member(given: TrainingData, **changes: Any) -> Member:
    """A member whose means and scales are those of the training part; changes: as for `shape`."""
    made = Member(shape(given.train.channels, given.classes, **changes))
    made.set_standardisation(*given.train.moments())
    return made
