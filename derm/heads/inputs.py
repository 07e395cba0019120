"""What a head is given of some images: their pooled features or patch tokens, and their metadata."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from derm.embedding.features import Features
from derm.errors import UserError
from derm.heads.registry import Reads

# Where all images are gone through: how many at once, and how many numbers that may be (128 MB in float64).
CHUNK, CHUNK_NUMBERS = 256, 2**24


@dataclass(frozen=True)
class Inputs:
    """source: float [images, views, dim], or [images, views, patches, channels], perhaps a memory map; rows: which of
    its rows these images are, int [n]; metadata: float64 [n, columns], or None for a head without."""

    source: np.ndarray
    rows: np.ndarray
    metadata: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def views(self) -> int:
        """Views of each image."""
        return self.source.shape[1]

    @property
    def channels(self) -> int:
        """Width of a feature vector, or of a patch's."""
        return self.source.shape[-1]

    def features(self, which: np.ndarray | slice, views: np.ndarray | int, dtype: torch.dtype) -> torch.Tensor:
        """[n, dim] or [n, patches, channels] of some images, one view of each."""
        return torch.from_numpy(np.asarray(self.source[self.rows[which], views])).to(dtype)

    def known(self, which: np.ndarray | slice, dtype: torch.dtype) -> torch.Tensor | None:
        """The metadata of some images, [n, columns]."""
        return None if self.metadata is None else torch.from_numpy(self.metadata[which]).to(dtype)

    def chunks(self) -> list[slice]:
        """Slices of the images, each small enough to be in memory; patch tokens take megabytes an image."""
        size = max(1, min(CHUNK, CHUNK_NUMBERS // math.prod(self.source.shape[2:])))
        return [slice(start, start + size) for start in range(0, len(self), size)]

    def pooled(self) -> np.ndarray:
        """Float64 [n, views, dim] of all images. Only for pooled features: tokens do not fit into memory."""
        return self.source[self.rows].astype(np.float64)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each channel over images, views and patches, float64 [channels]."""
        if self.source.ndim == 3:
            flat = self.pooled().reshape(-1, self.channels)
            return flat.mean(axis=0), flat.std(axis=0)

        def patches() -> Iterator[np.ndarray]:
            for which in self.chunks():
                for view in range(self.views):
                    yield self.features(which, view, torch.float64).flatten(0, 1).numpy()

        count = len(self) * math.prod(self.source.shape[1:-1])
        mean, squares = np.zeros(self.channels), np.zeros(self.channels)
        for rows in patches():
            mean += rows.sum(axis=0) / count
        for rows in patches():
            squares += np.square(rows - mean).sum(axis=0)
        return mean, np.sqrt(squares / count)


def inputs_of(features: Features, reads: Reads, image_ids: pd.Series, metadata: np.ndarray | None = None) -> Inputs:
    """What a head that reads `pooled` or `tokens` is given of these images; metadata: their rows of it.

    UserError if an image has no features, or if tokens are wanted and not stored.
    """
    if reads == "pooled":
        return Inputs(features.pooled, features.rows(image_ids), metadata)
    if features.tokens is None:
        raise UserError("this head reads patch tokens, and none are stored: set features.tokens=true")
    return Inputs(features.tokens, features.rows(image_ids), metadata)
