"""The linear head: full-batch L-BFGS in float64, with the L2 penalty chosen on val (CLIP's protocol, warm-started)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from derm.errors import UserError
from derm.heads.head import Member
from derm.optimise import minimise_lbfgs
from derm.training.curves import Curves
from derm.training.data import TrainingData
from derm.training.gradient import Fitted
from derm.training.params import TrainParams

# Mean curvature p (1 - p) of the softmax, roughly: only the speed depends on it.
CURVATURE = 0.1


@dataclass(frozen=True)
class Penalised:
    """A fit with one penalty. weight: float64 [classes, dim], bias: [classes], of standardised features."""

    l2: float
    weight: torch.Tensor
    bias: torch.Tensor
    converged: bool
    val_loss: float


def fit_linear(member: Member, data: TrainingData, params: TrainParams) -> Fitted:
    """Minimise ``loss + l2/2 ||W||^2`` (bias free) for each `train.l2`, and keep the one with the lowest val loss.

    The penalties are tried from the strongest down, until one is worse on val than the one before it.

    member: linear, standardisation set. The loss is the mean over all views of the training images: what drawing one
    of them at a time would tend to. Facts: `l2`, whether it `converged`, and whether it stands at the list's edge.
    UserError if the val loss was never a finite number.
    """
    member, curves = member.double(), Curves()
    best, best_step = None, 0
    for fit in l2_path(member, data, params, curves):
        if not fit.val_loss < (np.inf if best is None else best.val_loss):
            break
        best, best_step = fit, len(curves.rows) - 1
    if best is None:
        raise UserError("the val loss was never a finite number: raise the penalties in train.l2")
    with torch.no_grad():
        member.output.weight.copy_(best.weight)  # pyright: ignore[reportCallIssue, reportArgumentType]
        member.output.bias.copy_(best.bias)  # pyright: ignore[reportCallIssue, reportArgumentType]
    edge = best.l2 in (min(params.l2), max(params.l2))
    return Fitted(member.eval(), curves, best_step, {"l2": best.l2, "converged": best.converged, "l2_at_edge": edge})


def l2_path(member: Member, data: TrainingData, params: TrainParams, curves: Curves) -> Iterator[Penalised]:
    """A fit for each penalty of `train.l2`, the strongest first; each starts from the weights of the one before it.

    The features are strongly correlated, which makes L-BFGS crawl. It is run in the features' principal axes, each
    scaled to about the same curvature: the same minimum in about half the iterations (the rotation leaves the
    penalty as it is, and the scaling is undone inside it). The curves get every iteration (fact: `l2`).
    """
    views = data.train.views
    x_train = member.standardise(torch.from_numpy(data.train.pooled())).flatten(0, 1)
    # The mean of a linear head's logits is that of its features.
    x_val = member.standardise(torch.from_numpy(data.val.pooled())).mean(1)
    y_train = torch.from_numpy(data.train_targets).repeat_interleave(views)
    variances, axes = torch.linalg.eigh(x_train.T @ x_train / len(x_train))
    z_train, z_val = x_train @ axes, x_val @ axes
    weight = torch.zeros(data.classes, x_train.shape[1], dtype=torch.float64)
    bias = torch.nn.Parameter(torch.zeros(data.classes, dtype=torch.float64))

    def fit(l2: float) -> bool:
        """Fit from the present weights; whether it converged."""
        nonlocal weight
        scale = (CURVATURE * variances.clamp_min(0) + l2).rsqrt()
        scaled = torch.nn.Parameter(weight / scale)
        scaled_train, scaled_val = z_train * scale, z_val * scale
        last_train_loss = float("nan")

        def objective() -> torch.Tensor:
            nonlocal last_train_loss
            loss = data.loss(torch.addmm(bias, scaled_train, scaled.T), y_train)
            last_train_loss = float(loss.detach())
            return loss + l2 / 2 * (scaled * scale).square().sum()

        @torch.no_grad()
        def note() -> None:
            curves.add(data, last_train_loss, torch.addmm(bias, scaled_val, scaled.T), l2=l2)

        converged = minimise_lbfgs([scaled, bias], objective, params.max_iterations, note)
        weight = scaled.detach() * scale
        note()
        return converged

    for l2 in tqdm(sorted(params.l2, reverse=True), desc="L2 sweep", unit="fit"):
        converged = fit(l2)
        yield Penalised(l2, weight @ axes.T, bias.detach().clone(), converged, curves.rows[-1]["val_loss"])
