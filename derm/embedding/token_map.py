"""Reading the patch tokens without loading them; apart from their writing, so that a head needs no torch for it."""

import json
import struct
from pathlib import Path

import numpy as np

from derm.errors import UserError

FILE = "tokens.safetensors"


def open_tokens(folder: Path) -> np.ndarray:
    """The tokens as a read-only memory map, float16 [images, views, patches, channels]: read where they are used.

    UserError if the file is missing or damaged.
    """
    path = folder / FILE
    try:
        with path.open("rb") as stream:
            length = struct.unpack("<Q", stream.read(8))[0]
            entry = json.loads(stream.read(length))["tokens"]
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        if path.stat().st_size != end or entry["dtype"] != "F16":
            raise ValueError("cut short")
        return np.memmap(path, dtype=np.float16, mode="r", offset=start, shape=tuple(entry["shape"]))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro`, which makes it") from None
    except (ValueError, KeyError, struct.error, OverflowError, MemoryError):
        raise UserError(f"{path} is damaged: delete it and run `dvc repro`") from None
