"""A network that can be read: what it answers can be worked out by hand from the pixels."""

import torch
from PIL import Image
from torch import nn

from derm.encoders.encoder import Encoder
from derm.encoders.preprocessing import Recipe
from derm.heads.head import Head
from tests.derm.heads.data import shape


def head_with(weights: list[list[float]]) -> Head:
    head = Head(shape(len(weights[0]), len(weights)))
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.tensor(weights) if parameter.ndim == 2 else torch.zeros(len(weights)))
    return head


class Blobs(nn.Module):
    """A network that can be read: channel 0 is red, channel 1 is blue, each averaged over squares."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(images[:, [0, 2]], self.side)


class Mean(nn.Module):
    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.mean((2, 3))


WHOLE = Recipe((64, 96), "squash", (64, 96), "nearest", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "down")


def readable(recipe: Recipe = WHOLE, side: int = 8) -> Encoder:
    blobs = Blobs(side)
    return Encoder(blobs, Mean(), recipe, {}, blobs, lambda maps: maps, recipe.covered, {})


RED_OR_BLUE = [[1.0, -1.0], [-1.0, 1.0]]


def painted(red: tuple[int, int, int, int], blue: tuple[int, int, int, int]) -> Image.Image:
    """96 by 64, black, a red and a blue rectangle (left, top, right, bottom)."""
    image = Image.new("RGB", (96, 64))
    image.paste((255, 0, 0), red)
    image.paste((0, 0, 255), blue)
    return image
