"""What a head is given: the right rows and views, moments, and never all tokens at once."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from derm.embedding.features import Features
from derm.errors import UserError
from derm.heads import inputs as module
from derm.heads.inputs import Inputs, inputs_of
from derm.heads.predict import image_logits
from tests.derm.heads.data import random_head, shape


def numbers(*size: int) -> np.ndarray:
    """Float16, of very different size by channel."""
    generator = np.random.default_rng(0)
    return (generator.normal(size=size) * np.logspace(-2, 2, size[-1]) + np.arange(size[-1])).astype(np.float16)


@pytest.mark.parametrize("size", [(7, 3, 5), (7, 3, 4, 5)])
def test_features_are_of_the_rows_and_views_asked_for(size: tuple[int, ...]) -> None:
    source = numbers(*size)
    given = Inputs(source, np.array([6, 0, 3, 3]))
    assert (len(given), given.views, given.channels) == (4, 3, 5)
    drawn = given.features(np.array([1, 2, 0]), np.array([2, 0, 1]), torch.float32)
    assert drawn.dtype == torch.float32
    np.testing.assert_array_equal(drawn, np.stack([source[0, 2], source[3, 0], source[6, 1]]).astype(np.float32))
    one_view = given.features(slice(1, 3), 1, torch.float64)
    np.testing.assert_array_equal(one_view, np.stack([source[0, 1], source[3, 1]]).astype(np.float64))
    one_view.add_(1)  # a copy, not the source
    np.testing.assert_array_equal(source, numbers(*size))


def test_metadata_are_of_the_images_and_not_of_the_sources_rows() -> None:
    metadata = np.arange(8.0).reshape(4, 2)
    given = Inputs(numbers(7, 1, 5), np.array([6, 0, 3, 2]), metadata)
    known = given.known(np.array([3, 0]), torch.float32)
    assert known is not None and known.dtype == torch.float32 and known.tolist() == [[6, 7], [0, 1]]
    assert Inputs(numbers(7, 1, 5), np.array([6])).known(slice(None), torch.float32) is None


def test_pooled_are_those_rows_in_float64() -> None:
    pooled = Inputs(numbers(7, 2, 5), np.array([6, 0])).pooled()
    assert pooled.dtype == np.float64
    np.testing.assert_array_equal(pooled, numbers(7, 2, 5)[[6, 0]])


@pytest.mark.parametrize("size", [(40, 3, 5), (40, 3, 4, 5), (40, 1, 6, 5)])
@pytest.mark.parametrize("chunk", [1, 7, 256])
def test_moments_are_those_of_all_images_views_and_patches(
    size: tuple[int, ...], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    source, rows = numbers(*size), np.arange(39, 3, -2)
    mean, deviation = Inputs(source, rows).moments()
    flat = source[rows].astype(np.float64).reshape(-1, 5)
    oracle: Any = StandardScaler().fit(flat)
    assert mean.dtype == deviation.dtype == np.float64
    np.testing.assert_allclose(mean, oracle.mean_, rtol=1e-12)
    np.testing.assert_allclose(deviation, flat.std(axis=0), rtol=1e-12)


def test_moments_of_a_large_mean_lose_no_digits() -> None:
    """The mean of squares less the square of the mean would."""
    source = 1e8 + np.random.default_rng(0).normal(size=(300, 1, 4, 2))
    np.testing.assert_allclose(Inputs(source, np.arange(300)).moments()[1], source.std(axis=(0, 1, 2)), rtol=1e-6)


def test_chunks_hold_every_image_once_and_few_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_NUMBERS", 100)
    for size, longest in (((20, 3, 4, 5), 5), ((20, 3, 30, 5), 1), ((20, 3, 5), 20), ((20, 3, 50), 2)):
        chunks = Inputs(np.zeros(size), np.arange(20)).chunks()
        assert [row for chunk in chunks for row in range(20)[chunk]] == list(range(20))
        assert max(len(range(20)[chunk]) for chunk in chunks) == longest


def test_tokens_are_read_where_they_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """16 MB on disk, which would be 64 MB in float64: never more than a few at once, and the same numbers."""
    monkeypatch.setattr(module, "CHUNK_NUMBERS", 2**16)
    generator, size = np.random.default_rng(0), (64, 2, 1024, 64)
    stored = np.memmap(tmp_path / "tokens", dtype=np.float16, mode="w+", shape=size)
    stored[:] = generator.normal(size=size)
    stored.flush()
    tokens = np.memmap(tmp_path / "tokens", dtype=np.float16, mode="r", shape=size)
    head = random_head(shape(64, 3, type="attention_pool", queries=1, query_width=4))
    given = Inputs(tokens, np.arange(63, -1, -1))
    tracemalloc.start()
    mean, deviation = given.moments()
    logits = image_logits(head, given)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20
    flat = np.asarray(tokens).astype(np.float64).reshape(-1, 64)
    np.testing.assert_allclose(mean, flat.mean(axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(deviation, flat.std(axis=0), rtol=1e-9)
    whole = Inputs(np.asarray(tokens)[[63, 5]], np.arange(2))
    np.testing.assert_allclose(image_logits(head, whole), logits[[0, 58]], rtol=1e-9)


FEATURES = Features(numbers(4, 2, 5), ["c", "a", "007", "b"], {})


def test_inputs_of_images_are_their_rows() -> None:
    metadata = np.array([[1.0], [2.0]])
    given = inputs_of(FEATURES, "pooled", pd.Series(["b", "c"]), metadata)
    np.testing.assert_array_equal(given.features(slice(None), 1, torch.float64), FEATURES.pooled[[3, 0], 1])
    assert given.metadata is metadata
    tokens = numbers(4, 2, 6, 5)
    given = inputs_of(Features(FEATURES.pooled, FEATURES.image_ids, {}, tokens), "tokens", pd.Series(["007"]))
    np.testing.assert_array_equal(given.features(slice(None), 0, torch.float64), tokens[[2], 0])


def test_a_missing_image_and_missing_tokens_are_one_line() -> None:
    with pytest.raises(UserError, match="no features of image zzz: run `dvc repro featurize`"):
        inputs_of(FEATURES, "pooled", pd.Series(["a", "zzz"]))
    with pytest.raises(UserError, match=r"none are stored: set features\.tokens=true"):
        inputs_of(FEATURES, "tokens", pd.Series(["a"]))
