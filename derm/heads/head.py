"""A trained head: standardisation and a network, once or as an ensemble, as one module and one file."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pydantic import Field, ValidationError
from torch import nn

from derm.embedding.features import Features
from derm.errors import UserError
from derm.files import read_tensors, write_tensors
from derm.heads.inputs import Inputs, inputs_of
from derm.heads.metadata import MetadataEncoding
from derm.heads.mlp import Perceptron
from derm.heads.neighbours import Neighbours
from derm.heads.params import HeadParams
from derm.heads.registry import head_kind
from derm.params import Section

HEADS = Path("models/head")
# The head that predicts; with metadata two more stand beside it, for comparison.
HEAD, BESIDE = "head", ("image_only", "metadata_only")


def head_file(name: str = HEAD) -> Path:
    """Where the head of this name stands."""
    return HEADS / f"{name}.safetensors"


def head_names() -> list[str]:
    """The heads that `train_head` made: HEAD, and those BESIDE it that there are."""
    return [HEAD, *(name for name in BESIDE if head_file(name).is_file())]


# Standard deviations.
LIMIT = 10.0


class HeadShape(Section):
    """All that is needed to build a head again, but its numbers.

    channels: width of a feature vector or of a patch's. image: whether it looks at the features at all. encoding: of
    the metadata, None for a head without. bank: how many training images it remembers (knn).
    """

    params: HeadParams
    channels: int
    classes: int
    image: bool = True
    encoding: MetadataEncoding | None = None
    bank: int = 0
    members: int = Field(default=1, ge=1)


class Member(nn.Module):
    """Features [n, dim] or [n, patches, channels], and metadata [n, columns] -> logits [n, classes].

    Means and scales are fitted on the training part and are the head's own: features are stored as the encoder gives
    them. What body and metadata branch give stands side by side before the one output layer.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.shape = shape
        params = shape.params
        self.register_buffer("mean", torch.zeros(shape.channels))
        self.register_buffer("scale", torch.ones(shape.channels))
        self.body: nn.Module | None = None
        self.metadata: Perceptron | None = None
        kind, width = head_kind(params.type), 0
        if kind.body is None:
            self.output: nn.Module = Neighbours(
                shape.bank, shape.channels, shape.classes, params.neighbours, params.sharpness
            )
            return
        if shape.image:
            self.body = kind.body(params, shape.channels)
            width += int(self.body.width)  # pyright: ignore[reportArgumentType]
        if shape.encoding is not None:
            columns = len(shape.encoding.columns)
            self.metadata = Perceptron(columns, params.metadata_hidden, params.dropout, params.batch_norm)
            width += self.metadata.width
        self.output = nn.Linear(width, shape.classes)

    def set_standardisation(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        """From the moments of the training part, float64 [channels]; a constant channel keeps scale 1."""
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.copy_(torch.from_numpy(np.where(deviation > 1e-8, deviation, 1.0)))

    def standardise(self, features: torch.Tensor) -> torch.Tensor:
        """(features - mean) / scale, within LIMIT: a channel that hardly ever moves in training (an empty bin of a
        histogram) would otherwise be thousands of deviations away in the one image where it does."""
        return ((features - self.mean) / self.scale).clamp(-LIMIT, LIMIT)

    def forward(self, features: torch.Tensor, metadata: torch.Tensor | None = None) -> torch.Tensor:
        return self.from_standardised(self.standardise(features), metadata)

    def from_standardised(self, features: torch.Tensor, metadata: torch.Tensor | None = None) -> torch.Tensor:
        """What `forward` does after `standardise`."""
        if isinstance(self.output, Neighbours):
            return self.output(features)
        parts = [] if self.body is None else [self.body(features)]
        if self.metadata is not None:
            if metadata is None:
                raise ValueError("this head needs metadata")
            parts.append(self.metadata(metadata))
        return self.output(torch.cat(parts, dim=1))


class Head(nn.Module):
    """One member or an ensemble; features and metadata as in `Member` -> logits that stand for the frequencies of the
    training part, [n, classes].

    `logit_offset` [classes] is what class weights, sampling and logit adjustment added to the members' logits by
    design (`derm.losses.logit_offset`); it is taken off. An ensemble's logits are the logarithm of its members' mean
    probability (Lakshminarayanan et al. 2017, arXiv 1612.01474).
    """

    logit_offset: torch.Tensor

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("logit_offset", torch.zeros(shape.classes))
        self.members = nn.ModuleList([Member(shape) for _ in range(shape.members)])

    def forward(self, features: torch.Tensor, metadata: torch.Tensor | None = None) -> torch.Tensor:
        return pool_samples(self.each(features, metadata))

    def each(self, features: torch.Tensor, metadata: torch.Tensor | None = None) -> torch.Tensor:
        """The logits of every member, [members, n, classes]."""
        return torch.stack([member(features, metadata) for member in self.members]) - self.logit_offset

    def inputs(self, features: Features, images: pd.DataFrame) -> Inputs:
        """What it is given of these images: rows with `image_id`, and what is known of age, sex and body_site.

        UserError if an image has no features, or tokens are needed and not stored.
        """
        encoding = self.shape.encoding
        metadata = None if encoding is None else encoding.encode(images)
        return inputs_of(features, head_kind(self.shape.params.type).reads, images["image_id"], metadata)


def pool_samples(samples: torch.Tensor) -> torch.Tensor:
    """Logits [samples, ...] -> the logarithm of the mean probability; of one sample its logits as they are."""
    if len(samples) == 1:
        return samples[0]
    return torch.log_softmax(samples, dim=-1).logsumexp(dim=0) - np.log(len(samples))


def write_head(head: Head, path: Path) -> None:
    """One safetensors file, float32; its manifest holds the shape."""
    tensors = {name: tensor.detach().float().numpy() for name, tensor in head.state_dict().items()}
    write_tensors(path, tensors, head.shape.model_dump())


def read_head(path: Path) -> Head:
    """The head in evaluation mode. UserError if the file is missing or damaged."""
    tensors, manifest = read_tensors(path)
    try:
        head = Head(HeadShape.model_validate(manifest))
        head.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors.items()}, strict=True)
    except (TypeError, RuntimeError, ValidationError):
        raise UserError(f"{path} does not hold a head of this version: run `dvc repro train_head`") from None
    return head.eval()
