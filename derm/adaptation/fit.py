"""From an encoder, photographs and a split to an encoder that was trained on the training part."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from derm.adaptation.augmentation import Augmentation
from derm.adaptation.checkpoint import Checkpoint, Progress, State, load_optimiser_state, optimiser_state
from derm.adaptation.network import AdaptedNetwork
from derm.adaptation.params import AdaptParams
from derm.adaptation.photographs import Draw, Photographs, load_batches
from derm.adaptation.step import NotFiniteError, Stepper, clip, mixed
from derm.embedding.forward import make_ready
from derm.encoders.code_digest import DERM, code_digest
from derm.encoders.encoder import Encoder
from derm.errors import UserError
from derm.losses import training_loss
from derm.seeds import derived
from derm.task import Task
from derm.training.curves import Curves
from derm.training.data import Targets
from derm.training.monitor import Best
from derm.training.sampling import epoch_rows
from derm.training.schedule import make_schedule

# What draws from a seed: each its own stream. `network` has 0.
ORDER, AUGMENTED, MIXED, DROPPED = 1, 2, 3, 4


@dataclass(frozen=True)
class Trained:
    """state: the encoder's weights, merged, on the CPU. curves: a row an epoch. facts: for the metrics. speed: for the
    journal. checkpoint: to be deleted when all is written."""

    state: State
    curves: pd.DataFrame
    best_step: int
    facts: dict[str, Any]
    speed: dict[str, float]
    checkpoint: Checkpoint


@dataclass(frozen=True)
class Parts:
    """The training part and val: photographs and int64 targets of each; rows are in the split's order."""

    train: Photographs
    train_targets: np.ndarray
    val: Photographs
    val_targets: np.ndarray


def parts_of_split(split: pd.DataFrame, images: pd.DataFrame, encoder: Encoder, params: AdaptParams) -> Parts:
    """split: `image_id, part, target`; images: `image_id, path, sha256`."""
    side = min(encoder.manifest["transform"]["size"])
    augmentation = Augmentation(params.augmentation, side)
    given: dict[str, Any] = {}
    for part in ("train", "val"):
        rows = split[split["part"] == part].merge(images, on="image_id", suffixes=("", "_of_image"))
        given[part] = Photographs(list(rows["path"]), list(rows["sha256"]), encoder.transform, augmentation)
        given[f"{part}_targets"] = rows["target"].to_numpy(copy=True)
    return Parts(**given)


def adapt(
    encoder: Encoder,
    parts: Parts,
    task: Task,
    params: AdaptParams,
    device: torch.device,
    draw: Callable[[pd.DataFrame, int], None],
    watch: Callable[[dict[str, Any]], None] | None = None,
) -> Trained:
    """Train the encoder's own network, in place, and keep the weights of the epoch that `adapt.monitor` likes best.

    encoder: computing in float32, with its weights as they are to begin with. draw: is told the learning curves and the
    best step after each epoch; watch: each row of them as it comes. What was done before a kill is not done again; on
    one machine's CPU the weights are the same, to the byte. UserError if params contradict each other, an image has
    changed, memory is too small, or the loss is no number.
    """
    positive = None if task.positive is None else task.classes.index(task.positive)
    loss = training_loss(params.loss, parts.train_targets, len(task.classes), positive, "adapt.loss")
    targets = Targets(
        train_targets=parts.train_targets,
        val_targets=parts.val_targets,
        loss=loss,
        positive=positive,
        sampling=params.sampling,
        watch=watch,
    )
    checkpoint = Checkpoint(_decides(encoder, parts, task, params, device))
    network = AdaptedNetwork(encoder, len(task.classes), params)
    make_ready(encoder, device)
    network.to(device)
    training = _Training(network, parts, targets, params, device, checkpoint)
    training.run(draw)
    network.load_moving_state(training.best_state)
    total = sum(parameter.numel() for parameter in encoder.model.parameters()) if encoder.model is not None else 0
    moved = sum(
        parameter.numel()
        for key, parameter in network.named_parameters()
        if key in network.trained and not key.startswith("classifier.")
    )
    adapters = moved if params.method == "lora" else 0
    best = training.curves.rows[training.best_step]
    facts = {
        "best_step": training.best_step,
        "steps": len(training.curves.rows),
        "stopped_early": len(training.curves.rows) < params.epochs,
        "parameters": total - adapters,
        "trained_parameters": moved,
        **{key: best[key] for key in ("train_loss", "val_loss", "val_balanced_accuracy", "val_macro_f1")},
    }
    return Trained(network.merged(), training.curves.table(), training.best_step, facts, training.speed, checkpoint)


class _Training:
    """The loop over epochs, and all that moves in it."""

    def __init__(
        self,
        network: AdaptedNetwork,
        parts: Parts,
        targets: Targets,
        params: AdaptParams,
        device: torch.device,
        checkpoint: Checkpoint,
    ) -> None:
        self.network, self.parts, self.targets = network, parts, targets
        self.params, self.device, self.checkpoint = params, device, checkpoint
        self.count = self._batches_an_epoch()
        self.optimiser = torch.optim.AdamW(network.parameter_groups())
        self.factors = _factors(params, self.count)
        self.averaged: AveragedModel | None = None
        if params.averaging:
            self.averaged = AveragedModel(
                network, multi_avg_fn=get_ema_multi_avg_fn(params.averaging), use_buffers=True
            )
        self.stepper = Stepper(network, targets.loss, params, device, min(params.parts, params.batch_size))
        self.curves, self.best, self.kept = Curves(), Best(), cast("State | None", None)
        self.epochs = 0
        self.speed = {"images": 0.0, "seconds": 0.0, "waiting_seconds": 0.0}
        self._go_on_from(checkpoint.read())

    def run(self, draw: Callable[[pd.DataFrame, int], None]) -> None:
        """Until `adapt.epochs` are done or nothing gets better any more."""
        params = self.params
        images = self.count * params.batch_size
        with tqdm(total=params.epochs * images, initial=self.epochs * images, unit="img", desc="adapting") as bar:
            while self.epochs < params.epochs and not self._is_over():
                bar.set_description(f"epoch {self.epochs + 1} of {params.epochs}")
                train_loss = self._epoch(bar)
                row = self._judge(train_loss)
                bar.set_postfix(val_loss=f"{row['val_loss']:.3f}", val_acc=f"{row['val_balanced_accuracy']:.3f}")
                self.epochs += 1
                self.checkpoint.write(self._progress())
                if self.best.step is not None:
                    draw(self.curves.table(), self.best.step)
        if self.best.step is None:
            raise UserError("adapt: the val loss was never a finite number: lower adapt.learning_rate")

    @property
    def best_step(self) -> int:
        """The epoch that is kept."""
        assert self.best.step is not None
        return self.best.step

    @property
    def best_state(self) -> State:
        """What moved, as it was then."""
        assert self.kept is not None
        return self.kept

    def _is_over(self) -> bool:
        return bool(self.curves.rows) and self.best.is_over(self.epochs - 1, self.params.patience)

    def _epoch(self, bar: tqdm) -> float:
        """Train on every batch once; the mean loss of an image."""
        params, network = self.params, self.network
        torch.manual_seed(derived(params.seed, DROPPED, self.epochs))
        network.train()
        network.freeze(self.epochs < params.frozen_epochs)
        total, rows_done, began, waited = 0.0, 0, time.monotonic(), 0.0
        batches = load_batches(self.parts.train, self._plan(), self.device.type == "cuda")
        asked = time.monotonic()
        for number, (rows, images) in enumerate(batches):
            waited += time.monotonic() - asked
            step = self.epochs * self.count + number
            for group in self.optimiser.param_groups:
                group["lr"] = group["peak"] * self.factors[step]
            batch = mixed(
                images.to(self.device, non_blocking=True),
                torch.from_numpy(self.targets.train_targets)[rows].to(self.device),
                params,
                derived(params.seed, MIXED, step),
            )
            try:
                loss = self.stepper.gradients(batch)
            except NotFiniteError:
                raise UserError(self._not_finite(number)) from None
            clip(network, params.clip_norm)
            self.optimiser.step()
            if self.averaged is not None:
                self.averaged.update_parameters(network)
            total, rows_done = total + loss * len(batch.images), rows_done + len(batch.images)
            bar.update(params.batch_size)
            asked = time.monotonic()
        self.speed["images"] += rows_done
        self.speed["seconds"] += time.monotonic() - began
        self.speed["waiting_seconds"] += waited
        return total / rows_done

    def _judge(self, train_loss: float) -> dict[str, Any]:
        """One row more of the learning curves; the weights are kept if it is the best."""
        judged = self.network if self.averaged is None else cast("AdaptedNetwork", self.averaged.module)
        judged.eval()
        stepper = Stepper(judged, self.targets.loss, self.params, self.device, self.stepper.parts)
        logits = [stepper.logits(images) for _, images in load_batches(self.parts.val, self._val_plan(), False)]
        rate = self.params.learning_rate * self.factors[(self.epochs + 1) * self.count - 1]
        row = self.curves.add(self.targets, train_loss, torch.cat(logits).double(), learning_rate=rate)
        if self.best.improved_by(row, self.params, "adapt"):
            self.kept = judged.moving_state()
        return row

    def _batches_an_epoch(self) -> int:
        """Whole batches only, where there is one: the schedule counts on it, and batch norm on their size."""
        return max(1, len(self.parts.train) // self.params.batch_size)

    def _plan(self) -> list[list[Draw]]:
        """The batches of this epoch: which rows, and the seed of what is drawn for each."""
        params = self.params
        order = torch.Generator().manual_seed(derived(params.seed, ORDER, self.epochs))
        rows = epoch_rows(torch.from_numpy(self.targets.train_targets), params.sampling, order).tolist()
        # An image that is drawn twice looks different each time.
        draws: list[Draw] = [
            (row, derived(params.seed, AUGMENTED, self.epochs, place)) for place, row in enumerate(rows)
        ]
        return list(_cut(draws, params.batch_size))[: self.count]

    def _val_plan(self) -> list[list[Draw]]:
        return list(_cut([(row, None) for row in range(len(self.parts.val))], self.params.batch_size))

    def _progress(self) -> Progress:
        remembered, groups = optimiser_state(self.optimiser)
        states = {"network": self.network.moving_state(), "optimiser": remembered, "best": self.kept or {}}
        if self.averaged is not None:
            states["average"] = cast("AdaptedNetwork", self.averaged.module).moving_state()
        return Progress(
            states=states,
            epochs=self.epochs,
            parts=self.stepper.parts,
            updates=0 if self.averaged is None else int(self.averaged.n_averaged),
            groups=groups,
            best_score=self.best.score,
            best_step=self.best.step,
            rows=self.curves.rows,
        )

    def _go_on_from(self, progress: Progress | None) -> None:
        if progress is None:
            return
        print(f"adapt: going on after epoch {progress.epochs} of {self.params.epochs}", flush=True)
        self.epochs, self.stepper.parts = progress.epochs, progress.parts
        self.network.load_moving_state(progress.states["network"])
        if self.averaged is not None:
            cast("AdaptedNetwork", self.averaged.module).load_moving_state(progress.states["average"])
            self.averaged.n_averaged.fill_(progress.updates)
        load_optimiser_state(self.optimiser, progress.states.get("optimiser", {}), progress.groups)
        self.kept, self.best = progress.states.get("best"), Best(progress.best_score, progress.best_step)
        self.curves.rows.extend(progress.rows)

    def _not_finite(self, number: int) -> str:
        kept = "nothing is kept yet"
        if self.checkpoint.path.exists():
            kept = f"what stood after epoch {self.epochs} is kept in {self.checkpoint.path}"
        return (
            f"the loss is no finite number at step {number + 1} of {self.count} in epoch {self.epochs + 1}: lower "
            "adapt.learning_rate and adapt.classifier_learning_rate, raise adapt.warmup_epochs, set adapt.clip_norm=1 "
            f"or adapt.precision=float32; {kept}"
        )


def _factors(params: AdaptParams, batches_an_epoch: int) -> list[float]:
    """For each step, the learning rate as a share of its peak; of every group alike."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], lr=params.learning_rate)
    schedule = make_schedule(optimiser, params, batches_an_epoch)
    factors = []
    for _ in range(params.epochs * batches_an_epoch):
        factors.append(float(schedule.get_last_lr()[0]) / params.learning_rate)
        optimiser.step()
        schedule.step()
    return factors


def _cut(draws: list[Draw], size: int) -> Iterator[list[Draw]]:
    for start in range(0, len(draws), size):
        yield draws[start : start + size]


def _decides(encoder: Encoder, parts: Parts, task: Task, params: AdaptParams, device: torch.device) -> dict[str, Any]:
    """All that the trained weights depend on: only a run of the same may go on from a checkpoint."""
    return {
        "params": params.model_dump(),
        "encoder": encoder.manifest,
        "images": [list(parts.train.digests), list(parts.val.digests)],
        "targets": [parts.train_targets.tolist(), parts.val_targets.tolist()],
        "classes": task.classes,
        "positive": task.positive,
        "device": device.type,
        "code": code_digest([str(path.relative_to(DERM)) for path in (DERM / "adaptation").glob("*.py")]),
    }
