"""The features file: what the encoder gave, for every image, with what defines it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

    batch_size: int = Field(ge=1, le=4096)


@dataclass(frozen=True)
class Features:
    """pooled: float16 [images, views, dim]; image_ids: [images]; manifest: of the encoder, with batch and views."""

    pooled: np.ndarray
    image_ids: list[str]
    manifest: dict[str, Any]

    def of(self, image_ids: pd.Series) -> np.ndarray:
        """Float64 [n, dim] for these images (views averaged). UserError if one is not there."""
        row = {image_id: index for index, image_id in enumerate(self.image_ids)}
        absent = [image_id for image_id in image_ids if image_id not in row]
        if absent:
            raise UserError(f"{FEATURES}: no features of image {absent[0]}: run `dvc repro featurize`")
        return self.pooled[[row[image_id] for image_id in image_ids]].astype(np.float64).mean(axis=1)


def write_features(features: Features, folder: Path = FEATURES) -> None:
    """`features.safetensors` and `rows.csv`."""
    write_tensors(folder / "features.safetensors", {"pooled": features.pooled}, features.manifest)
    rows = pd.DataFrame({"row": range(len(features.image_ids)), "image_id": features.image_ids})
    write_csv(folder / "rows.csv", rows)


def read_features(folder: Path = FEATURES) -> Features:
    """What `write_features` wrote. UserError if it is missing or damaged."""
    tensors, manifest = read_tensors(folder / "features.safetensors")
    rows = read_csv(folder / "rows.csv", row=int)
    return Features(tensors["pooled"], list(rows["image_id"]), manifest)


def read_manifest(folder: Path = FEATURES) -> dict[str, Any]:
    """The manifest alone."""
    return read_tensors(folder / "features.safetensors")[1]
