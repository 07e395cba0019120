"""A tiny encoder that counts what it is given, and tiny images for it."""

import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from derm.embedding.extract import Extraction, extract_job
from derm.embedding.job import Item, Job, make_job
from derm.encoders.encoder import Encoder
from derm.images import digest

SIDE = 8
CPU = torch.device("cpu")


class Maps(nn.Module):
    """A fixed convolution; sleeps for each batch; `not_finite` makes it give infinity for bright images; batches over
    `memory` images do not fit in memory."""

    def __init__(self, seconds: float, not_finite: bool, memory: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.kernel = torch.randn(5, 3, 3, 3, generator=generator)
        self.seconds, self.not_finite, self.memory = seconds, not_finite, memory
        self.batches: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if len(images) > self.memory:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
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
    """The encoder, and the sizes of the images that went through its transform."""

    def __init__(
        self,
        seconds: float = 0.0,
        not_finite: bool = False,
        name: str = "fake",
        memory: int = 10**6,
        **manifest: Any,
    ) -> None:
        self.transformed: list[tuple[int, int]] = []
        self.maps = Maps(seconds, not_finite, memory)
        self.encoder = Encoder(
            maps=self.maps,
            pooling=Pooling(),
            transform=self._transform,
            manifest={"encoder": name, **manifest},
            cam_layer=self.maps,
            to_grid=lambda maps: maps,
            covered=lambda width, height: (0, 0, width, height),
            weights={},
        )

    def job(self, batch_size: int = 16, **options: Any) -> Job:
        return make_job(self.encoder, batch_size, CPU, **options)

    def _transform(self, image: Image.Image) -> torch.Tensor:
        self.transformed.append(image.size)
        small = np.asarray(image.resize((SIDE, SIDE)), dtype=np.float32) / 255
        return torch.from_numpy(small.transpose(2, 0, 1).copy())


def write_images(folder: Path, count: int, seed: int = 0, side: int = SIDE) -> tuple[list[str], list[str]]:
    """Paths and digests of that many different square images."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    paths, digests = [], []
    for number in range(count):
        buffer = io.BytesIO()
        pixels = generator.integers(0, 200, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST).save(buffer, "PNG")
        path = folder / f"{number:05d}.png"
        path.write_bytes(buffer.getvalue())
        paths.append(str(path))
        digests.append(digest(buffer.getvalue()))
    return paths, digests


def as_items(images: tuple[Sequence[str], Sequence[str]]) -> list[Item]:
    return [Item(path, key) for path, key in zip(*images, strict=True)]


def listed(folder: Path) -> list[Item]:
    """What `write_images` wrote."""
    return [Item(str(path), digest(path.read_bytes())) for path in sorted(folder.glob("*.png"))]


def embed(fake: Fake, images: tuple[list[str], list[str]], batch_size: int = 16, **options: Any) -> Extraction:
    return extract(fake.encoder, *images, batch_size, CPU, **options)


def extract(
    encoder: Encoder,
    paths: Sequence[str],
    digests: Sequence[str],
    batch_size: int,
    device: torch.device,
    **options: Any,
) -> Extraction:
    """Embed the images (path and expected SHA-256 each); options: as `make_job` takes them."""
    return extract_job(make_job(encoder, batch_size, device, **options), as_items((paths, digests)))
