"""How far an image lies from the training images, by its features, and from where on it counts as something else."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from derm.decisions.outcome import CALIBRATION
from derm.errors import UserError
from derm.files import DECIMALS, read_tensors, write_tensors
from derm.params import Section

FILE = CALIBRATION / "ood.safetensors"

# Standard deviations, as for the heads: an empty bin of a histogram would else be thousands away in the one image
# where it is not.
LIMIT = 10.0


@dataclass(frozen=True)
class Cloud:
    """Where the training images lie: mean and covariance of their standardised features.

    mean, scale: float32 [dim], of the features; axes: float32 [dim, axes], orthonormal; variances: float32 [axes],
    along them; rest: float32 [1], the mean variance of all other directions, 0 if there are none.
    """

    mean: np.ndarray
    scale: np.ndarray
    axes: np.ndarray
    variances: np.ndarray
    rest: np.ndarray

    def scores(self, pooled: np.ndarray) -> np.ndarray:
        """Features [n, views, dim] -> float64 [n], the Mahalanobis distances with the decimals that are stored."""
        standardised = standardise(pooled, self.mean, self.scale)
        along = standardised @ self.axes.astype(np.float64)
        squares = (along**2 / self.variances).sum(axis=1)
        if self.rest[0] > 0:
            # Rounding could put what is left a hair below 0.
            squares += ((standardised**2).sum(axis=1) - (along**2).sum(axis=1)).clip(min=0) / self.rest[0]
        return np.sqrt(squares).round(DECIMALS)


class Threshold(Section):
    """An image is outside if its score is above `score`; of the calibration part's `lesions` the `share` is not."""

    score: float = Field(ge=0)
    share: float
    lesions: int


@dataclass(frozen=True)
class OutOfDistribution:
    """What `calibrate` fitted: the cloud of the training images, and how far from it an image is outside."""

    cloud: Cloud
    threshold: Threshold

    def told(self, pooled: np.ndarray) -> pd.DataFrame:
        """Features [n, views, dim] -> columns `ood_score`, the distance, and `ood`, 1 if it is outside, else 0."""
        scores = self.cloud.scores(pooled)
        return pd.DataFrame({"ood_score": scores, "ood": (scores > self.threshold.score).astype(int)})


def moments(pooled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale of features [n, views, dim], the mean over the views: float32 [dim]; a constant feature keeps
    scale 1, as for the heads."""
    of_images = pooled.mean(axis=1, dtype=np.float64)
    deviation = of_images.std(axis=0)
    return of_images.mean(axis=0).astype(np.float32), np.where(deviation > 1e-8, deviation, 1.0).astype(np.float32)


def standardise(pooled: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Features [n, views, dim] -> float64 [n, dim], the mean over the views, within LIMIT standard deviations."""
    return ((pooled.mean(axis=1, dtype=np.float64) - mean) / scale).clip(-LIMIT, LIMIT)


def write_out_of_distribution(fitted: OutOfDistribution, path: Path = FILE) -> None:
    """One safetensors file; its manifest holds the threshold."""
    write_tensors(path, vars(fitted.cloud), fitted.threshold.model_dump())


def read_out_of_distribution(path: Path = FILE) -> OutOfDistribution:
    """What `write_out_of_distribution` wrote. UserError if the file is missing or damaged."""
    tensors, manifest = read_tensors(path)
    try:
        cloud, threshold = Cloud(**tensors), Threshold.model_validate(manifest)
        shapes = [cloud.mean.shape, cloud.scale.shape, cloud.axes.shape, cloud.variances.shape, cloud.rest.shape]
        dim, count = cloud.axes.shape
        if shapes != [(dim,), (dim,), (dim, count), (count,), (1,)]:
            raise ValueError("arrays that do not belong together")
    except (TypeError, ValueError):  # a ValidationError is a ValueError
        raise UserError(f"{path} does not hold the distances of this version: run `dvc repro calibrate`") from None
    return OutOfDistribution(cloud, threshold)
