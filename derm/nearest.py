"""The training lesions that a photograph looks most like to the encoder, for a person to compare it with."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from derm.errors import UserError
from derm.files import read_tensors, write_tensors
from derm.lesions import lesions_of
from derm.out_of_distribution.distance import moments, standardise

SHOWN = 3
# Rows compared with the training part at once: bounds the memory.
CHUNK = 256


@dataclass(frozen=True)
class TrainingLesions:
    """features: float16 [n, dim] of the training images, standardised, the mean over views; of each image the lesion
    (where it is not known, the image) and the class's name; mean and scale: float32 [dim], of the features."""

    features: np.ndarray
    lesions: list[str]
    diagnoses: list[str]
    mean: np.ndarray
    scale: np.ndarray

    def nearest(self, features: np.ndarray) -> list[str]:
        """For features [n, views, dim] a text each: ``lesion (class, similarity)`` of the most similar, with | between.

        `SHOWN` lesions. The similarity is the cosine of the standardised features; a lesion's is that of its most
        similar photograph.
        """
        lesions = np.array(self.lesions)
        told = []
        for start in range(0, len(features), CHUNK):
            asked = standardise(features[start : start + CHUNK], self.mean, self.scale)
            for row in _directions(asked) @ self._bank.T:
                order = np.argsort(-row, kind="stable")
                _, first = np.unique(lesions[order], return_index=True)
                best = order[np.sort(first)[:SHOWN]]
                told.append("|".join(f"{lesions[place]} ({self.diagnoses[place]}, {row[place]:.2f})" for place in best))
        return told

    @cached_property
    def _bank(self) -> np.ndarray:
        """The training images' rows of length 1: made once, and not for every batch of photographs."""
        return _directions(self.features.astype(np.float64))


def training_lesions(pooled: np.ndarray, rows: pd.DataFrame, classes: list[str]) -> TrainingLesions:
    """pooled: float16 [n, views, dim] of the training images; rows: their `lesion_id, group, target`."""
    mean, scale = moments(pooled)
    diagnoses = [classes[target] for target in rows["target"]]
    features = standardise(pooled, mean, scale).astype(np.float16)
    return TrainingLesions(features, list(lesions_of(rows)), diagnoses, mean, scale)


def _directions(standardised: np.ndarray) -> np.ndarray:
    """Rows of length 1, float64 [n, dim]."""
    return standardised / np.maximum(np.linalg.norm(standardised, axis=1, keepdims=True), 1e-12)


def write_training_lesions(lesions: TrainingLesions, path: Path) -> None:
    """One safetensors file."""
    tensors = {"features": lesions.features, "mean": lesions.mean, "scale": lesions.scale}
    write_tensors(path, tensors, {"lesions": lesions.lesions, "diagnoses": lesions.diagnoses})


def read_training_lesions(path: Path) -> TrainingLesions:
    """What `write_training_lesions` wrote. UserError if it is missing or damaged."""
    tensors, told = read_tensors(path)
    if set(tensors) != {"features", "mean", "scale"} or set(told) != {"lesions", "diagnoses"}:
        raise UserError(f"{path} does not hold training lesions: copy the whole folder again")
    return TrainingLesions(tensors["features"], told["lesions"], told["diagnoses"], tensors["mean"], tensors["scale"])
