"""`python -m derm cache`: what is kept, and what may go."""

import os
import time
from pathlib import Path

import pytest

from derm.embedding.cache_report import kept, prune, show
from derm.embedding.features import features_manifest
from derm.embedding.key import embeddings_folder
from tests.derm.embedding.fake import Fake, embed, write_images

TRANSFORM = {"size": [224, 224], "resize": "squash"}


A: dict = {"transform": TRANSFORM, "pooling": "mean", "precision": "float32"}


@pytest.fixture
def images(workspace: Path) -> tuple[list[str], list[str]]:
    """Two encoders, one of them with two views, and things that are not the cache's."""
    images = write_images(workspace / "images", 20)
    embed(Fake(name="a", **A), images, views=("identity", "crop_95"))
    embed(Fake(name="b"), images)
    for stray in ("stray.safetensors", "notes/stray.safetensors"):
        path = embeddings_folder() / stray
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 10)
    return images


def features_of(fake: Fake, **changes: object) -> dict:
    """The manifest of features that this encoder gave."""
    return features_manifest([fake.encoder.manifest], [5], [8], "cpu", ["identity"], False, None) | changes


def folders(told: list[str]) -> list[str]:
    return sorted(line.split(":")[1].strip() for line in told if line.startswith("removed"))


def test_each_key_is_a_line(images: tuple, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    show()
    lines = capsys.readouterr().out.splitlines()
    today = time.strftime("%Y-%m-%d")
    head = "a: 224x224 squash, mean pooling, float32, view"
    assert any(line.startswith(f"{head} crop_95, batches of 8 on cpu: 20 images, ") for line in lines)
    assert any(line.startswith(f"{head} identity, ") and line.endswith(today) for line in lines)
    assert any(line.startswith("b: view identity") for line in lines)
    size = sum(path.stat().st_size for path in embeddings_folder().glob("*/*/*") if path.is_file())
    assert lines[-1].startswith(f"{size / 1e6:,.1f} MB in ")
    assert len(lines) == 4


def test_pruning_keeps_what_the_features_are_made_of(images: tuple, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    prune(features_of(Fake(name="b")))
    assert folders(capsys.readouterr().out.splitlines()) == ["a", "a"]
    assert [one.stored.content["encoder"] for one in kept() if one.stored] == [{"encoder": "b"}]
    assert embed(Fake(name="b"), images).computed == 0


@pytest.mark.parametrize(
    ("changes", "removed"),
    [
        ({}, ["a", "b"]),  # the other view too
        ({"views": ["identity", "crop_95"]}, ["b"]),
        ({"device": "cuda"}, ["a", "a", "b"]),
        ({"batch_size": [16]}, ["a", "a", "b"]),
        ({"token_pooling": 1}, ["a", "a", "b"]),
    ],
)
def test_what_is_of_another_setting_goes(
    images: tuple, changes: dict, removed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    prune(features_of(Fake(name="a", **A), **changes))
    assert folders(capsys.readouterr().out.splitlines()) == removed


def test_what_is_not_the_caches_and_what_is_damaged_stays(images: tuple) -> None:
    damaged = next(one.folder for one in kept() if one.stored and one.stored.content["encoder"]["encoder"] == "b")
    for text in ("not JSON", '{"key": null, "shape": null}'):
        (damaged / "key.json").write_text(text)
        prune(features_of(Fake(name="nobody")))
        assert [one.folder for one in kept()] == [damaged]
    assert (embeddings_folder() / "stray.safetensors").is_file()
    assert (embeddings_folder() / "notes/stray.safetensors").is_file()
    assert embed(Fake(name="b"), images).computed == 0


def test_pruning_by_age_goes_by_the_last_use(images: tuple) -> None:
    for one in kept():
        for path in [*one.folder.iterdir(), one.folder]:
            os.utime(path, (0, time.time() - 10 * 86400))
    embed(Fake(name="b"), images)  # used again
    nothing = features_of(Fake(name="nobody"))
    prune(nothing, older_than=11)
    assert len(kept()) == 3
    prune(nothing, older_than=9)
    assert [one.stored.content["encoder"]["encoder"] for one in kept() if one.stored] == ["b"]
    prune(nothing)
    assert not kept()
