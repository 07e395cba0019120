"""The focal family: cross-entropy is the member with gamma 0."""

from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field

from derm.errors import UserError
from derm.params import Section
from derm.weighting import ClassWeighting, class_weights


class LossParams(Section):
    """Section `loss`: what training minimises."""

    gamma: float = Field(ge=0, le=10)
    alpha: float | None = Field(gt=0, lt=1)
    label_smoothing: float = Field(ge=0, lt=1)
    tau: float = Field(ge=0, le=5)
    class_weights: ClassWeighting
    effective_beta: float = Field(gt=0, lt=1)
    melanoma_boost: float = Field(gt=0, le=100)


CROSS_ENTROPY = LossParams(
    gamma=0.0,
    alpha=None,
    label_smoothing=0.0,
    tau=0.0,
    class_weights="none",
    effective_beta=0.999,
    melanoma_boost=1.0,
)


@dataclass(frozen=True)
class TrainingLoss:
    """Logits [n, classes] and targets int64 [n] -> a scalar.

    weights: [classes], by the true class of each row. log_priors: [classes], of the training part's images.
    """

    params: LossParams
    weights: torch.Tensor
    log_priors: torch.Tensor

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        adjusted = logits + self.params.tau * self.log_priors.to(logits)
        return focal_loss(adjusted, targets, self.weights.to(logits), self.params.gamma, self.params.label_smoothing)

    def times(self, factors: torch.Tensor) -> "TrainingLoss":
        """The same loss with the weights multiplied by these; their mean over the training part is 1 again."""
        weights = self.weights * factors.to(self.weights)
        return TrainingLoss(self.params, weights / (weights * self.log_priors.exp()).sum(), self.log_priors)


def focal_loss(
    logits: torch.Tensor, targets: torch.Tensor, class_weights: torch.Tensor, gamma: float, label_smoothing: float
) -> torch.Tensor:
    """Mean of ``-w sum_k q_k (1 - p_k)^gamma log p_k`` (Lin et al. 2017, arXiv 1708.02002, over soft targets).

    logits: [n, classes]; targets: int64 [n]; class_weights: [classes], by the true class of each row.
    q is one-hot, or with label smoothing s (Szegedy et al. 2016): 1 - s + s/classes for the true class, s/classes for
    the others. gamma 0 is cross-entropy. Returns a scalar, divided by the number of rows: divided by the sum of a small
    batch's weights, as torch's weighted mean is, rare classes would count less than their weight says.
    """
    log_p = torch.log_softmax(logits, dim=1)
    loss = -log_p
    if gamma > 0:
        # The floor keeps the gradient finite where p is 1 and gamma under 1.
        loss = loss * (-torch.expm1(log_p)).clamp_min(1e-12) ** gamma
    per_row = (1 - label_smoothing) * loss.gather(1, targets[:, None])[:, 0] + label_smoothing * loss.mean(dim=1)
    return (class_weights[targets] * per_row).mean()


def training_loss(
    params: LossParams, targets: np.ndarray, classes: int, positive: int | None, section: str = "loss"
) -> TrainingLoss:
    """The loss for these targets of the training part, int [n], every class present; positive: `task.positive`.

    The positive class's weight is multiplied by `melanoma_boost`; `alpha` weighs it with alpha and all others with
    1 - alpha, as Lin et al. do for two classes. UserError, naming the key in `section`, if either is set and there is
    no positive class.
    """
    factors = np.ones(classes)
    if positive is None:
        for key, value, neutral in (("melanoma_boost", params.melanoma_boost, 1), ("alpha", params.alpha, None)):
            if value != neutral:
                told = "null" if neutral is None else neutral
                raise UserError(f"{section}.{key} weighs task.positive, which is null: set it to {told}")
    else:
        factors[positive] *= params.melanoma_boost
        if params.alpha is not None:
            factors *= np.where(np.arange(classes) == positive, params.alpha, 1 - params.alpha)
    weights = class_weights(targets, classes, params.class_weights, params.effective_beta, factors)
    priors = np.bincount(targets, minlength=classes) / len(targets)
    return TrainingLoss(params, torch.from_numpy(weights), torch.from_numpy(np.log(priors)))


def logit_offset(loss: TrainingLoss, sampling_factors: torch.Tensor) -> torch.Tensor:
    """What stands in a trained head's logits beside ``log p(class | image)``, up to a constant: float64 [classes].

    Weights and sampling multiply the classes' frequencies, so they add their logarithm (Elkan 2001); logit adjustment
    trains ``softmax(f + tau log prior)``, so f lacks ``tau log prior`` (Menon et al. 2021, arXiv 2007.07314).
    sampling_factors: how many times as often as by nature each class was drawn. Exact for cross-entropy.
    """
    return (loss.weights * sampling_factors).log() - loss.params.tau * loss.log_priors
