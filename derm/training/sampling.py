"""Which images an epoch draws."""

import numpy as np
import torch

from derm.training.params import Sampling


def epoch_rows(targets: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> torch.Tensor:
    """The rows of one epoch in their order, int64 [n].

    natural: every row once, shuffled. balanced: n draws with replacement, every class as likely as any other, and
    every row of a class as likely as the next.
    """
    if sampling == "natural":
        return torch.randperm(len(targets), generator=generator)
    chances = 1 / torch.bincount(targets).double()[targets]
    return torch.multinomial(chances, len(targets), replacement=True, generator=generator)


def sampling_factors(targets: np.ndarray, classes: int, sampling: Sampling) -> torch.Tensor:
    """How many times as often as by nature each class is drawn, float64 [classes]."""
    if sampling == "natural":
        return torch.ones(classes, dtype=torch.float64)
    return torch.from_numpy(len(targets) / (classes * np.bincount(targets, minlength=classes)))
