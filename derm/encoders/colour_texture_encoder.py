"""The colour-texture bank as an encoder: no weights, no download."""

from typing import Any

import numpy as np
import torch
from PIL import Image

from derm.encoders.colour_texture import IMAGE_SIZE, VERSION, ColourTexture, ColourTexturePooling
from derm.encoders.encoder import Encoder
from derm.errors import UserError


def build(weights: str, model_args: dict[str, Any]) -> Encoder:
    """UserError if weights or model arguments are given: it has none."""
    if weights != "none":
        raise UserError(f"encoder.weights is {weights!r}: colour-texture has no weights, set encoder.weights=none")
    if model_args:
        raise UserError(f"encoder.model_args is {model_args}: colour-texture takes none, set encoder.model_args={{}}")
    maps = ColourTexture().eval()
    return Encoder(
        maps=maps,
        pooling=ColourTexturePooling().eval(),
        transform=transform,
        manifest={
            "encoder": "colour-texture",
            "version": VERSION,
            "transform": {"size": [IMAGE_SIZE, IMAGE_SIZE], "resize": "squash", "interpolation": "bilinear"},
            "precision": "float32",
        },
        cam_layer=maps,
        to_grid=lambda responses: responses,
        covered=lambda width, height: (0, 0, width, height),
        weights={},
    )


def transform(image: Image.Image) -> torch.Tensor:
    """RGB in [0, 1], float32 [3, 128, 128]; squashed, so that nothing is cut off."""
    small = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(small).transpose(2, 0, 1).astype(np.float32) / 255)
