"""Maps lie over the photograph, stay in [0, 1], point at what is planted, and add up for joined encoders."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from derm.encoders.encoder import Encoder
from derm.encoders.registry import build_encoder
from derm.explanation.maps import explain, seen_box
from derm.explanation.model import EncodersWithHead, Explained
from derm.heads.head import Head, Member
from derm.heads.metadata import fit_metadata
from derm.heads.predict import image_logits
from derm.heads.registry import head_kind
from tests.derm.encoders.params import params
from tests.derm.explanation.readable import RED_OR_BLUE, WHOLE, head_with, painted, readable
from tests.derm.heads.data import inputs, random_head, shape

NAMES = ["timm/test_resnet", "timm/test_convnext", "timm/test_vit", "timm/test_vit2"]
CPU = torch.device("cpu")


def grad_cam(
    explained: Explained,
    images: list[Image.Image],
    targets: list[int],
    device: torch.device,
    known: pd.DataFrame | None = None,
) -> list[np.ndarray]:
    return explain(explained, images, targets, ["gradcam"], device, known)["gradcam"]


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
    return Head(shape(dim, classes)).eval()


@pytest.mark.parametrize("name", [*NAMES, "colour-texture"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_maps_have_the_photographs_shape_and_stay_between_0_and_1(name: str, precision: str) -> None:
    if (name, precision) == ("colour-texture", "bfloat16"):
        return  # it is refused
    encoder = encoder_of(name, precision=precision)
    images = photographs(2)
    head = untrained_head(pooled(encoder, images).shape[1])
    maps = grad_cam(Explained([encoder], head), images, [0, 2], CPU)
    for heat in maps:
        assert heat.shape == (64, 96) and heat.dtype == np.float32
        assert heat.min() >= 0 and heat.max() <= 1
    if precision == "float32":  # images of a batch do not act on each other
        for index, target in enumerate((0, 2)):
            alone = grad_cam(Explained([encoder], head), images[index : index + 1], [target], CPU)[0]
            np.testing.assert_allclose(alone, maps[index], atol=1e-3)


def test_a_large_photographs_map_is_small() -> None:
    (heat,) = grad_cam(
        Explained([readable()], head_with([[1.0, -1.0], [-1.0, 1.0]])), photographs(1, 2000, 1500), [0], CPU
    )
    assert heat.shape == (384, 512)


PEOPLE = pd.DataFrame({"age": ["40", "70"], "sex": ["male", "female"], "body_site": ["", "back"]})
SMALL: dict[str, Any] = {
    **{"hidden": [6], "convolution": 6, "lstm": 5, "attention": 4, "queries": 2, "query_width": 4},
    **{"metadata_hidden": [3], "neighbours": 4, "sharpness": 1.0, "dropout": 0.5},
}
HEADS: dict[str, dict[str, Any]] = {
    "linear": {},
    "mlp": {"type": "mlp"},
    "mlp with batch norm": {"type": "mlp", "batch_norm": True, "input_dropout": 0.5},
    "knn": {"type": "knn", "bank": 12},
    "fusion": {"type": "mlp", "metadata": True},
    "ensemble": {"type": "mlp", "members": 3},
    "acrnn": {"type": "acrnn"},
    "attention_pool": {"type": "attention_pool", "members": 3, "metadata": True},
}
ALL = [
    *((name, ["timm/test_resnet"], 1) for name in HEADS),
    *((name, ["timm/test_vit"], pooling) for name in ("acrnn", "attention_pool") for pooling in (1, 2)),
    ("linear", ["timm/test_vit"], 1),
    ("linear", ["colour-texture", "timm/test_resnet"], 1),
]


def coloured(count: int) -> list[Image.Image]:
    """Photographs that look different, also to random weights."""
    small = np.random.default_rng(3).integers(0, 256, (count, 4, 6, 3), dtype=np.uint8)
    return [Image.fromarray(colours).resize((96, 64), Image.Resampling.BICUBIC) for colours in small]


def features_of(explained: Explained, images: list[Image.Image]) -> np.ndarray:
    """What `featurize` would store of these images if it did not round, [n, 1, ...]; patches pooled by numpy."""
    side = explained.token_pooling or 1
    blocks = []
    for encoder in explained.encoders:
        batch = torch.stack([encoder.transform(image) for image in images])
        with torch.no_grad():
            features, grid = encoder.embed_with_grid(batch)
        if head_kind(explained.head.shape.params.type).reads == "tokens":
            count, channels, rows, columns = grid.shape
            squares = grid.numpy().reshape(count, channels, rows // side, side, columns // side, side).mean((3, 5))
            blocks.append(squares.reshape(count, channels, -1).transpose(0, 2, 1))
        else:
            blocks.append(features.numpy())
    return np.concatenate(blocks, axis=-1)[:, None]


def explained_of(kind: str, names: list[str], token_pooling: int) -> Explained:
    """A random head of its kind, standardised on some images."""
    encoders = [encoder_of(name, **({} if name == "colour-texture" else {"image_size": 128})) for name in names]
    given = HEADS[kind] | ({"encoding": fit_metadata(PEOPLE, missing=True)} if "metadata" in HEADS[kind] else {})
    first = Explained(encoders, random_head(shape(1, 3, type=given.get("type", "linear"))), token_pooling)
    mean, deviation = inputs(features_of(first, coloured(6))).moments()
    head = random_head(shape(len(mean), 3, **(SMALL | given)), seed=1)
    for member in head.members:
        assert isinstance(member, Member)
        member.set_standardisation(mean, deviation)
    return Explained(encoders, head, token_pooling)


@pytest.mark.parametrize(("kind", "names", "token_pooling"), ALL)
def test_the_model_explained_is_the_one_that_predicts(kind: str, names: list[str], token_pooling: int) -> None:
    """And gives maps for every kind of head, before and after it has predicted in float64."""
    images = coloured(2)
    explained = explained_of(kind, names, token_pooling)
    encoding = explained.head.shape.encoding
    known = None if encoding is None else encoding.encode(PEOPLE)
    thrice = None if encoding is None else pd.concat([PEOPLE] * 3)
    maps = grad_cam(explained, images * 3, [0, 0, 1, 1, 2, 2], CPU, thrice)
    for heat in maps:
        assert heat.shape == (64, 96) and np.isfinite(heat).all()
        assert heat.min() >= 0 and heat.max() in (0, pytest.approx(1))
    assert max(heat.max() for heat in maps) > 0.99
    expected = image_logits(explained.head, inputs(features_of(explained, images), known))
    assert np.ptp(expected, axis=0).max() > 0.02
    again = grad_cam(explained, images * 3, [0, 0, 1, 1, 2, 2], CPU, thrice)
    np.testing.assert_allclose(again, maps, atol=1e-5)
    batch = [torch.stack([encoder.transform(image) for image in images]) for encoder in explained.encoders]
    metadata = None if known is None else torch.from_numpy(known).float()
    with torch.no_grad():
        actual = EncodersWithHead(explained, metadata)(batch)
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3)


def test_metadata_count_for_the_map_of_an_ensemble_and_are_unknown_if_not_given() -> None:
    """In one head they stand beside the image and do not change its part; of an ensemble's they decide who counts."""
    images = coloured(1) * 3
    explained = explained_of("attention_pool", ["timm/test_resnet"], 1)
    unknown, known = pd.DataFrame({"age": [""] * 3}), pd.concat([PEOPLE.iloc[1:]] * 3)
    without = grad_cam(explained, images, [0, 1, 2], CPU)
    np.testing.assert_array_equal(without, grad_cam(explained, images, [0, 1, 2], CPU, unknown))
    assert not np.allclose(without, grad_cam(explained, images, [0, 1, 2], CPU, known), atol=1e-3)


@pytest.mark.parametrize("token_pooling", [1, 2])
@pytest.mark.parametrize(
    ("name", "pooling"), [("timm/test_vit", "cls"), ("timm/test_vit", "mean"), ("timm/test_resnet", "auto")]
)
def test_a_head_that_reads_patches_is_explained_at_the_patches_it_reads(
    name: str, pooling: str, token_pooling: int
) -> None:
    """With keys of 0 the one query takes the mean of all patches: what a cell adds to the logit is linear in it, and
    can be told from the patches alone. The photograph is as large as the grid, so that nothing is resized."""
    encoder = encoder_of(name, pooling=pooling, resize="squash", image_size=128)
    with torch.no_grad():
        _, grid = encoder.embed_with_grid(torch.stack([encoder.transform(photographs(1)[0])]))
    channels, rows, columns = grid.shape[1:]
    (image,) = photographs(1, columns, rows)
    head = random_head(shape(channels, 3, type="attention_pool", queries=1, query_width=5), seed=1)
    member = head.members[0]
    assert isinstance(member, Member) and member.body is not None
    of = dict(member.body.named_parameters())
    with torch.no_grad():
        of["keys.weight"].zero_()
        _, grid = encoder.embed_with_grid(torch.stack([encoder.transform(image)]))
        output: Any = member.output
        direction = output.weight[1] @ of["values.weight"] / member.scale
        cells = torch.einsum("c,crk->rk", direction, grid[0]).clamp_min(0).numpy()
    (heat,) = grad_cam(Explained([encoder], head, token_pooling), [image], [1], CPU)
    assert 0 < (cells > 0).mean() <= 1
    np.testing.assert_allclose(heat, cells / cells.max(), atol=1e-4)


def test_the_lstm_is_not_cudnns_which_has_no_gradient_when_it_predicts() -> None:
    """The switch itself: there need not be a GPU."""
    images = coloured(1)
    explained = explained_of("acrnn", ["timm/test_resnet"], 1)
    seen = []
    member = explained.head.members[0]
    assert isinstance(member, Member) and member.body is not None
    member.body.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.enabled))
    before = torch.backends.cudnn.enabled
    grad_cam(explained, images, [0], CPU)
    assert seen == [False] and torch.backends.cudnn.enabled == before


def test_red_is_shown_for_the_red_class_and_blue_for_the_blue_one() -> None:
    image = painted(red=(8, 8, 24, 24), blue=(64, 40, 88, 56))
    red, blue = (
        grad_cam(Explained([readable()], head_with(RED_OR_BLUE)), [image], [target], CPU)[0] for target in (0, 1)
    )
    assert red.shape == (64, 96)
    assert red[8:24, 8:24].mean() > 0.7 and red[36:, 60:].max() == 0
    assert blue[40:56, 64:88].mean() > 0.7 and blue[:28, :28].max() == 0
    assert red[4:28, 4:28].sum() > 0.95 * red.sum()


def test_nothing_speaks_for_the_class() -> None:
    image = painted(red=(0, 0, 0, 0), blue=(8, 8, 24, 24))
    assert (grad_cam(Explained([readable()], head_with(RED_OR_BLUE)), [image], [0], CPU)[0] == 0).all()


@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
@pytest.mark.parametrize("turned", [False, True])
def test_the_map_lies_over_the_photograph_whatever_became_of_its_shape(resize: Any, turned: bool) -> None:
    recipe = replace(WHOLE, size=(64, 64), scaled=(64, 64), resize=resize)
    image = painted(red=(40, 8, 56, 24), blue=(0, 0, 0, 0))
    heat_of = (40, 8, 56, 24)
    if turned:
        image, heat_of = image.transpose(Image.Transpose.TRANSPOSE), (8, 40, 24, 56)
    (heat,) = grad_cam(Explained([readable(recipe, 4)], head_with(RED_OR_BLUE)), [image], [0], CPU)
    left, top, right, bottom = heat_of
    assert heat.shape == image.size[::-1]
    assert heat[top:bottom, left:right].mean() > 0.6
    assert heat[top - 5 : bottom + 5, left - 5 : right + 5].sum() > 0.97 * heat.sum()


def test_what_was_cut_off_has_no_heat_and_is_told_by_the_box() -> None:
    cropped = readable(replace(WHOLE, size=(64, 64), scaled=(64, 64), resize="crop"))
    padded = readable(replace(WHOLE, size=(64, 64), scaled=(64, 64), resize="pad"))
    white = Image.new("RGB", (96, 64), "white")
    (heat,) = grad_cam(Explained([cropped], head_with([[1.0, 1.0], [0.0, 0.0]])), [white], [0], CPU)
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
    (heat,) = grad_cam(Explained([fine, coarse], head), [image], [0], CPU)
    assert heat[:24, :24].mean() == pytest.approx(1.0, abs=0.01)
    assert heat[48:, 80:].mean() == pytest.approx(1 / 3, abs=0.02)
    # what one encoder says against the class is taken off what the other says for it
    head = head_with([[3.0, 0.0, -3.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    (heat,) = grad_cam(Explained([fine, coarse], head), [painted((0, 0, 32, 32), (0, 0, 0, 0))], [0], CPU)
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
    (heat,) = grad_cam(
        Explained([encoder], head_with([difference.tolist(), (-difference).tolist()])), [image], [0], CPU
    )
    near = np.zeros_like(heat, dtype=bool)
    near[max(0, row - 12) : row + 60, max(0, column - 12) : column + 60] = True
    assert heat[near].mean() > 2 * heat[~near].mean()
