"""The focal family: cross-entropy is the member with gamma 0."""

import torch
from pydantic import Field

from derm.params import Section
from derm.weighting import ClassWeighting


class LossParams(Section):
    """Section `loss`: what training minimises."""

    gamma: float = Field(ge=0, le=10)
    label_smoothing: float = Field(ge=0, lt=1)
    class_weights: ClassWeighting
    melanoma_boost: float = Field(gt=0, le=100)


def focal_loss(
    logits: torch.Tensor, targets: torch.Tensor, class_weights: torch.Tensor, gamma: float, label_smoothing: float
) -> torch.Tensor:
    """Weighted mean of ``-sum_k q_k (1 - p_k)^gamma log p_k`` (Lin et al. 2017, arXiv 1708.02002, over soft targets).

    logits: [n, classes]; targets: int64 [n]; class_weights: [classes], by the true class of each row.
    q is one-hot, or with label smoothing s (Szegedy et al. 2016): 1 - s + s/classes for the true class, s/classes for
    the others. gamma 0 is cross-entropy. Returns a scalar, divided by the sum of the rows' weights.
    """
    log_p = torch.log_softmax(logits, dim=1)
    loss = -log_p
    if gamma > 0:
        # The floor keeps the gradient finite where p is 1 and gamma under 1.
        loss = loss * (-torch.expm1(log_p)).clamp_min(1e-12) ** gamma
    per_row = (1 - label_smoothing) * loss.gather(1, targets[:, None])[:, 0] + label_smoothing * loss.mean(dim=1)
    row_weights = class_weights[targets]
    return (row_weights * per_row).sum() / row_weights.sum()
