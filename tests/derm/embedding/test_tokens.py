"""Patch tokens: in their rows, never all in memory, and not without asking the disk."""

import os
import tracemalloc
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from derm.embedding import disk
from derm.embedding.disk import refuse_full_disk, token_needs, token_shape
from derm.embedding.extract import extract_job
from derm.embedding.key import embeddings_folder
from derm.embedding.token_map import open_tokens
from derm.embedding.tokens import TokenFile, as_tokens, bytes_of_tokens
from derm.errors import UserError
from tests.derm.embedding.fake import Fake, as_items, write_images

VIEWS = ("identity", "flip_horizontal")


@pytest.mark.parametrize(("pooling", "patches"), [(1, 36), (2, 9)])
def test_every_patch_is_in_its_place(workspace: Path, pooling: int, patches: int) -> None:
    """Against the convolution of each image alone, pooled by hand."""
    images = write_images(workspace / "images", 11)
    images = ([*images[0], images[0][2]], [*images[1], images[1][2]])
    fake = Fake()
    for computed in (22, 0):  # from the encoder, then from the cache
        job = fake.job(views=VIEWS, token_pooling=pooling)
        shape = (12, 2, patches, 5)
        file = TokenFile(workspace / "out", shape, {"a": 1})
        done = extract_job(job, as_items(images), lambda job, file=file: file)
        assert done.computed == computed
        tokens = open_tokens(workspace / "out")
        assert (tokens.shape, tokens.dtype) == (shape, np.float16)
        for row in (0, 2, 10, 11):
            for place, turn in enumerate((lambda image: image, lambda image: image.transpose(0))):
                grid = fake.maps(fake.encoder.transform(turn(Image.open(images[0][row])))[None])[0].numpy()
                side = 6 // pooling
                cells = grid.reshape(5, side, pooling, side, pooling).mean((2, 4))
                expected = cells.reshape(5, patches).T
                np.testing.assert_allclose(tokens[row, place], expected, rtol=2e-3, atol=2e-3)
        (workspace / "out" / "tokens.safetensors").unlink()
    assert not np.array_equal(done.features[0, 0], done.features[0, 1])


def test_a_grid_that_cannot_be_cut_is_one_line() -> None:
    with pytest.raises(UserError, match="grid of 7x6 patches cannot be cut into 2x2"):
        as_tokens(torch.zeros(1, 3, 7, 6), 2)


def test_the_file_is_as_safetensors_reads_it(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5, 2, 7, 3)).astype(np.float16)
    with TokenFile(tmp_path, (5, 2, 7, 3), {"encoder": {"encoder": "ä"}}) as file:
        for row in (3, 0, 4, 2, 1):
            for view in (1, 0):
                file.put(row, view, values[row, view])
        assert not (tmp_path / "tokens.safetensors").exists()
    np.testing.assert_array_equal(load_file(tmp_path / "tokens.safetensors")["tokens"], values)
    assert open_tokens(tmp_path).tobytes() == values.tobytes()
    assert os.listdir(tmp_path) == ["tokens.safetensors"]  # noqa: PTH208
    first = (tmp_path / "tokens.safetensors").read_bytes()
    with TokenFile(tmp_path, (5, 2, 7, 3), {"encoder": {"encoder": "ä"}}) as file:
        for row, view in np.ndindex(5, 2):
            file.put(row, view, values[row, view])
    assert (tmp_path / "tokens.safetensors").read_bytes() == first


def test_a_run_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), TokenFile(tmp_path, (5, 1, 7, 3), {}):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", [lambda c: c[:-1], lambda c: c[:30], lambda c: b"", lambda c: b"\xff" * 40])
def test_a_damaged_file_is_told(tmp_path: Path, damage) -> None:
    with pytest.raises(UserError, match=r"tokens\.safetensors is missing"):
        open_tokens(tmp_path)
    with TokenFile(tmp_path, (2, 1, 4, 3), {}) as file:
        file.put(0, 0, np.zeros((4, 3), np.float16))
    path = tmp_path / "tokens.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"tokens\.safetensors is damaged"):
        open_tokens(tmp_path)


def test_neither_writing_nor_opening_takes_memory(tmp_path: Path) -> None:
    """100 MB, of which one image's megabyte is in memory."""
    image = np.ones((1024, 512), np.float16)
    tracemalloc.start()
    with TokenFile(tmp_path, (100, 1, 1024, 512), {}) as file:
        for row in range(100):
            file.put(row, 0, image)
    tokens = open_tokens(tmp_path)
    assert tokens[57].sum(dtype=np.float64) == 1024 * 512
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert tokens.nbytes == 100 * 2**20
    assert peak < 5 * 2**20
    assert isinstance(tokens, np.memmap)


def test_medgemma_takes_94_gigabytes() -> None:
    assert bytes_of_tokens(10_015, (4096, 1152)) == 10_015 * 4096 * 1152 * 2 == 94_513_397_760
    assert bytes_of_tokens(10_015, (1024, 1152)) * 4 == 94_513_397_760


def test_needs_count_what_the_cache_lacks(workspace: Path) -> None:
    items = as_items(write_images(workspace / "images", 10))
    job = Fake().job(views=VIEWS, token_pooling=2)
    assert token_shape(job) == (9, 5)
    extract_job(job, items[:4])
    assert token_shape(Fake(memory=0).job(views=VIEWS, token_pooling=2)) == (9, 5)  # known, without a forward pass
    needs = token_needs(job, {Path("data/features"): items, Path("data/external_features/a"): items[:1]}, (9, 5))
    assert list(needs.values()) == [10 * 2 * 90, 1 * 2 * 90, 6 * 2 * 90]
    assert list(needs)[2] == embeddings_folder()


def test_a_disk_that_is_too_small_is_one_line(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda folder: usage(0, 0, 150 * 10**9))
    half = 94_513_397_760
    refuse_full_disk({Path("data/features"): half})
    assert "94.5 GB in data/features" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"needs 189\.0 GB .* 150\.0 GB are free: .*token_pooling=2") as refused:
        refuse_full_disk({Path("data/features"): half, embeddings_folder(): half})
    assert "\n" not in str(refused.value)
