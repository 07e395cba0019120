"""From params, features and a split to a trained head."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from derm.embedding.features import Features
from derm.errors import UserError
from derm.heads.head import Head, HeadShape, Member
from derm.heads.inputs import inputs_of
from derm.heads.metadata import fit_metadata
from derm.heads.neighbours import Neighbours
from derm.heads.params import HeadParams
from derm.heads.predict import image_logits, val_logits
from derm.heads.registry import Fit, fit_of, head_kind
from derm.losses import CROSS_ENTROPY, LossParams, logit_offset, training_loss
from derm.measures.weighted import balanced_accuracy, confusion
from derm.params import Section
from derm.seeds import derived
from derm.task import Task
from derm.training.convex import fit_linear
from derm.training.curves import Curves
from derm.training.data import TrainingData
from derm.training.fitted import Fitted
from derm.training.gradient import fit_by_gradient
from derm.training.params import TrainParams
from derm.training.sampling import sampling_factors
from derm.training.verdict import verdict

Looks = Literal["both", "image", "metadata"]


class TrainingSections(Section):
    """The three sections that say how a head is trained."""

    head: HeadParams
    loss: LossParams
    train: TrainParams


@dataclass(frozen=True)
class TrainedHead:
    """head: in evaluation mode. curves: of its first member, kept at `best_step`. members: one row each. facts: what
    was chosen and how well it does, for the metrics. why: the verdict `fit` among them, in words."""

    head: Head
    curves: Curves
    best_step: int
    members: pd.DataFrame
    facts: dict[str, Any]
    why: str


def is_seeded(sections: TrainingSections) -> bool:
    """Whether another seed gives another head."""
    return fit_of(sections.head) == "gradient"


def fit_head(
    sections: TrainingSections,
    features: Features,
    split: pd.DataFrame,
    images: pd.DataFrame,
    task: Task,
    looks: Looks = "both",
    watch: Callable[[dict[str, Any]], None] | None = None,
) -> TrainedHead:
    """Train on part `train`, choose on part `val`.

    split: `image_id, part, target`; images: `image_id`, and what is known of age, sex and body_site. looks: with
    `head.metadata`, what the head is shown: `both`, or for comparison one alone. watch: is told each row of the
    learning curves as it comes.
    UserError if params contradict each other or the data.
    """
    params, train_params = sections.head, sections.train
    fit = fit_of(params)
    _refuse_contradictions(params, train_params, fit)
    parts = {
        part: split[split["part"] == part].merge(images, on="image_id", how="left", suffixes=("", "_of_image"))
        for part in ("train", "val")
    }
    targets = {part: rows["target"].to_numpy(copy=True) for part, rows in parts.items()}
    positive = None if task.positive is None else task.classes.index(task.positive)
    encoding = None
    if params.metadata and looks != "image":
        encoding = fit_metadata(parts["train"], params.metadata_missing)
    given = {
        part: inputs_of(
            features,
            head_kind(params.type).reads,
            rows["image_id"],
            None if encoding is None else encoding.encode(rows),
        )
        for part, rows in parts.items()
    }
    # A nearest neighbour's votes are not drawn towards the minimum of any loss: they are judged by plain cross-entropy.
    loss_params, sampling = sections.loss, train_params.sampling
    if fit == "neighbours":
        loss_params, sampling = CROSS_ENTROPY, "natural"
    loss = training_loss(loss_params, targets["train"], len(task.classes), positive)
    data = TrainingData(
        train=given["train"],
        train_targets=targets["train"],
        val=given["val"],
        val_targets=targets["val"],
        loss=loss,
        positive=positive,
        sampling=sampling,
        watch=watch,
    )
    shape = HeadShape(
        params=params,
        channels=data.train.channels,
        classes=len(task.classes),
        image=looks != "metadata",
        encoding=encoding,
        bank=len(data.train) * data.train.views if fit == "neighbours" else 0,
        members=train_params.members,
    )
    head, moments, fitted = Head(shape), data.train.moments(), []
    for number in range(shape.members):
        member = Member(shape)
        member.set_standardisation(*moments)
        what = "training" + (f", member {number + 1} of {shape.members}" if shape.members > 1 else "")
        if fit == "convex":
            fitted.append(fit_linear(member, data, train_params))
        elif fit == "neighbours":
            fitted.append(_remember(member, data))
        else:
            fitted.append(fit_by_gradient(member, data, train_params, derived(train_params.seed, number), what))
        head.members[number] = fitted[-1].member
    head.logit_offset.copy_(logit_offset(loss, sampling_factors(targets["train"], len(task.classes), sampling)))
    return _told(head.eval(), fitted, data, fit, min(train_params.l2))


def _refuse_contradictions(params: HeadParams, train: TrainParams, fit: str) -> None:
    if train.members > 1 and fit != "gradient":
        raise UserError(
            f"train.members is {train.members}, and a {params.type} head comes out the same from every seed: "
            "set train.members=1, or another head.type"
        )
    if fit == "neighbours" and params.metadata:
        raise UserError("head.metadata is true, and a knn head compares images only: set head.metadata=false")


def _remember(member: Member, data: TrainingData) -> Fitted:
    """A nearest-neighbour head: every view of every training image goes into its bank."""
    member, curves = member.double(), Curves()
    assert isinstance(member.output, Neighbours)
    views = member.standardise(torch.from_numpy(data.train.pooled())).flatten(0, 1)
    targets = torch.from_numpy(data.train_targets).repeat_interleave(data.train.views)
    member.output.remember(views, targets)
    with torch.no_grad():
        curves.add(data, float("nan"), val_logits(member, data.val))
    return Fitted(member.eval(), curves, 0, {})


def _told(head: Head, fitted: list[Fitted], data: TrainingData, fit: Fit, weakest_l2: float) -> TrainedHead:
    """The head with its facts: losses and accuracies of the whole of it on both parts, without augmentation and without
    the penalty, and the verdict."""
    first = fitted[0]
    logits = {"val": image_logits(head, data.val)}
    if fit != "neighbours":  # each training image would be its own nearest neighbour
        logits["train"] = image_logits(head, data.train)
    targets = {"train": data.train_targets, "val": data.val_targets}
    accuracies = {
        part: float(balanced_accuracy(confusion(targets[part], rows.argmax(1), data.classes))[0])
        for part, rows in logits.items()
    }
    offset = head.logit_offset.double().numpy()
    losses = {
        part: float(data.part_loss(torch.from_numpy(rows + offset), torch.from_numpy(targets[part])))
        for part, rows in logits.items()
    }
    name, why = verdict(
        first.curves.rows, first.best_step, fit, weakest_l2, accuracies.get("train", np.nan), accuracies["val"]
    )
    members = pd.DataFrame(
        [
            {"member": number, "best_step": one.best_step, "steps": len(one.curves.rows)}
            | {key: one.curves.rows[one.best_step][key] for key in ("train_loss", "val_loss", "val_balanced_accuracy")}
            for number, one in enumerate(fitted)
        ]
    )
    facts: dict[str, Any] = first.facts | {
        "best_step": first.best_step,
        "steps": len(first.curves.rows),
        "val_loss": losses["val"],
        "val_balanced_accuracy": accuracies["val"],
        "fit": name,
    }
    if fit != "neighbours":
        facts |= {"train_loss": losses["train"], "train_balanced_accuracy": accuracies["train"]}
    return TrainedHead(head, first.curves, first.best_step, members, facts, why)
