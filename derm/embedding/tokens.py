"""Patch tokens: what the encoder gives before it pools, for each patch; so large that they are never all in memory."""

import os
import struct
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch

from derm.embedding.token_map import FILE
from derm.errors import UserError
from derm.files import canonical_json

_BYTES = 2  # of a float16


def as_tokens(grid: torch.Tensor, pooling: int) -> torch.Tensor:
    """[batch, channels, rows, columns] -> [batch, patches, channels], row by row; `pooling` 2: mean of 2x2 patches.

    UserError if the grid cannot be cut into 2x2.
    """
    if pooling > 1:
        rows, columns = grid.shape[2:]
        if rows % pooling or columns % pooling:
            raise UserError(
                f"features.token_pooling is {pooling}, and the encoder's grid of {rows}x{columns} patches cannot be "
                f"cut into {pooling}x{pooling}: set features.token_pooling=1, or another encoder.image_size"
            )
        grid = torch.nn.functional.avg_pool2d(grid, pooling)
    return grid.flatten(2).transpose(1, 2).contiguous()


def bytes_of_tokens(embeddings: int, shape: tuple[int, int]) -> int:
    """Size on disk of that many images (or views of them) of (patches, channels)."""
    return embeddings * shape[0] * shape[1] * _BYTES


class TokenFile:
    """Writes float16 [images, views, patches, channels] row by row, in any order; the file appears when it is whole."""

    def __init__(self, folder: Path, shape: tuple[int, int, int, int], manifest: dict[str, Any]) -> None:
        self._path = folder / FILE
        self._temporary = folder / f".{FILE}.{os.getpid()}.tmp"
        self._views, self._size = shape[1], bytes_of_tokens(1, shape[2:])
        size = bytes_of_tokens(shape[0] * shape[1], shape[2:])
        entry = {"dtype": "F16", "shape": list(shape), "data_offsets": [0, size]}
        header = canonical_json({"__metadata__": {"manifest": canonical_json(manifest)}, "tokens": entry}).encode()
        header += b" " * (-len(header) % 8)
        folder.mkdir(parents=True, exist_ok=True)
        self._stream = self._temporary.open("wb")
        self._stream.write(struct.pack("<Q", len(header)) + header)
        self._start = self._stream.tell()
        self._stream.truncate(self._start + size)

    def put(self, row: int, view: int, tokens: np.ndarray) -> None:
        """One view of one image: float16 [patches, channels]."""
        self._stream.seek(self._start + (row * self._views + view) * self._size)
        self._stream.write(np.ascontiguousarray(tokens).data)

    def __enter__(self) -> "TokenFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Whole: flushed to disk and renamed into place; on an error there is no file."""
        try:
            if kind is None:
                self._stream.flush()
                os.fsync(self._stream.fileno())
                self._temporary.replace(self._path)
        finally:
            self._stream.close()
            self._temporary.unlink(missing_ok=True)
