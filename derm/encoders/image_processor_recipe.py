"""A model's own preprocessing, as transformers reads it from its repository, told as a `Recipe`."""

import math
from pathlib import Path
from typing import Any

from PIL import Image

from derm.encoders.preprocessing import INTERPOLATIONS, Recipe, Resize
from derm.encoders.quiet import quiet_transformers
from derm.errors import UserError

FILES = ("preprocessor_config.json", "processor_config.json")
# Classes with steps of their own that come to the same: Gemma3's cuts only if asked to pan and scan, DINOv3's resizes
# before it rounds to whole grey levels.
_AS_USUAL = ("Gemma3ImageProcessor", "DINOv3ViTImageProcessor")
_CONVNEXT = "ConvNextImageProcessor"


def recipe_of(folder: Path, where: str) -> Recipe:
    """From `preprocessor_config.json`, or `processor_config.json`, in a folder with the model's `config.json`.

    UserError if it cannot be read, or asks for steps that a `Recipe` does not have.
    """
    from transformers import AutoImageProcessor

    try:
        with quiet_transformers():
            processor: Any = AutoImageProcessor.from_pretrained(folder, backend="pil", trust_remote_code=False)
    # Whatever a wrong config makes transformers raise, the config is the cause.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"preprocessing of {where} cannot be read from {' or '.join(FILES)}: {reason}") from None
    try:
        return _recipe(processor)
    except ValueError as error:
        raise UserError(
            f"preprocessing of {where}: {error}; derm resizes, crops the middle and normalises, and nothing else"
        ) from None


def _recipe(processor: Any) -> Recipe:
    """ValueError, with the reason, for anything else than: resize, crop the middle, divide by 255, normalise."""
    name = type(processor).__name__.removesuffix("Pil")
    if name not in (*_AS_USUAL, _CONVNEXT) and _has_own_steps(type(processor)):
        raise ValueError(f"{name} has steps of its own")
    if not processor.do_resize:
        raise ValueError("do_resize is false, but photographs come in many sizes")
    if not processor.do_rescale or not math.isclose(processor.rescale_factor, 1 / 255):
        raise ValueError(f"rescale_factor is {processor.rescale_factor}, expected 1/255")
    if getattr(processor, "do_pad", False):
        raise ValueError("do_pad is true")
    interpolation = next(
        (key for key, value in INTERPOLATIONS.items() if value == Image.Resampling(int(processor.resample))), None
    )
    if interpolation is None:
        raise ValueError(f"resample is {processor.resample}, expected one of {', '.join(INTERPOLATIONS)}")
    size, resize, scaled = _convnext(processor) if name == _CONVNEXT else _sizes(processor)
    normal = bool(processor.do_normalize)
    return Recipe(
        size=size,
        resize=resize,
        scaled=scaled,
        interpolation=interpolation,
        mean=_three(processor.image_mean) if normal else (0.0, 0.0, 0.0),
        std=_three(processor.image_std) if normal else (1.0, 1.0, 1.0),
        rounding="down",
    )


def _sizes(processor: Any) -> tuple[tuple[int, int], Resize, tuple[int, int]]:
    size, crop = processor.size, getattr(processor, "crop_size", None)
    cuts = bool(getattr(processor, "do_center_crop", False))
    resize: Resize
    if size.height and size.width:
        resize, scaled = "squash", (size.height, size.width)
    elif size.shortest_edge and not size.longest_edge:
        resize, scaled = "crop", (size.shortest_edge, size.shortest_edge)
    else:
        raise ValueError(f"size is {dict(size)}, expected height and width, or shortest_edge")
    if cuts:
        if not (crop and crop.height and crop.width):
            raise ValueError("do_center_crop is true without height and width in crop_size")
        if crop.height > scaled[0] or crop.width > scaled[1]:
            raise ValueError(f"crop_size {crop.height}x{crop.width} is larger than size {scaled[0]}x{scaled[1]}")
        return (crop.height, crop.width), resize, scaled
    if resize == "crop":
        raise ValueError("shortest_edge without do_center_crop gives an input of no fixed size")
    return scaled, resize, scaled


def _convnext(processor: Any) -> tuple[tuple[int, int], Resize, tuple[int, int]]:
    """ConvNeXt's and ResNet's rule: below 384 px the middle is cut out, else the photograph is squashed."""
    edge = processor.size.shortest_edge
    if not edge or getattr(processor, "do_center_crop", False):
        raise ValueError(f"size is {dict(processor.size)}, expected shortest_edge, and no do_center_crop")
    if edge >= 384:
        return (edge, edge), "squash", (edge, edge)
    scaled = int(edge / processor.crop_pct)
    return (edge, edge), "crop", (scaled, scaled)


def _has_own_steps(kind: type) -> bool:
    """Whether a class does more than transformers' common steps with the common attributes."""
    from transformers.image_processing_backends import PilBackend, TorchvisionBackend

    steps = ("_preprocess", "preprocess", "resize", "center_crop", "rescale", "normalize")
    common = PilBackend if issubclass(kind, PilBackend) else TorchvisionBackend
    return any(getattr(kind, step, None) is not getattr(common, step, None) for step in steps)


def _three(values: Any) -> tuple[float, float, float]:
    channels = [float(value) for value in ([values] * 3 if isinstance(values, int | float) else values)]
    if len(channels) != 3:
        raise ValueError(f"mean or deviation is {channels}, expected one number for each of three channels")
    return channels[0], channels[1], channels[2]
