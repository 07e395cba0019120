"""One step of training: a batch, cut into as many parts as memory asks for, whose gradients add up to the batch's."""

import math
import sys
from dataclasses import dataclass

import numpy as np
import torch
from timm.data.mixup import Mixup
from torch import nn
from tqdm import tqdm

from derm.adaptation.network import AdaptedNetwork
from derm.adaptation.params import AdaptParams
from derm.embedding.forward import is_out_of_memory
from derm.errors import UserError
from derm.losses import TrainingLoss


class NotFiniteError(Exception):
    """The loss is no number any more."""


@dataclass(frozen=True)
class Batch:
    """images: float32 [n, 3, rows, columns]; share: of `targets` in the loss, the rest is of `others` (mixup, cutmix);
    both int64 [n]."""

    images: torch.Tensor
    targets: torch.Tensor
    others: torch.Tensor
    share: float

    def part(self, rows: torch.Tensor) -> "Batch":
        """Some of it."""
        return Batch(self.images[rows], self.targets[rows], self.others[rows], self.share)


def mixed(images: torch.Tensor, targets: torch.Tensor, params: AdaptParams, seed: int) -> Batch:
    """A batch, each image mixed with another (Zhang et al. 2018, arXiv 1710.09412), or with a piece of another (Yun et
    al. 2019, arXiv 1905.04899), by timm; with both asked for, one or the other. An odd batch loses its last image.
    """
    if len(images) < 2 or not (params.mixup or params.cutmix):
        return Batch(images, targets, targets, 1.0)
    images, targets = images[: len(images) // 2 * 2], targets[: len(images) // 2 * 2]
    np.random.seed(seed % 2**32)  # timm draws from numpy's global generator
    mix = Mixup(params.mixup, params.cutmix, label_smoothing=0.0, num_classes=2)
    # Partners stand mirrored in the batch: marked by the half that they are in, each tells the share of its own.
    halves = (torch.arange(len(images), device=images.device) >= len(images) // 2).long()
    images, told = mix(images, halves)
    return Batch(images, targets, targets.flip(0), float(told[0, 0]))


class Stepper:
    """Adds up the gradients of a batch's parts. parts: how many, which doubles when memory is short."""

    def __init__(
        self, network: AdaptedNetwork, loss: TrainingLoss, params: AdaptParams, device: torch.device, parts: int
    ) -> None:
        self.network, self.loss, self.params, self.device, self.parts = network, loss, params, device, parts
        # Batch norm that takes a batch's own means cannot take that of a single image.
        self._least = 2 if params.trains_batch_norm else 1

    def gradients(self, batch: Batch) -> float:
        """Leave the gradient of the batch's mean loss in the parameters, and return the loss.

        Out of memory, it begins again with parts half as large. NotFiniteError if the loss is no number; UserError if
        not even the smallest part has room.
        """
        while True:
            try:
                return self._gradients(batch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self._smaller_parts(len(batch.images))

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Of images on the CPU, there, float32 [n, classes]; without a gradient, in parts as for training."""
        while True:
            try:
                with torch.no_grad(), self._autocast():
                    told = [self.network(part.to(self.device)).float().cpu() for part in self._parts(images)]
                return torch.cat(told)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self._smaller_parts(len(images))

    def _gradients(self, batch: Batch) -> float:
        self.network.zero_grad(set_to_none=True)
        total, count = 0.0, len(batch.images)
        for rows in self._parts(torch.arange(count, device=batch.images.device)):
            part = batch.part(rows)
            with self._autocast():
                logits = self.network(part.images)
            logits = logits.float()
            loss = part.share * self.loss(logits, part.targets)
            if part.share < 1:
                loss = loss + (1 - part.share) * self.loss(logits, part.others)
            loss = loss * (len(rows) / count)
            loss.backward()
            total += float(loss.detach())
        if not math.isfinite(total):
            raise NotFiniteError
        return total

    def _parts(self, rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """As many as `parts`, of nearly the same size, but none smaller than batch norm can bear."""
        return torch.tensor_split(rows, max(1, min(self.parts, len(rows) // self._least)))

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.params.precision == "bfloat16")

    def _smaller_parts(self, count: int) -> None:
        """UserError if there is nothing left to cut."""
        self.network.zero_grad(set_to_none=True)
        where = f"no memory on {self.device} for {math.ceil(count / self.parts)} images at once"
        if self.parts >= count // self._least:
            raise UserError(
                f"{where}: set adapt.gradient_checkpointing=true or adapt.precision=bfloat16, or take a smaller "
                "encoder.image_size, a smaller encoder, or a device with more memory (DERM_DEVICE)"
            )
        self.parts = min(2 * self.parts, count // self._least)
        tqdm.write(
            f"WARNING: {where}: going on with the same batches in {self.parts} parts (adapt.parts={self.parts} begins "
            "so)",
            file=sys.stderr,
        )
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def clip(network: nn.Module, longest: float) -> None:
    """Shorten the gradient to `longest`; 0: as it is."""
    if longest:
        nn.utils.clip_grad_norm_(network.parameters(), longest)
