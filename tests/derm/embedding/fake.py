"""A tiny encoder that counts what it is given; run as a module, it embeds a folder slowly, to be killed on the way."""

import io
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from derm.embedding.extract import Extraction, extract
from derm.encoders.encoder import Encoder
from derm.images import digest

SIDE = 8
CPU = torch.device("cpu")


class Maps(nn.Module):
    """A fixed convolution; sleeps for each batch; `not_finite` makes it give NaN for bright images."""

    def __init__(self, seconds: float, not_finite: bool) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.kernel = torch.randn(5, 3, 3, 3, generator=generator)
        self.seconds, self.not_finite = seconds, not_finite
        self.batches: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds)
        self.batches.append(len(images))
        maps = torch.nn.functional.conv2d(images, self.kernel)
        if self.not_finite:
            maps[images.mean((1, 2, 3)) > 0.9] = float("inf")
        return maps


class Pooling(nn.Module):
    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.relu().mean((2, 3))


class Fake:
    """The encoder, and the images that went through its transform."""

    def __init__(self, seconds: float = 0.0, not_finite: bool = False, name: str = "fake") -> None:
        self.transformed: list[bytes] = []
        self.maps = Maps(seconds, not_finite)
        self.encoder = Encoder(
            maps=self.maps,
            pooling=Pooling(),
            transform=self._transform,
            manifest={"encoder": name},
            cam_layer=self.maps,
            to_grid=lambda maps: maps,
            covered=lambda width, height: (0, 0, width, height),
            weights={},
        )

    def _transform(self, image: Image.Image) -> torch.Tensor:
        self.transformed.append(image.tobytes())
        small = np.asarray(image.resize((SIDE, SIDE)), dtype=np.float32) / 255
        return torch.from_numpy(small.transpose(2, 0, 1).copy())


def write_images(folder: Path, count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Paths and digests of that many different images of 8 by 8."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    paths, digests = [], []
    for number in range(count):
        buffer = io.BytesIO()
        Image.fromarray(generator.integers(0, 200, (SIDE, SIDE, 3), dtype=np.uint8)).save(buffer, "PNG")
        path = folder / f"{number:03d}.png"
        path.write_bytes(buffer.getvalue())
        paths.append(str(path))
        digests.append(digest(buffer.getvalue()))
    return paths, digests


def listed(folder: Path) -> tuple[list[str], list[str]]:
    """What `write_images` wrote."""
    paths = sorted(folder.glob("*.png"))
    return [str(path) for path in paths], [digest(path.read_bytes()) for path in paths]


def embed(fake: Fake, images: tuple[list[str], list[str]], batch_size: int = 8) -> Extraction:
    return extract(fake.encoder, *images, batch_size, CPU)


if __name__ == "__main__":
    torch.set_num_threads(1)
    embed(Fake(seconds=0.1), listed(Path(sys.argv[1])))
