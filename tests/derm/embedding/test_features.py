"""The features file comes back as it was, and is asked by image id."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from derm.embedding.features import Features, FeaturesParams, features_manifest, read_features, read_manifest
from derm.embedding.features import write_features as write
from derm.embedding.tokens import TokenFile
from derm.errors import UserError

POOLED = np.arange(24, dtype=np.float16).reshape(4, 2, 3)
MANIFEST = features_manifest([{"encoder": "fake"}], [3], [8], "cpu", ["identity", "crop_95"], False, None)
FEATURES = Features(POOLED, ["c", "a", "007", "b"], MANIFEST)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write(FEATURES, tmp_path)
    back = read_features(tmp_path)
    np.testing.assert_array_equal(back.pooled, POOLED)
    assert (back.pooled.dtype, back.image_ids, back.manifest) == (np.float16, FEATURES.image_ids, FEATURES.manifest)
    assert read_manifest(tmp_path) == FEATURES.manifest
    assert back.tokens is None


def test_tokens_come_with_them(tmp_path: Path) -> None:
    manifest = features_manifest([{"encoder": "fake"}], [3], [8], "cpu", ["identity"], True, 2)
    assert (manifest["token_pooling"], manifest["compile"]) == (2, True)
    write(Features(POOLED[:, :1], ["c", "a", "007", "b"], manifest), tmp_path)
    with pytest.raises(UserError, match=r"tokens\.safetensors is missing"):
        read_features(tmp_path)
    with TokenFile(tmp_path, (4, 1, 9, 5), {}) as file:
        file.put(2, 0, np.ones((9, 5), np.float16))
    tokens = read_features(tmp_path).tokens
    assert isinstance(tokens, np.memmap)
    assert (tokens.shape, tokens.sum(), tokens[2].sum()) == ((4, 1, 9, 5), 45, 45)


def test_manifest_says_nothing_of_what_is_off() -> None:
    assert set(MANIFEST) == {"encoders", "dims", "batch_size", "device", "views"}


def test_rows_are_where_the_images_stand_in_the_order_asked_for() -> None:
    rows = FEATURES.rows(pd.Series(["b", "c", "007", "b"], index=[9, 1, 5, 2]))
    assert rows.tolist() == [3, 0, 2, 3] and rows.dtype == np.int64
    np.testing.assert_array_equal(POOLED[rows[:1]], [[[18, 19, 20], [21, 22, 23]]])
    assert FEATURES.rows(pd.Series([], dtype=str)).tolist() == []


def test_an_absent_image_is_named() -> None:
    with pytest.raises(UserError, match="no features of image zzz"):
        FEATURES.rows(pd.Series(["a", "zzz"]))


def test_missing_features_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"features\.safetensors is missing"):
        read_features(tmp_path)


@pytest.mark.parametrize("wrong", [{"batch_size": 1}, {"views": 0}, {"views": 17}, {"token_pooling": 3}, {"tokens": 1}])
def test_impossible_values_are_refused(wrong: dict) -> None:
    given = {"batch_size": 16, "views": 1, "tokens": False, "token_pooling": 1, "compile": False}
    FeaturesParams.model_validate(given)
    with pytest.raises(ValidationError):
        FeaturesParams.model_validate(given | wrong)
