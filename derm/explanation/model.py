"""Encoders and head as one network, from a photograph to logits: the very code path that made the features."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pandas as pd
import torch
from PIL import Image
from torch import nn

from derm.embedding.tokens import as_tokens
from derm.encoders.encoder import Encoder
from derm.encoders.layers import AUTO, LAST, Layer, layer
from derm.errors import UserError
from derm.heads.head import Head
from derm.heads.registry import head_kind


@dataclass(frozen=True)
class Explained:
    """What is explained: frozen encoders, the head on them, and how patches were pooled if the head reads them.

    layers: of each encoder, where maps are taken; none: where `auto` takes them.
    """

    encoders: list[Encoder]
    head: Head
    token_pooling: int | None = None
    layers: list[Layer] = field(default_factory=list)

    @property
    def reads_tokens(self) -> bool:
        """Whether the head reads patches; then only the first encoder counts."""
        return head_kind(self.head.shape.params.type).reads == "tokens"

    def at(self, names: Sequence[str]) -> "Explained":
        """With maps taken at the layers of these names, one for each encoder or one for all. UserError as
        `derm.encoders.layers.layer`."""
        if len(names) == 1:
            names = list(names) * len(self.encoders)
        if len(names) != len(self.encoders):
            raise UserError(f"explain.layer names {len(names)} layers, and there are {len(self.encoders)} encoders")
        return replace(self, layers=[self._layer(*pair) for pair in zip(self.encoders, names, strict=True)])

    def looked_at(self) -> list[Layer]:
        """One layer for each encoder."""
        return self.layers or [self._layer(encoder, AUTO) for encoder in self.encoders]

    def _layer(self, encoder: Encoder, name: str) -> Layer:
        # A head that reads patches has a gradient at the very last of them, also where the class token would be read.
        if name == AUTO and self.reads_tokens:
            return Layer(LAST, encoder.maps, encoder.to_grid)
        return layer(encoder, name)


class EncodersWithHead(nn.Module):
    """An input batch for each encoder -> logits: what `featurize` and `train_head` do, differentiable in one.

    metadata: float32 [n, columns] of the batch, or None for a head without.
    """

    def __init__(self, explained: Explained, metadata: torch.Tensor | None) -> None:
        super().__init__()
        self.encoders, self.token_pooling, self.metadata = explained.encoders, explained.token_pooling, metadata
        self.modules_of_encoders = nn.ModuleList(
            [module for one in self.encoders for module in (one.maps, one.pooling)]
        )
        self.head = explained.head.float()
        self.reads_tokens = explained.reads_tokens

    def forward(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        if self.reads_tokens:
            _, grid = self.encoders[0].embed_with_grid(inputs[0])
            # cuDNN's LSTM has a gradient in training alone.
            with torch.backends.cudnn.flags(enabled=False):
                return self.head(as_tokens(grid, self.token_pooling or 1), self.metadata)
        blocks = [encoder.embed(images) for encoder, images in zip(self.encoders, inputs, strict=True)]
        return self.head(torch.cat(blocks, dim=1), self.metadata)


def network(
    explained: Explained, count: int, device: torch.device, images: pd.DataFrame | None = None
) -> EncodersWithHead:
    """The network for `count` photographs, in evaluation mode.

    images: what is known of age, sex and body_site, a row for each photograph; a head with metadata takes what is not
    given as unknown.
    """
    encoding, metadata = explained.head.shape.encoding, None
    if encoding is not None:
        known = encoding.encode(pd.DataFrame(index=range(count)) if images is None else images)
        metadata = torch.from_numpy(known).float().to(device)
    explained.head.float().to(device)
    return EncodersWithHead(explained, metadata).eval()


def prepared(encoders: list[Encoder], photographs: Sequence[Image.Image], device: torch.device) -> list[torch.Tensor]:
    """Upright RGB photographs as each encoder is given them: float32 [n, 3, height, width]."""
    return [
        torch.stack([encoder.transform(photograph) for photograph in photographs]).to(device) for encoder in encoders
    ]


def logits(
    explained: Explained,
    photographs: Sequence[Image.Image],
    device: torch.device,
    images: pd.DataFrame | None = None,
    batch_size: int = 16,
) -> torch.Tensor:
    """The head's logits, float32 [n, classes] on the CPU; `images` as in `network`."""
    told = []
    for start in range(0, len(photographs), batch_size):
        batch = photographs[start : start + batch_size]
        known = None if images is None else images.iloc[start : start + batch_size]
        with torch.no_grad():
            given = network(explained, len(batch), device, known)(prepared(explained.encoders, batch, device))
        told.append(given.cpu())
    return torch.cat(told)


def probabilities(
    explained: Explained,
    photographs: Sequence[Image.Image],
    device: torch.device,
    images: pd.DataFrame | None = None,
    batch_size: int = 16,
) -> torch.Tensor:
    """The head's probabilities before calibration, float32 [n, classes] on the CPU; `images` as in `network`."""
    return logits(explained, photographs, device, images, batch_size).softmax(dim=1)
