"""Heads trained by gradient steps: AdamW, a schedule, augmentation of features, early stopping."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from derm.errors import UserError
from derm.heads.head import Member
from derm.heads.predict import val_logits
from derm.seeds import derived
from derm.training.curves import Curves
from derm.training.data import TrainingData
from derm.training.fitted import Fitted
from derm.training.monitor import Best
from derm.training.params import TrainParams
from derm.training.sampling import epoch_rows
from derm.training.schedule import make_schedule


def fit_by_gradient(member: Member, data: TrainingData, params: TrainParams, seed: int, what: str) -> Fitted:
    """Train in float32 and keep the weights of the epoch that `train.monitor` likes best; a step is an epoch.

    member: standardisation set; its weights are drawn anew from `seed`, as is all else that is random. Weight decay is
    on weight matrices only. An image is one drawn view of it; a share `head.metadata_dropout` of a batch loses its
    metadata. what: for the progress bar. UserError if the val loss was never a finite number.
    """
    draws = torch.Generator().manual_seed(seed)
    torch.manual_seed(derived(seed, 0))
    member = member.float()
    for layer in member.modules():
        reset = getattr(layer, "reset_parameters", None)
        if callable(reset):
            reset()
    batches = Batches(member, data, params, draws)
    optimiser = adamw(member, params.learning_rate, params.weight_decay)
    schedule = make_schedule(optimiser, params, batches.count)
    averaged = None
    if params.averaging:
        averaged = AveragedModel(member, multi_avg_fn=get_ema_multi_avg_fn(params.averaging), use_buffers=True)
    curves, best, kept = Curves(), Best(), None
    for epoch in tqdm(range(params.epochs), desc=what, unit="epoch", leave=False):
        member.train()
        total = rows = 0.0
        for batch in batches.epoch():
            optimiser.zero_grad()
            logits = member.from_standardised(batch.features, batch.metadata)
            loss = batch.share * data.loss(logits, batch.targets)
            if batch.share < 1:
                loss = loss + (1 - batch.share) * data.loss(logits, batch.other_targets)
            loss.backward()
            if params.clip_norm:
                nn.utils.clip_grad_norm_(member.parameters(), params.clip_norm)
            optimiser.step()
            schedule.step()
            if averaged is not None:
                averaged.update_parameters(member)
            total, rows = total + float(loss.detach()) * len(logits), rows + len(logits)
        judged = member if averaged is None else cast("Member", averaged.module)
        judged.eval()
        with torch.no_grad():
            logits = val_logits(judged, data.val)
        row = curves.add(data, total / rows, logits, learning_rate=float(schedule.get_last_lr()[0]))
        if best.improved_by(row, params):
            kept = copy.deepcopy(judged)
        elif best.is_over(epoch, params.patience):
            break
    if kept is None or best.step is None:
        raise UserError("the val loss was never a finite number: lower train.learning_rate")
    return Fitted(kept, curves, best.step, {"stopped_early": len(curves.rows) < params.epochs})


def adamw(model: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW with decay on weight matrices only: not on biases, nor on the scales of batch norm."""
    parameters = list(model.parameters())
    groups = [
        {"params": [one for one in parameters if one.ndim > 1], "weight_decay": weight_decay},
        {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate)


@dataclass(frozen=True)
class Batch:
    """features: standardised; share: of `targets` in the loss, the rest is of `other_targets` (mixup)."""

    features: torch.Tensor
    metadata: torch.Tensor | None
    targets: torch.Tensor
    other_targets: torch.Tensor
    share: float


class Batches:
    """The batches of an epoch, augmented: a drawn view, noise, mixup, metadata dropped at random."""

    def __init__(self, member: Member, data: TrainingData, params: TrainParams, generator: torch.Generator) -> None:
        self._member, self._inputs, self._params, self._generator = member, data.train, params, generator
        self._targets = torch.from_numpy(data.train_targets)
        self._metadata_dropout = member.shape.params.metadata_dropout
        encoding = member.shape.encoding
        self._unknown = None if encoding is None else torch.from_numpy(encoding.unknown()).float()
        self._images = len(self._targets)
        # A last batch of a single image, which batch norm could not bear, is left out.
        last = self._images % params.batch_size
        self.count = max(1, self._images // params.batch_size + (last > 1))

    def epoch(self) -> Iterator[Batch]:
        """As many batches as `count`."""
        for rows in epoch_rows(self._targets, self._params.sampling, self._generator).split(self._params.batch_size):
            if len(rows) > 1 or self._images == 1:
                yield self._batch(rows)

    def _batch(self, rows: torch.Tensor) -> Batch:
        views = torch.randint(self._inputs.views, rows.shape, generator=self._generator)
        features = self._member.standardise(self._inputs.features(rows.numpy(), views.numpy(), torch.float32))
        if self._params.noise:
            features = features + self._params.noise * torch.randn(features.shape, generator=self._generator)
        metadata, targets = self._metadata(rows), self._targets[rows]
        if not self._params.mixup:
            return Batch(features, metadata, targets, targets, 1.0)
        share, other = self._mixture(len(rows))
        features = share * features + (1 - share) * features[other]
        if metadata is not None:
            metadata = share * metadata + (1 - share) * metadata[other]
        return Batch(features, metadata, targets, targets[other], share)

    def _metadata(self, rows: torch.Tensor) -> torch.Tensor | None:
        known = self._inputs.known(rows.numpy(), torch.float32)
        if known is None or self._unknown is None:
            return None
        dropped = torch.rand(len(rows), 1, generator=self._generator) < self._metadata_dropout
        return torch.where(dropped, self._unknown, known)

    def _mixture(self, count: int) -> tuple[float, torch.Tensor]:
        """One share for the batch, from Beta(mixup, mixup), and each image's partner (Zhang et al. 2018, arXiv
        1710.09412)."""
        seed = int(torch.randint(2**62, (1,), generator=self._generator))
        share = float(np.random.default_rng(seed).beta(self._params.mixup, self._params.mixup))
        return share, torch.randperm(count, generator=self._generator)
