"""Nearest training lesions, against scikit-learn's neighbours."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file
from sklearn.neighbors import NearestNeighbors

from derm.diagnosis_names import full_name
from derm.errors import UserError
from derm.nearest import read_training_lesions, training_lesions, write_training_lesions

GENERATOR = np.random.default_rng(0)
POOLED = GENERATOR.normal(3, 2, (60, 2, 5)).astype(np.float16)
ROWS = pd.DataFrame(
    {
        "image_id": [f"i{number}" for number in range(60)],
        "lesion_id": [f"l{number // 2}" if number < 40 else "" for number in range(60)],
        "group": [f"g{number // 2}" if number < 40 else f"i{number}" for number in range(60)],
        "target": [number % 2 for number in range(60)],
    }
)
OF_IMAGES = POOLED.mean(axis=1, dtype=float)
MEAN, SCALE = OF_IMAGES.mean(axis=0), OF_IMAGES.std(axis=0)


def test_the_lesions_are_those_of_scikit_learn_each_once(tmp_path: Path) -> None:
    made = training_lesions(POOLED, ROWS, ["mel", "nv"])
    write_training_lesions(made, tmp_path / "nearest.safetensors")
    asked = GENERATOR.normal(3, 2, (7, 2, 5))
    told = read_training_lesions(tmp_path / "nearest.safetensors").nearest(asked)
    bank = (OF_IMAGES - MEAN) / SCALE
    found = NearestNeighbors(n_neighbors=60, metric="cosine").fit(bank)
    distances, places = found.kneighbors((asked.mean(axis=1) - MEAN) / SCALE)
    for text, near, order in zip(told, distances, places, strict=True):
        expected: dict[str, str] = {}
        for distance, place in zip(near, order, strict=True):
            lesion = ROWS["lesion_id"][place] or ROWS["group"][place]
            expected.setdefault(lesion, f"{lesion} ({['mel', 'nv'][place % 2]}, {1 - distance:.2f})")
        assert text.split("|") == list(expected.values())[:3]


def test_a_training_photograph_is_nearest_to_its_own_lesion() -> None:
    one_view = POOLED[:, :1]
    told = training_lesions(one_view, ROWS, ["mel", "nv"]).nearest(one_view)
    assert [text.split(" ")[0] for text in told] == list(
        ROWS["lesion_id"].where(ROWS["lesion_id"] != "", ROWS["group"])
    )
    assert all(", 1.00)" in text.split("|")[0] for text in told)


def test_another_file_is_refused(tmp_path: Path) -> None:
    save_file({"a": np.zeros(2)}, tmp_path / "nearest.safetensors", {"manifest": "{}"})
    with pytest.raises(UserError, match="does not hold training lesions"):
        read_training_lesions(tmp_path / "nearest.safetensors")


def test_full_names() -> None:
    assert full_name("mel") == full_name("MEL") == "melanoma"
    assert full_name("nv") == "melanocytic nevus"
    assert full_name("spitz nevus") == "spitz nevus"
