"""The learning rate over the steps, by torch's own schedulers."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    SequentialLR,
)

from derm.training.params import GradientParams

# A cycle starts at one over this of its peak, as torch would have it.
RISE = 25.0


def make_schedule(optimiser: Optimizer, params: GradientParams, batches_an_epoch: int) -> LRScheduler:
    """Stepped after every batch.

    Linear warm-up over `warmup_epochs`, then cosine: half a cosine down to `least_learning_rate`; warm_restarts: one
    every `restart_epochs` (Loshchilov and Hutter 2017, arXiv 1608.03983). one_cycle (Smith and Topin 2018, arXiv
    1708.07120) rises over `warmup_epochs` too, along half a cosine and from a 25th of `learning_rate`.
    """
    steps, warmup = params.epochs * batches_an_epoch, min(params.warmup_epochs, params.epochs) * batches_an_epoch
    top = max(0, warmup - 1)  # the step at which the peak is reached
    least = min(params.least_learning_rate, params.learning_rate)
    if params.schedule == "one_cycle":
        return OneCycleLR(
            optimiser,
            params.learning_rate,
            total_steps=steps + 1,
            pct_start=(max(1, warmup) + 1) / (steps + 1),
            cycle_momentum=False,
            div_factor=RISE,
            final_div_factor=params.learning_rate / RISE / least if least else math.inf,
        )
    if params.schedule == "warm_restarts":
        main: LRScheduler = CosineAnnealingWarmRestarts(
            optimiser, params.restart_epochs * batches_an_epoch, eta_min=least
        )
    else:
        main = CosineAnnealingLR(optimiser, steps - top, eta_min=least)
    if not top:
        return main
    return SequentialLR(optimiser, [LinearLR(optimiser, start_factor=1 / warmup, total_iters=top), main], [top])
