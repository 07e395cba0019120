"""`python -m derm cache`: what is kept, and what may go."""

import os
import time
from pathlib import Path

import pytest

from derm.embedding.cache_report import kept, prune, show
from derm.embedding.key import embeddings_folder
from tests.derm.embedding.fake import Fake, embed, write_images

TRANSFORM = {"size": [224, 224], "resize": "squash"}


@pytest.fixture
def images(workspace: Path) -> tuple[list[str], list[str]]:
    """Two encoders, one of them with two views, and a folder of an older version."""
    images = write_images(workspace / "images", 20)
    embed(
        Fake(name="a", transform=TRANSFORM, pooling="mean", precision="float32"), images, views=("identity", "crop_95")
    )
    embed(Fake(name="b"), images)
    old = embeddings_folder() / "0123-cpu-16"
    old.mkdir()
    (old / f"{'0' * 64}.safetensors").write_bytes(b"x" * 10)
    return images


def test_each_key_is_a_line(images: tuple, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    show()
    lines = capsys.readouterr().out.splitlines()
    today = time.strftime("%Y-%m-%d")
    size = sum(path.stat().st_size for path in embeddings_folder().rglob("*") if path.is_file())
    head = "a: 224x224 squash, mean pooling, float32, view"
    assert any(line.startswith(f"{head} crop_95, batches of 8 on cpu: 20 images, ") for line in lines)
    assert any(line.startswith(f"{head} identity, ") and line.endswith(today) for line in lines)
    assert any(line.startswith("b: view identity") for line in lines)
    assert any(line.startswith("0123-cpu-16: of an older version") for line in lines)
    assert lines[-1].startswith(f"{size / 1e6:,.1f} MB in ")
    assert len(lines) == 5


def test_pruning_keeps_the_present_encoder(images: tuple, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    prune([Fake(name="b").encoder.manifest])
    told = capsys.readouterr().out.splitlines()
    assert sorted(line.split(":")[1].strip() for line in told[:-1]) == ["0123-cpu-16", "a", "a"]
    assert [one.stored.content["encoder"] for one in kept() if one.stored] == [{"encoder": "b"}]
    assert len(list(embeddings_folder().iterdir())) == 1
    assert embed(Fake(name="b"), images).computed == 0


def test_pruning_by_age_goes_by_the_last_use(images: tuple) -> None:
    for one in kept():
        for path in [*one.folder.iterdir(), one.folder]:
            os.utime(path, (0, time.time() - 10 * 86400))
    embed(Fake(name="b"), images)  # used again
    prune([], older_than=11)
    assert len(kept()) == 4
    prune([], older_than=9)
    assert [one.stored.content["encoder"]["encoder"] for one in kept() if one.stored] == ["b"]
    prune([])
    assert not list(embeddings_folder().iterdir())
