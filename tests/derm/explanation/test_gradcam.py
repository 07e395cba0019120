"""Maps lie over the photograph, stay in [0, 1], point at what is planted, and add up for joined encoders."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from derm.encoders.encoder import Encoder
from derm.encoders.preprocessing import Recipe
from derm.encoders.registry import build_encoder
from derm.explanation.gradcam import EncodersWithHead, grad_cam, seen_box
from derm.heads.head import Head, head_logits
from tests.derm.encoders.params import params

NAMES = ["timm/test_resnet", "timm/test_convnext", "timm/test_vit", "timm/test_vit2"]
CPU = torch.device("cpu")


def encoder_of(name: str, **changes: Any) -> Encoder:
    return build_encoder(params(name=name, weights="none" if name == "colour-texture" else "random", **changes))


def photographs(count: int, width: int = 96, height: int = 64) -> list[Image.Image]:
    generator = np.random.default_rng(0)
    return [
        Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8), "RGB") for _ in range(count)
    ]


def pooled(encoder: Encoder, images: list[Image.Image]) -> torch.Tensor:
    with torch.no_grad():
        return encoder.embed(torch.stack([encoder.transform(image) for image in images]))


def untrained_head(dim: int, classes: int = 3) -> Head:
    torch.manual_seed(0)
    return Head(dim, [], classes, 0.0)


def head_with(weights: list[list[float]]) -> Head:
    head = Head(len(weights[0]), [], len(weights), 0.0)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.tensor(weights) if parameter.ndim == 2 else torch.zeros(len(weights)))
    return head


@pytest.mark.parametrize("name", [*NAMES, "colour-texture"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_maps_have_the_photographs_shape_and_stay_between_0_and_1(name: str, precision: str) -> None:
    if (name, precision) == ("colour-texture", "bfloat16"):
        return  # it is refused
    encoder = encoder_of(name, precision=precision)
    images = photographs(2)
    head = untrained_head(pooled(encoder, images).shape[1])
    maps = grad_cam([encoder], head, images, [0, 2], CPU)
    for heat in maps:
        assert heat.shape == (64, 96) and heat.dtype == np.float32
        assert heat.min() >= 0 and heat.max() <= 1
    if precision == "float32":  # images of a batch do not act on each other
        for index, target in enumerate((0, 2)):
            alone = grad_cam([encoder], head, images[index : index + 1], [target], CPU)[0]
            np.testing.assert_allclose(alone, maps[index], atol=1e-3)


def test_a_large_photographs_map_is_small() -> None:
    (heat,) = grad_cam([readable()], head_with([[1.0, -1.0], [-1.0, 1.0]]), photographs(1, 2000, 1500), [0], CPU)
    assert heat.shape == (384, 512)


@pytest.mark.parametrize("names", [["timm/test_resnet"], ["timm/test_vit"], ["colour-texture", "timm/test_resnet"]])
def test_the_model_explained_is_the_one_that_predicts(names: list[str]) -> None:
    encoders = [encoder_of(name) for name in names]
    images = photographs(2)
    features = torch.cat([pooled(encoder, images) for encoder in encoders], 1).numpy()
    head = untrained_head(features.shape[1])
    head.fit_standardisation(features + np.arange(2)[:, None])
    inputs = [torch.stack([encoder.transform(image) for image in images]) for encoder in encoders]
    with torch.no_grad():
        explained = EncodersWithHead(encoders, head)(inputs)
    np.testing.assert_allclose(explained, head_logits(head, features), rtol=1e-3, atol=1e-4)


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


def test_red_is_shown_for_the_red_class_and_blue_for_the_blue_one() -> None:
    image = painted(red=(8, 8, 24, 24), blue=(64, 40, 88, 56))
    red, blue = (grad_cam([readable()], head_with(RED_OR_BLUE), [image], [target], CPU)[0] for target in (0, 1))
    assert red.shape == (64, 96)
    assert red[8:24, 8:24].mean() > 0.7 and red[36:, 60:].max() == 0
    assert blue[40:56, 64:88].mean() > 0.7 and blue[:28, :28].max() == 0
    assert red[4:28, 4:28].sum() > 0.95 * red.sum()


def test_nothing_speaks_for_the_class() -> None:
    image = painted(red=(0, 0, 0, 0), blue=(8, 8, 24, 24))
    assert (grad_cam([readable()], head_with(RED_OR_BLUE), [image], [0], CPU)[0] == 0).all()


@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
@pytest.mark.parametrize("turned", [False, True])
def test_the_map_lies_over_the_photograph_whatever_became_of_its_shape(resize: Any, turned: bool) -> None:
    recipe = replace(WHOLE, size=(64, 64), scaled=(64, 64), resize=resize)
    image = painted(red=(40, 8, 56, 24), blue=(0, 0, 0, 0))
    heat_of = (40, 8, 56, 24)
    if turned:
        image, heat_of = image.transpose(Image.Transpose.TRANSPOSE), (8, 40, 24, 56)
    (heat,) = grad_cam([readable(recipe, 4)], head_with(RED_OR_BLUE), [image], [0], CPU)
    left, top, right, bottom = heat_of
    assert heat.shape == image.size[::-1]
    assert heat[top:bottom, left:right].mean() > 0.6
    assert heat[top - 5 : bottom + 5, left - 5 : right + 5].sum() > 0.97 * heat.sum()


def test_what_was_cut_off_has_no_heat_and_is_told_by_the_box() -> None:
    cropped = readable(replace(WHOLE, size=(64, 64), scaled=(64, 64), resize="crop"))
    padded = readable(replace(WHOLE, size=(64, 64), scaled=(64, 64), resize="pad"))
    white = Image.new("RGB", (96, 64), "white")
    (heat,) = grad_cam([cropped], head_with([[1.0, 1.0], [0.0, 0.0]]), [white], [0], CPU)
    assert (heat[:, :16] == 0).all() and (heat[:, -16:] == 0).all() and (heat[:, 17:-17] > 0.99).all()
    assert seen_box([cropped], 96, 64) == (16, 0, 80, 64)
    assert seen_box([padded], 96, 64) == (0, 0, 96, 64)  # padding is no part of the photograph
    assert seen_box([cropped, padded], 96, 64) == (0, 0, 96, 64)


def test_joined_encoders_add_what_each_area_contributes_to_the_logit() -> None:
    """One encoder on cells of 8 pixels with weight 3 for red, one on cells of 16 with weight 1 for blue: the areas are
    equal, so red's is three times as hot, though its grid has four times the cells."""
    image = painted(red=(0, 0, 32, 32), blue=(64, 32, 96, 64))
    fine, coarse = readable(side=8), readable(side=16)
    head = head_with([[3.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    (heat,) = grad_cam([fine, coarse], head, [image], [0], CPU)
    assert heat[:24, :24].mean() == pytest.approx(1.0, abs=0.01)
    assert heat[48:, 80:].mean() == pytest.approx(1 / 3, abs=0.02)
    # what one encoder says against the class is taken off what the other says for it
    head = head_with([[3.0, 0.0, -3.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    (heat,) = grad_cam([fine, coarse], head, [painted((0, 0, 32, 32), (0, 0, 0, 0))], [0], CPU)
    assert heat[:16, :16].max() == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("corner", [(0, 0), (96, 64)])
def test_most_of_the_map_lies_where_something_is_planted(name: str, corner: tuple[int, int]) -> None:
    """A textured square on a flat ground, and a head that asks what sets such an image apart from the flat ground.

    Weights are random, so that maps are rough: the square, an eighth of the image with its margin, must hold
    several times its share.
    """
    encoder = encoder_of(name)
    side = encoder.manifest["transform"]["size"][0]
    row, column = corner
    pixels = np.full((side, side, 3), 128, dtype=np.uint8)
    flat = Image.fromarray(pixels.copy())
    generator = np.random.default_rng(1)
    pixels[row : row + 48, column : column + 48] = generator.integers(0, 256, (48, 48, 3))
    image = Image.fromarray(pixels)
    difference = (pooled(encoder, [image]) - pooled(encoder, [flat]))[0]
    (heat,) = grad_cam([encoder], head_with([difference.tolist(), (-difference).tolist()]), [image], [0], CPU)
    near = np.zeros_like(heat, dtype=bool)
    near[max(0, row - 12) : row + 60, max(0, column - 12) : column + 60] = True
    assert heat[near].mean() > 2 * heat[~near].mean()
