"""Where the encoder runs: a matter of speed, so environment and not params."""

import os

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
