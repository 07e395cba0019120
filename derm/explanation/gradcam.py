"""Class activation maps through pytorch-grad-cam, on the very code path that made the features."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from derm.embedding.tokens import as_tokens
from derm.encoders.encoder import Encoder
from derm.heads.head import Head
from derm.heads.registry import head_kind

LONGEST_SIDE = 512  # of a map: cells are many pixels wide, and photographs may have thousands


@dataclass(frozen=True)
class Explained:
    """What is explained: frozen encoders, the head on them, and how patches were pooled if the head reads them."""

    encoders: list[Encoder]
    head: Head
    token_pooling: int | None = None


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
        self.reads_tokens = head_kind(self.head.shape.params.type).reads == "tokens"

    def forward(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        if self.reads_tokens:
            _, grid = self.encoders[0].embed_with_grid(inputs[0])
            # cuDNN's LSTM has a gradient in training alone.
            with torch.backends.cudnn.flags(enabled=False):
                return self.head(as_tokens(grid, self.token_pooling or 1), self.metadata)
        blocks = [encoder.embed(images) for encoder, images in zip(self.encoders, inputs, strict=True)]
        return self.head(torch.cat(blocks, dim=1), self.metadata)


def grad_cam(
    explained: Explained,
    photographs: list[Image.Image],
    targets: list[int],
    device: torch.device,
    images: pd.DataFrame | None = None,
) -> list[np.ndarray]:
    """Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391) of one class for each upright RGB photograph.

    targets: class index for each. images: what is known of age, sex and body_site, a row for each photograph; a head
    with metadata takes what is not given as unknown. Returns float32 [rows, columns] over the whole photograph, its
    longest side at most LONGEST_SIDE, scaled to [0, 1]: all 0 if nothing speaks for the class, and where no encoder
    looked.

    Of joined encoders the maps are added up before what speaks against the class is cut off. They are added as what a
    cell's area contributes to the logit, so that a fine grid counts as much as a coarse one.
    """
    encoders, encoding = explained.encoders, explained.head.shape.encoding
    metadata = None
    if encoding is not None:
        known = encoding.encode(pd.DataFrame(index=range(len(photographs))) if images is None else images)
        metadata = torch.from_numpy(known).float().to(device)
    explained.head.to(device)
    model = EncodersWithHead(explained, metadata).eval()
    inputs = [
        # The encoder is frozen: without requires_grad no gradient would reach its maps.
        torch.stack([encoder.transform(photograph) for photograph in photographs]).to(device).requires_grad_(True)
        for encoder in encoders
    ]
    sums = [np.zeros(_map_size(photograph)[::-1], dtype=np.float32) for photograph in photographs]
    for encoder in encoders:
        cells = _contributions(model, encoder, inputs, targets)
        for place, photograph in enumerate(photographs):
            sums[place] += _over_photograph(cells[place], encoder, photograph)
    return [_scaled(np.maximum(total, 0)) for total in sums]


def seen_box(encoders: list[Encoder], width: int, height: int) -> tuple[float, float, float, float]:
    """The box (left, top, right, bottom) of a photograph that at least one of the encoders is shown."""
    boxes = np.array([encoder.covered(width, height) for encoder in encoders])
    left, top = boxes[:, :2].min(axis=0).clip(0)
    right, bottom = boxes[:, 2:].max(axis=0).clip(max=(width, height))
    return float(left), float(top), float(right), float(bottom)


def _contributions(
    model: EncodersWithHead, encoder: Encoder, inputs: list[torch.Tensor], targets: list[int]
) -> np.ndarray:
    """What each cell of one encoder's grid adds to the classes' logits, by Grad-CAM's linearisation, as a density:
    float32 [n, rows, columns], its mean over the cells the encoder's share of the logit where that is linear."""
    # A head that reads patches has a gradient at the very last of them, also where the class token would be read out.
    layer = encoder.maps if model.reads_tokens else encoder.cam_layer
    with GradCAM(model=model, target_layers=[layer], reshape_transform=encoder.to_grid) as cam:
        logits = cam.activations_and_grads(inputs)
        wanted: list[Any] = [ClassifierOutputTarget(target) for target in targets]
        model.zero_grad()
        torch.stack([target(row) for target, row in zip(wanted, logits, strict=True)]).sum().backward()
        activations = cam.activations_and_grads.activations[0].numpy()
        gradients = cam.activations_and_grads.gradients[0].numpy()
        nothing: Any = None  # Grad-CAM's weights need the gradients alone
        maps = cam.get_cam_image(nothing, layer, wanted, activations, gradients, False)
    # The weights are means of gradients over the cells: their sum is what a step of all cells does to the logit.
    return (maps * maps.shape[1] * maps.shape[2]).astype(np.float32)


def _map_size(photograph: Image.Image) -> tuple[int, int]:
    """(columns, rows) of the map of a photograph."""
    ratio = min(1.0, LONGEST_SIDE / max(photograph.size))
    return max(1, round(photograph.width * ratio)), max(1, round(photograph.height * ratio))


def _over_photograph(cells: np.ndarray, encoder: Encoder, photograph: Image.Image) -> np.ndarray:
    """Cells laid over the box that the encoder was shown, 0 beside it: float32 [rows, columns] of `_map_size`."""
    columns, rows = _map_size(photograph)
    left, top, right, bottom = encoder.covered(photograph.width, photograph.height)
    across, down = columns / photograph.width, rows / photograph.height
    box = round(left * across), round(top * down), round(right * across), round(bottom * down)
    size = max(1, box[2] - box[0]), max(1, box[3] - box[1])
    resized = Image.fromarray(cells).resize(size, Image.Resampling.BILINEAR)
    # What lies over the photograph's edge is padding; `crop` fills what lies beside the box with 0.
    whole = resized.crop((-box[0], -box[1], columns - box[0], rows - box[1]))
    return np.asarray(whole) * (columns * rows) / (size[0] * size[1])


def _scaled(heat: np.ndarray) -> np.ndarray:
    """To [0, 1], unless there is nothing."""
    highest = heat.max()
    return heat / highest if highest > 0 else heat
