"""Small encoders, params and photographs for tests of the training of encoders."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from derm.adaptation.augmentation import Augmentation
from derm.adaptation.fit import Parts
from derm.adaptation.params import AdaptParams
from derm.adaptation.photographs import Photographs
from derm.encoders.encoder import Encoder
from derm.encoders.registry import build_encoder
from derm.images import digest
from derm.task import Task
from tests.closure import ROOT
from tests.derm.encoders.params import params as encoder_params
from tests.derm.encoders.tiny import FAMILIES

NAMES = {"gemma3": "medgemma-4b", "siglip": "medsiglip-448"}
TASK = Task(["bkl", "mel", "nv"], {name: name for name in ("bkl", "mel", "nv")}, "mel")


def params(**changes: Any) -> AdaptParams:
    """Section `adapt` of params.yaml but for the changes; those of `lora` and `loss` are put into theirs."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["adapt"]
    for nested in ("lora", "loss"):
        content[nested] |= changes.pop(nested, {})
    return AdaptParams.model_validate(content | changes)


@cache
def checkpoint(family: str) -> Path:
    """A tiny checkpoint of transformers, written once."""
    return FAMILIES[family](Path(mkdtemp()) / family)


def encoder(family: str, **changes: Any) -> Encoder:
    """A tiny encoder: a family of transformers, a model of timm with random weights, or simple-cnn."""
    if family in FAMILIES:
        name = NAMES.get(family, f"hf/nobody/{family}")
        part = replace(encoder_params(), name=name, weights=str(checkpoint(family)), **changes)
        return build_encoder(part, compare_digest=False)
    return build_encoder(replace(encoder_params(), name=family, **changes))


def input_of(made: Encoder, count: int = 6, seed: int = 0) -> torch.Tensor:
    """Random images as the encoder's transform would give them."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, *made.manifest["transform"]["size"], generator=generator)


def photographs(folder: Path, count: int, seed: int, transform: Any, level: str = "flips") -> Photographs:
    """Photographs of 40x30 pixels whose colour tells the class, with noise; target k is `number % 3`."""
    draws = np.random.default_rng(seed)
    paths, digests = [], []
    for number in range(count):
        pixels = draws.integers(60, 140, (30, 40, 3))
        pixels[..., number % 3] += 60
        path = folder / f"{seed}-{number}.png"
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        paths.append(str(path))
        digests.append(digest(path.read_bytes()))
    return Photographs(paths, digests, transform, Augmentation(level, 32))  # type: ignore[arg-type]


def parts(folder: Path, made: Encoder, train: int = 18, val: int = 9, level: str = "flips") -> Parts:
    """A training part and a val of such photographs."""
    return Parts(
        train=photographs(folder, train, 1, made.transform, level),
        train_targets=np.arange(train) % 3,
        val=photographs(folder, val, 2, made.transform, level),
        val_targets=np.arange(val) % 3,
    )
