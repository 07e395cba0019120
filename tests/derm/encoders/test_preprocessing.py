"""One recipe against what timm and transformers themselves make of photographs that are not square."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from derm.encoders.image_processor_recipe import recipe_of
from derm.encoders.preprocessing import Recipe
from derm.errors import UserError

SIZES = [(600, 450), (450, 600), (97, 61), (61, 97), (450, 450)]
HALF = (0.5, 0.5, 0.5)


@cache
def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@cache
def smooth(width: int, height: int) -> Image.Image:
    """A brown spot on pink skin with soft light from one side, as a photograph is."""
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    spot = 1 / (1 + np.exp(12 * (np.hypot(x - 0.1, y + 0.15) - 0.45 + 0.05 * np.sin(5 * np.arctan2(y, x)))))
    skin, brown = np.array([220, 165, 150]), np.array([95, 55, 40])
    light = (1 + 0.1 * x - 0.05 * y)[..., None]
    return Image.fromarray(np.clip((skin + spot[..., None] * (brown - skin)) * light, 0, 255).astype(np.uint8))


PROCESSORS: dict[str, dict[str, Any]] = {
    "siglip": {
        "image_processor_type": "SiglipImageProcessor",
        "size": {"height": 448, "width": 448},
        "resample": 2,
        "image_mean": HALF,
        "image_std": HALF,
    },
    "gemma3": {
        "image_processor_type": "Gemma3ImageProcessor",
        "size": {"height": 896, "width": 896},
        "do_pan_and_scan": None,
        "resample": 2,
        "image_mean": HALF,
        "image_std": HALF,
    },
    "dinov2": {
        "image_processor_type": "BitImageProcessor",
        "size": {"shortest_edge": 256},
        "crop_size": {"height": 224, "width": 224},
        "resample": 3,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    },
    # As older repositories still have it: a number for a size, and no interpolation.
    "vit": {"feature_extractor_type": "ViTFeatureExtractor", "size": 224, "image_mean": HALF, "image_std": HALF},
    "clip": {"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 224, "resample": 3},
    "clip-odd": {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 255}, "crop_size": 224},
    "convnext": {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 224}, "crop_pct": 0.875},
    "convnext-384": {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}},
    "dinov3": {"image_processor_type": "DINOv3ViTImageProcessorFast", "size": {"height": 256, "width": 256}},
}


def write(folder: Path, content: dict[str, Any], file: str = "preprocessor_config.json") -> Path:
    (folder / file).write_text(json.dumps(content))
    return folder


def processor(folder: Path, backend: str) -> Any:
    from transformers import AutoImageProcessor

    from derm.encoders.quiet import quiet_transformers

    with quiet_transformers():
        return AutoImageProcessor.from_pretrained(folder, backend=backend)


@pytest.mark.parametrize("name", PROCESSORS)
def test_equals_the_models_own_processor(name: str, tmp_path: Path):
    folder = write(tmp_path, PROCESSORS[name])
    recipe = recipe_of(folder, name)
    pil, vision = processor(folder, "pil"), processor(folder, "torchvision")
    for size in SIZES:
        for image in (noise(*size), smooth(*size)):
            ours = recipe(image)
            if name != "dinov3":  # which has no processor of PIL
                theirs = torch.as_tensor(np.asarray(pil(image)["pixel_values"][0]))
                torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
            theirs = torch.as_tensor(vision(image, return_tensors="pt")["pixel_values"][0])
            levels = (ours - theirs).abs() * torch.tensor(recipe.std)[:, None, None] * 255
            # torchvision rounds to whole grey levels once, PIL after each direction; DINOv3's processor never.
            assert levels.max() < 2.01 and levels.mean() < (0.35 if name == "dinov3" else 0.02)


def test_reads_processor_config_and_scale_without_normalising(tmp_path: Path):
    content = {"image_processor": {**PROCESSORS["siglip"], "do_normalize": False}, "processor_class": "SiglipProcessor"}
    recipe = recipe_of(write(tmp_path, content, "processor_config.json"), "x")
    assert recipe == Recipe((448, 448), "squash", (448, 448), "bilinear", (0, 0, 0), (1, 1, 1), "down")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"do_resize": False}, "do_resize is false"),
        ({"rescale_factor": 1 / 127.5}, "rescale_factor is 0.00784"),
        ({"do_rescale": False}, "rescale_factor"),
        ({"resample": 4}, "resample is"),
        ({"size": {"shortest_edge": 224}}, "shortest_edge without do_center_crop"),
        ({"do_center_crop": True, "crop_size": {"height": 500, "width": 500}}, "crop_size 500x500 is larger"),
        ({"image_processor_type": "EfficientNetImageProcessor"}, "EfficientNetImageProcessor has steps of its own"),
        ({"image_processor_type": "NoSuchImageProcessor"}, "cannot be read from preprocessor_config.json"),
    ],
)
def test_refuses_what_a_recipe_cannot_say(change: dict[str, Any], reason: str, tmp_path: Path):
    with pytest.raises(UserError, match="preprocessing of x") as caught:
        recipe_of(write(tmp_path, PROCESSORS["siglip"] | change), "x")
    assert reason in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [224, 160, 256])
@pytest.mark.parametrize("share", [0.875, 0.95, 1.0])
@pytest.mark.parametrize("mode", ["center", "border", "squash"])
def test_equals_timm(mode: str, share: float, size: int):
    from timm.data.transforms_factory import create_transform

    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    scaled = int(size // share)
    resize: Any = {"center": "crop", "border": "pad", "squash": "squash"}[mode]
    recipe = Recipe((size, size), resize, (scaled, scaled), "bicubic", mean, std, "half-to-even")
    theirs: Any = create_transform(
        (3, size, size), is_training=False, interpolation="bicubic", mean=mean, std=std, crop_pct=share, crop_mode=mode
    )
    for shape in SIZES:
        for image in (noise(*shape), smooth(*shape)):
            assert torch.equal(recipe(image), theirs(image)), shape


RECIPES = {
    "squash": Recipe((160, 160), "squash", (160, 160), "bilinear", HALF, HALF, "down"),
    "squash and cut": Recipe((160, 160), "squash", (200, 200), "bilinear", HALF, HALF, "half-to-even"),
    "pad": Recipe((160, 160), "pad", (160, 160), "bilinear", HALF, HALF, "down"),
    "pad and cut": Recipe((160, 160), "pad", (180, 180), "bilinear", HALF, HALF, "down"),
    "crop": Recipe((160, 160), "crop", (160, 160), "bicubic", HALF, HALF, "down"),
    "crop and cut": Recipe((160, 160), "crop", (183, 183), "bicubic", HALF, HALF, "half-to-even"),
    "not square": Recipe((128, 192), "crop", (128, 192), "bicubic", HALF, HALF, "down"),
    "not square, padded": Recipe((128, 192), "pad", (128, 192), "bicubic", HALF, HALF, "down"),
}


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("shape", [(600, 450), (450, 600)])
def test_covered_says_where_the_photograph_goes(name: str, shape: tuple[int, int]):
    recipe, (width, height) = RECIPES[name], shape
    box = (0.4 * width, 0.35 * height, 0.62 * width, 0.58 * height)
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = 255
    shown = np.asarray(recipe.picture(Image.fromarray(pixels)))[:, :, 0]
    # Grey beside a padded photograph is not the rectangle.
    rows, columns = (np.flatnonzero((shown > 140).any(axis)) for axis in (1, 0))
    left, top, right, bottom = recipe.covered(width, height)
    across, down = recipe.size[1] / (right - left), recipe.size[0] / (bottom - top)
    expected = ((box[0] - left) * across, (box[1] - top) * down, (box[2] - left) * across, (box[3] - top) * down)
    assert np.abs(np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) - expected).max() < 1.5
    assert shown.shape == recipe.size


def test_what_is_padded_has_the_mean_colour():
    recipe = Recipe((100, 100), "pad", (100, 100), "bilinear", (0.2, 0.4, 0.6), (1, 1, 1), "down")
    shown = recipe(Image.new("RGB", (200, 100), "white"))
    assert shown.shape == (3, 100, 100) and shown[:, 30:70].min() > 0.3
    assert shown[:, :24].abs().max() < 0.003 and shown[:, 76:].abs().max() < 0.003


@pytest.mark.parametrize("name", RECIPES)
def test_the_manifest_holds_all_of_it(name: str):
    assert Recipe.from_manifest(json.loads(json.dumps(RECIPES[name].manifest()))) == RECIPES[name]


def test_changed_keeps_the_share_that_is_cut_off_and_resizes_otherwise_as_told():
    recipe = Recipe((224, 224), "crop", (256, 256), "bicubic", HALF, HALF, "down")
    assert recipe.changed(None, None, None) == recipe
    assert recipe.changed(448, None, "bilinear") == Recipe(
        (448, 448), "crop", (512, 512), "bilinear", HALF, HALF, "down"
    )
    assert recipe.changed(None, "pad", None) == Recipe((224, 224), "pad", (224, 224), "bicubic", HALF, HALF, "down")
    assert recipe.changed(112, "squash", None).scaled == (112, 112)


@pytest.mark.parametrize("size", [(1, 30000), (30000, 1)])
def test_a_thread_of_an_image_takes_no_memory(size: tuple[int, int]) -> None:
    """Its shorter side is to be 224 pixels: the longer would be millions."""
    recipe = Recipe((224, 224), "crop", (256, 256), "bicubic", (0.5,) * 3, (0.5,) * 3, "down")  # type: ignore[arg-type]
    image = Image.new("RGB", size, "white")
    image.paste("red", (size[0] // 2 - 5, size[1] // 2 - 5, size[0] // 2 + 5, size[1] // 2 + 5))
    assert recipe.picture(image).getpixel((112, 112)) == (255, 0, 0)
    left, top, right, bottom = recipe.covered(*size)
    assert (right - left, bottom - top) == pytest.approx((0.875, 0.875), rel=0.01)
