"""Maps have the image's shape, stay in [0, 1], and point at what is planted."""

import numpy as np
import pytest
import torch
from torch import nn

from derm.encoders.encoder import Encoder
from derm.encoders.registry import build_encoder
from derm.explanation.gradcam import EncoderWithHead, grad_cam
from derm.heads.head import Head, head_logits
from tests.derm.encoders.params import params

NAMES = ["timm/test_resnet", "timm/test_convnext", "timm/test_vit", "timm/test_vit2"]


def encoder_of(name: str) -> Encoder:
    return build_encoder(params(name=name, weights="none" if name == "colour-texture" else "random"))


def side_of(encoder: Encoder) -> int:
    transform = encoder.manifest["transform"]
    return transform["input_size"][1] if "input_size" in transform else transform["size"][0]


def pooled(encoder: Encoder, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return encoder.embed(images)


def trained_head(dim: int) -> Head:
    torch.manual_seed(0)
    return Head(dim, [], 3, 0.0)


@pytest.mark.parametrize("name", [*NAMES, "colour-texture"])
def test_maps_have_the_images_shape_and_stay_between_0_and_1(name: str) -> None:
    encoder = encoder_of(name)
    side = side_of(encoder)
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    dim = pooled(encoder, images).shape[1]
    maps = grad_cam(encoder, trained_head(dim), images, [0, 2])
    assert maps.shape == (2, side, side) and maps.dtype == np.float32
    assert maps.min() >= 0 and maps.max() <= 1
    # one image at a time gives the same maps: images of a batch do not act on each other
    for index, target in enumerate((0, 2)):
        alone = grad_cam(encoder, trained_head(dim), images[index : index + 1], [target])[0]
        np.testing.assert_allclose(alone, maps[index], atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_the_model_explained_is_the_one_that_predicts(name: str) -> None:
    encoder = encoder_of(name)
    images = torch.rand(2, 3, side_of(encoder), side_of(encoder))
    features = pooled(encoder, images)
    head = trained_head(features.shape[1])
    head.fit_standardisation(features.numpy() + np.arange(2)[:, None])
    with torch.no_grad():
        explained = EncoderWithHead(encoder, head)(images)
    np.testing.assert_allclose(explained, head_logits(head, features.numpy()), rtol=1e-3, atol=1e-4)


class Blobs(nn.Module):
    """A network that can be read: channel 0 is red, channel 1 is blue, each averaged over squares of 8 pixels."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(images[:, [0, 2]], 8)


class Mean(nn.Module):
    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.mean((2, 3))


def readable() -> tuple[Encoder, Head]:
    """The encoder `Blobs`, and a head for which red speaks for class 0 and blue for class 1."""
    blobs = Blobs()
    encoder = Encoder(
        blobs, Mean(), lambda image: torch.empty(0), {}, blobs, lambda maps: maps, lambda *size: (0, 0, *size), {}
    )
    head = Head(2, [], 2, 0.0)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]) if parameter.ndim == 2 else torch.zeros(2))
    return encoder, head


def test_red_is_shown_for_the_red_class_and_blue_for_the_blue_one() -> None:
    image = torch.zeros(1, 3, 64, 96)
    image[:, 0, 8:24, 8:24] = 1.0  # red, top left
    image[:, 2, 40:56, 64:88] = 1.0  # blue, bottom right
    red, blue = (grad_cam(*readable(), image, [target])[0] for target in (0, 1))
    assert red.shape == (64, 96)
    assert red[8:24, 8:24].mean() > 0.7 and red[36:, 60:].max() == 0
    assert blue[40:56, 64:88].mean() > 0.7 and blue[:28, :28].max() == 0
    assert red[4:28, 4:28].sum() > 0.95 * red.sum()


def test_nothing_speaks_for_the_class() -> None:
    image = torch.zeros(1, 3, 64, 64)
    image[:, 2, 8:24, 8:24] = 1.0
    assert (grad_cam(*readable(), image, [0]) == 0).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("corner", [(0, 0), (96, 64)])
def test_most_of_the_map_lies_where_something_is_planted(name: str, corner: tuple[int, int]) -> None:
    """A textured square on a flat ground, and a head that asks what sets such an image apart from the flat ground.

    Weights are random, so that maps are rough: the square, an eighth of the image with its margin, must hold
    several times its share.
    """
    encoder = encoder_of(name)
    side = side_of(encoder)
    row, column = corner
    flat = torch.zeros(1, 3, side, side)
    image = flat.clone()
    generator = torch.Generator().manual_seed(1)
    image[:, :, row : row + 48, column : column + 48] = 3 * torch.randn(1, 3, 48, 48, generator=generator)
    difference = (pooled(encoder, image) - pooled(encoder, flat))[0]
    head = Head(len(difference), [], 2, 0.0)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.stack([difference, -difference]) if parameter.ndim == 2 else torch.zeros(2))
    heat = grad_cam(encoder, head, image, [0])[0]
    near = np.zeros_like(heat, dtype=bool)
    near[max(0, row - 12) : row + 60, max(0, column - 12) : column + 60] = True
    assert heat[near].mean() > 2 * heat[~near].mean()
