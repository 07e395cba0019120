"""Small photographs with detail of their own, for tests that compare pictures."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter


def photograph(seed: int, width: int = 240, height: int = 180) -> Image.Image:
    """Skin with a blot, broad shades and fine lines: no two seeds alike."""
    generator = np.random.default_rng(seed)
    noise = [gaussian_filter(generator.normal(size=(height, width, 3)), (sigma, sigma, 0)) for sigma in (25, 6, 1.5)]
    shades = sum(weight * layer / layer.std() for weight, layer in zip((20, 12, 10), noise, strict=True))
    down, across = np.mgrid[0:height, 0:width]
    radius = np.hypot((down - height / 2) / height, (across - width / 2) / width)
    blot = 70 / (1 + np.exp((radius - 0.25) * 40))
    return Image.fromarray(np.clip(190 + shades - blot[..., None], 0, 255).astype(np.uint8))


def save(path: Path, image: Image.Image, quality: int = 92) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "JPEG", quality=quality)
    return path
