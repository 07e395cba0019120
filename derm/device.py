"""Where the encoder runs: a matter of speed, so environment and not params."""

import ctypes
import os
from contextlib import suppress

import torch

from derm.errors import UserError


def choose_device() -> torch.device:
    """``$DERM_DEVICE`` (auto, cpu, cuda, mps); auto takes the fastest there is. UserError if it is not there."""
    wanted = os.environ.get("DERM_DEVICE", "auto")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        wanted = next(name for name in ("cuda", "mps", "cpu") if there[name])
    if wanted not in there:
        raise UserError(f"DERM_DEVICE is {wanted!r}, expected auto, cpu, cuda or mps")
    if not there[wanted]:
        raise UserError(f"DERM_DEVICE is {wanted}, but torch sees no such device here: use auto or cpu")
    return torch.device(wanted)


def keep_freed_memory() -> None:
    """From now on, this process keeps the memory that it frees, up to 2 GB, and takes its next large array from it.

    glibc gives arrays of a megabyte back to the system and fetches them anew, page by page, for every layer of every
    batch: half the time of a small network on a CPU. Elsewhere than with glibc nothing happens.
    """
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h, see mallopt(3)
    with suppress(AttributeError, OSError, TypeError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(trim_threshold, 2**31 - 1)
        allocator.mallopt(mmap_threshold, 2**30)
