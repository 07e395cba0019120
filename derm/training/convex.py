"""The linear head: full-batch L-BFGS in float64, with the L2 penalty chosen on val (CLIP's protocol, warm-started)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from derm.errors import UserError
from derm.heads.head import Member
from derm.optimise import minimise_lbfgs
from derm.training.curves import Curves
from derm.training.data import TrainingData
from derm.training.fitted import Fitted
from derm.training.params import TrainParams

# Mean curvature p (1 - p) of the softmax, roughly: only the speed depends on it.
CURVATURE = 0.1
# When the objective falls by less than this share of itself: with the first the val loss is off by up to 0.001, a
# seventh of what the penalties next to the best differ by; with the second by under 0.0001 (HAM10000, penalties from
# 1 to 0.003).
ROUGH, FINE = 3e-6, 5e-9


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

    The penalties are tried from the strongest down, until one is worse on val than the one before it; their val losses
    differ by far more than a rough minimum is off. The best is then taken to its minimum.

    member: linear, standardisation set. The loss is the mean over all views of the training images: what drawing one
    of them at a time would tend to. Facts: `l2`, whether it `converged`, and whether it stands at the list's edge.
    UserError if the val loss was never a finite number.
    """
    problem, curves, best = LinearProblem(member, data, params.max_iterations), Curves(), None
    for fit in tqdm(problem.path(params.l2, ROUGH, curves), total=len(params.l2), desc="L2 sweep", unit="fit"):
        if not fit.val_loss < (np.inf if best is None else best.val_loss):
            break
        best = fit
    if best is None:
        raise UserError("the val loss was never a finite number: raise the penalties in train.l2")
    best = problem.fit(best.l2, best, FINE, curves)
    with torch.no_grad():
        member.output.weight.copy_(best.weight)  # pyright: ignore[reportCallIssue, reportArgumentType]
        member.output.bias.copy_(best.bias)  # pyright: ignore[reportCallIssue, reportArgumentType]
    edge = best.l2 in (min(params.l2), max(params.l2))
    facts = {"l2": best.l2, "converged": best.converged, "l2_at_edge": edge}
    return Fitted(member.eval(), curves, len(curves.rows) - 1, facts)


@dataclass(frozen=True)
class _BothWays:
    """A matrix and its transpose, each row by row in memory."""

    matrix: torch.Tensor
    transpose: torch.Tensor

    @staticmethod
    def of(matrix: torch.Tensor) -> "_BothWays":
        return _BothWays(matrix, matrix.T.contiguous())


class _LinearLogits(torch.autograd.Function):
    """``features weight^T + bias``, with a gradient that reads the features' transpose row by row: torch's own reads
    the features across their rows, which takes three times as long."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, bias: torch.Tensor, features: _BothWays) -> torch.Tensor:
        ctx.features = features
        return torch.addmm(bias, features.matrix, weight.T)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        (of_logits,) = gradients
        return (ctx.features.transpose @ of_logits).T, of_logits.sum(0), None


class LinearProblem:
    """Penalised fits of one linear head on one training part.

    The features are strongly correlated, which makes L-BFGS crawl. It is run in the features' principal axes, each
    scaled to about the same curvature: the same minimum in about half the iterations (the rotation leaves the
    penalty as it is, and the scaling is undone inside it).
    """

    def __init__(self, member: Member, data: TrainingData, max_iterations: int) -> None:
        member = member.double()
        self._data, self._max_iterations = data, max_iterations
        x_train = member.standardise(torch.from_numpy(data.train.pooled())).flatten(0, 1)
        # The mean of a linear head's logits is that of its features.
        x_val = member.standardise(torch.from_numpy(data.val.pooled())).mean(1)
        self._targets = torch.from_numpy(data.train_targets).repeat_interleave(data.train.views)
        self._variances, self._axes = torch.linalg.eigh(x_train.T @ x_train / len(x_train))
        self._train, self._val = x_train @ self._axes, x_val @ self._axes

    def path(self, penalties: Sequence[float], tolerance: float, curves: Curves) -> Iterator[Penalised]:
        """The fit with each penalty, the strongest first, each from the weights of the one before it."""
        fit = None
        for l2 in sorted(penalties, reverse=True):
            fit = self.fit(l2, fit, tolerance, curves)
            yield fit

    def fit(self, l2: float, start: Penalised | None, tolerance: float, curves: Curves) -> Penalised:
        """The minimum with this penalty, from another's weights if there are any; the curves get every iteration
        (fact: `l2`)."""
        data, classes = self._data, self._data.classes
        scale = (CURVATURE * self._variances.clamp_min(0) + l2).rsqrt()
        if start is None:
            begun = torch.zeros(classes, len(scale), dtype=torch.float64)
            bias = torch.nn.Parameter(torch.zeros(classes, dtype=torch.float64))
        else:
            begun, bias = start.weight @ self._axes, torch.nn.Parameter(start.bias.clone())
        scaled = torch.nn.Parameter(begun / scale)
        scaled_train, scaled_val = _BothWays.of(self._train * scale), self._val * scale
        last_train_loss = float("nan")

        def objective() -> torch.Tensor:
            nonlocal last_train_loss
            loss = data.part_loss(_LinearLogits.apply(scaled, bias, scaled_train), self._targets)
            last_train_loss = float(loss.detach())
            return loss + l2 / 2 * (scaled * scale).square().sum()

        @torch.no_grad()
        def note() -> None:
            curves.add(data, last_train_loss, torch.addmm(bias, scaled_val, scaled.T), l2=l2)

        converged = minimise_lbfgs([scaled, bias], objective, self._max_iterations, tolerance, note)
        note()
        weight = (scaled.detach() * scale) @ self._axes.T
        return Penalised(l2, weight, bias.detach().clone(), converged, curves.rows[-1]["val_loss"])
