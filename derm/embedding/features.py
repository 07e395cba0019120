"""The features file: what the encoders gave, for every image, with what defines it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from derm.errors import UserError
from derm.files import read_csv, read_tensors, write_csv, write_tensors
from derm.params import Section

FEATURES = Path("data/features")
EXTERNAL_FEATURES = Path("data/external_features")


class FeaturesParams(Section):
    """Section `features`: how the encoder is run."""

    batch_size: int = Field(ge=2, le=4096)
    views: int = Field(ge=1, le=16)
    tokens: bool
    token_pooling: Literal[1, 2]
    compile: bool


def refuse_tokens_of_several(params: FeaturesParams, encoder_name: str) -> None:
    """UserError if tokens are asked for and `encoder.name` joins several encoders, whose grids differ."""
    if params.tokens and "+" in encoder_name:
        raise UserError("features.tokens is true: tokens are of one encoder, and encoder.name joins several")


@dataclass(frozen=True)
class Features:
    """pooled: float16 [images, views, dim]; image_ids: [images]; manifest: see `features_manifest`; tokens: float16
    [images, views, patches, channels], a memory map, or None if they are not stored."""

    pooled: np.ndarray
    image_ids: list[str]
    manifest: dict[str, Any]
    tokens: np.ndarray | None = None

    def rows(self, image_ids: pd.Series) -> np.ndarray:
        """The row of each image, int [n]. UserError if one is not there."""
        row = {image_id: index for index, image_id in enumerate(self.image_ids)}
        absent = [image_id for image_id in image_ids if image_id not in row]
        if absent:
            raise UserError(f"{FEATURES}: no features of image {absent[0]}: run `dvc repro featurize`")
        return np.array([row[image_id] for image_id in image_ids], dtype=np.int64)


def features_manifest(
    encoders: Sequence[dict[str, Any]],
    dims: Sequence[int],
    batch_sizes: Sequence[int],
    device: str,
    views: Sequence[str],
    compiled: bool,
    token_pooling: int | None,
) -> dict[str, Any]:
    """What defines the features: of each encoder its manifest, the width of its block and the batch size of its
    forward pass; the kind of device; the views' names; whether it was compiled, and how tokens were pooled."""
    manifest: dict[str, Any] = {
        "encoders": list(encoders),
        "dims": list(dims),
        "batch_size": list(batch_sizes),
        "device": device,
        "views": list(views),
    }
    if compiled:
        manifest["compile"] = True
    if token_pooling is not None:
        manifest["token_pooling"] = token_pooling
    return manifest


def write_features(features: Features, folder: Path = FEATURES) -> None:
    """`features.safetensors` and `rows.csv`. Tokens are written by `derm.embedding.tokens.TokenFile`."""
    write_tensors(folder / "features.safetensors", {"pooled": features.pooled}, features.manifest)
    rows = pd.DataFrame({"row": range(len(features.image_ids)), "image_id": features.image_ids})
    write_csv(folder / "rows.csv", rows)


def read_features(folder: Path = FEATURES) -> Features:
    """What `write_features` wrote. UserError if it is missing or damaged."""
    tensors, manifest = read_tensors(folder / "features.safetensors")
    rows = read_csv(folder / "rows.csv", row=int)
    tokens = None
    if "token_pooling" in manifest:
        from derm.embedding.token_map import open_tokens

        tokens = open_tokens(folder)
    return Features(tensors["pooled"], list(rows["image_id"]), manifest, tokens)


def read_manifest(folder: Path = FEATURES) -> dict[str, Any]:
    """The manifest alone."""
    return read_tensors(folder / "features.safetensors")[1]
