"""Small feature tables for tests of the heads."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from derm.heads.training import TrainingData, TrainParams
from derm.losses import focal_loss


def params(**changes: Any) -> TrainParams:
    given: dict[str, Any] = {
        "seed": 3,
        "l2": [1.0, 0.1, 0.01, 0.001],
        "max_iterations": 500,
        "epochs": 40,
        "batch_size": 16,
        "learning_rate": 0.01,
        "weight_decay": 0.0,
        "warmup_epochs": 2,
        "patience": 40,
    }
    return TrainParams.model_validate(given | changes)


def loss_of(weights: list[float], gamma: float = 0.0) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    given = torch.tensor(weights, dtype=torch.float64)
    return lambda logits, targets: partial(focal_loss, gamma=gamma, label_smoothing=0.0)(
        logits, targets, given.to(logits.dtype)
    )


def table(rows: int, seed: int, dim: int = 8, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Strongly correlated features of very different size, and the targets that a noisy linear rule gives them."""
    generator = np.random.default_rng(seed)
    shape = np.random.default_rng(99)
    mixing, rule = shape.normal(size=(dim, dim)), shape.normal(size=(3, classes))
    hidden = generator.normal(size=(rows, 3))
    features = hidden @ mixing[:3] + 0.1 * generator.normal(size=(rows, dim))
    scores = 1.5 * hidden @ rule + generator.gumbel(size=(rows, classes))
    return features * np.logspace(-2, 2, dim) + np.arange(dim), scores.argmax(axis=1)


def data(loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None) -> TrainingData:
    return one_view(*table(240, 1), *table(120, 2), loss or loss_of([1.0, 1.0, 1.0]))


def one_view(
    train_features: np.ndarray,
    train_targets: np.ndarray,
    val_features: np.ndarray,
    val_targets: np.ndarray,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> TrainingData:
    """Features [n, dim], as those of the one view."""
    return TrainingData(train_features[:, None], train_targets, val_features[:, None], val_targets, loss)
