"""Pictures of what is no lesion, for the benchmarks: ordinary photographs, noise, frames of one colour; and their
features."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import typer
from PIL import Image
from sklearn.datasets import load_sample_images

from derm.device import choose_device
from derm.embedding.features import Features
from derm.embedding.forward import Forward, make_ready
from derm.embedding.views import apply_view
from derm.encoders.params import EncoderParams
from derm.encoders.registry import build_for_features
from derm.images import decode, read_bytes
from derm.params import load

TILES = 200
# Pixels, as HAM10000 in its smallest published size.
WIDTH, HEIGHT = 200, 150
COLOURS = {
    "black": (0, 0, 0),
    "dark grey": (64, 64, 64),
    "grey": (128, 128, 128),
    "white": (255, 255, 255),
    "red": (200, 30, 30),
    "green": (30, 160, 60),
    "blue": (30, 60, 200),
    "yellow": (240, 220, 60),
    "dermoscopic pink": (222, 160, 160),
    "pale skin": (244, 208, 177),
    "light skin": (231, 180, 143),
    "olive skin": (198, 134, 94),
    "brown skin": (141, 85, 54),
    "dark skin": (80, 48, 32),
}


def scikit_learn_pictures() -> list[Image.Image]:
    """A temple and a flower, 640x427."""
    return [Image.fromarray(picture) for picture in load_sample_images().images]


def scikit_image_pictures() -> list[Image.Image]:
    """The PNG and JPEG files of `skimage.data` that come with the wheel: an astronaut, a cat, coffee, grass, a retina,
    a page of text and others. Without scikit-image, which nothing else here needs, one line that says so."""
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise typer.BadParameter("this benchmark reads scikit-image's pictures: pip install scikit-image==0.26.0")
    folder = Path(spec.origin).parent / "data"
    files = sorted(path for path in folder.iterdir() if path.suffix in (".png", ".jpg"))
    return [decode(read_bytes(path)) for path in files]


def tiles(pictures: Sequence[Image.Image], seed: int = 1) -> list[Image.Image]:
    """So many tiles of 200x150 pixels, from each picture in turn that is larger than that."""
    generator = np.random.default_rng(seed)
    large = [np.asarray(picture) for picture in pictures if picture.width > WIDTH and picture.height > HEIGHT]
    cut = []
    for number in range(TILES):
        picture = large[number % len(large)]
        top = generator.integers(picture.shape[0] - HEIGHT)
        left = generator.integers(picture.shape[1] - WIDTH)
        cut.append(Image.fromarray(picture[top : top + HEIGHT, left : left + WIDTH]))
    return cut


def uniform_noise(seed: int = 2) -> list[Image.Image]:
    """Every number of every pixel for itself, any value as likely."""
    generator = np.random.default_rng(seed)
    return [_picture(generator.integers(0, 256, (HEIGHT, WIDTH, 3))) for _ in range(TILES)]


def noises() -> dict[str, list[Image.Image]]:
    """Kinds of noise, so many pictures of each: from hard and colourful to that of a camera on plain skin."""
    generator = np.random.default_rng(3)
    shape = (HEIGHT, WIDTH, 3)
    normal = [generator.normal(128, 40, shape) for _ in range(TILES)]
    grey = [np.repeat(generator.integers(0, 256, (HEIGHT, WIDTH, 1)), 3, axis=2) for _ in range(TILES)]
    pepper = [np.repeat(255 * generator.integers(0, 2, (HEIGHT, WIDTH, 1)), 3, axis=2) for _ in range(TILES)]
    skin = [np.array(COLOURS["light skin"]) + generator.normal(0, 12, shape) for _ in range(TILES)]
    soft = [generator.integers(0, 256, (6, 8, 3)) for _ in range(TILES)]
    return {
        "uniform": uniform_noise(),
        "normal": [_picture(one) for one in normal],
        "grey": [_picture(one) for one in grey],
        "black and white": [_picture(one) for one in pepper],
        "on light skin": [_picture(one) for one in skin],
        "soft colours": [_picture(one).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC) for one in soft],
    }


def blank_frames() -> dict[str, Image.Image]:
    """A frame of each of the COLOURS."""
    return {name: Image.new("RGB", (WIDTH, HEIGHT), colour) for name, colour in COLOURS.items()}


def embed(pictures: Sequence[Image.Image], features: Features) -> np.ndarray:
    """Float16 [n, views, dim], as `featurize` would."""
    manifest, device, blocks = features.manifest, choose_device(), []
    encoders = build_for_features(load("encoder", EncoderParams), manifest["encoders"])
    for encoder, size in zip(encoders, manifest["batch_size"], strict=True):
        forward = Forward(make_ready(encoder, device), size, device)
        views = []
        for view in manifest["views"]:
            seen = [encoder.transform(apply_view(picture, view)) for picture in pictures]
            batches = [seen[start : start + size] for start in range(0, len(seen), size)]
            views.append(np.concatenate([forward.launch(batch)().pooled for batch in batches]))
        blocks.append(np.stack(views, axis=1))
    return np.concatenate(blocks, axis=2)


def _picture(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))
