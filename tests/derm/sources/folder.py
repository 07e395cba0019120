"""Small folders of real images for the tests of readers."""

from pathlib import Path

import numpy as np
from PIL import Image


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (64, 48)) -> Path:
    """A small image file of coloured noise; another seed, another picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path, format={".png": "PNG", ".bmp": "BMP"}.get(path.suffix.lower(), "JPEG"))
    return path


def listed(images) -> dict[str, tuple[str, str]]:
    """image_id -> diagnosis and source_part of a listing."""
    return {row.image_id: (row.diagnosis, row.source_part) for row in images.itertuples()}
