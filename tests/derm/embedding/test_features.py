"""The features file comes back as it was, and is asked by image id."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from derm.embedding.features import Features, read_features, read_manifest, write_features
from derm.errors import UserError

POOLED = np.arange(24, dtype=np.float16).reshape(4, 2, 3)
FEATURES = Features(POOLED, ["c", "a", "007", "b"], {"encoder": {"encoder": "fake"}, "views": 2, "batch_size": 8})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_features(FEATURES, tmp_path)
    back = read_features(tmp_path)
    np.testing.assert_array_equal(back.pooled, POOLED)
    assert (back.pooled.dtype, back.image_ids, back.manifest) == (np.float16, FEATURES.image_ids, FEATURES.manifest)
    assert read_manifest(tmp_path) == FEATURES.manifest


def test_views_are_averaged_and_rows_are_those_asked_for() -> None:
    # rows 3 and 0: views (18, 19, 20) and (21, 22, 23); (0, 1, 2) and (3, 4, 5)
    expected = [[19.5, 20.5, 21.5], [1.5, 2.5, 3.5]]
    asked = FEATURES.of(pd.Series(["b", "c"]))
    np.testing.assert_array_equal(asked, expected)
    assert asked.dtype == np.float64


def test_an_absent_image_is_named() -> None:
    with pytest.raises(UserError, match="no features of image zzz"):
        FEATURES.of(pd.Series(["a", "zzz"]))


def test_missing_features_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"features\.safetensors is missing"):
        read_features(tmp_path)
