"""Every image once, each vector in its row, and nothing that was computed is lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from derm.embedding.cache import EmbeddingCache
from derm.embedding.extract import embed_batch
from derm.errors import UserError
from derm.images import digest
from derm.workspace import private_folder
from tests.derm.embedding.fake import CPU, SIDE, Fake, embed, write_images

REPOSITORY = Path(__file__).resolve().parents[3]


def files_of(fake: Fake) -> list[Path]:
    """The files of this encoder, whatever the batch size."""
    key = fake.encoder.fingerprint[:32]
    return sorted(private_folder("embeddings").glob(f"{key}-*/*.safetensors"))


def test_each_vector_is_in_its_row(workspace: Path) -> None:
    """One image at a time, by hand, without the loop."""
    paths, digests = write_images(workspace / "images", 11)
    extraction = embed(Fake(), (paths, digests), batch_size=4)
    assert extraction.computed == 11
    assert (extraction.features.shape, extraction.features.dtype) == ((11, 5), np.float16)
    other = Fake()
    for row, path in enumerate(paths):
        alone = other.encoder.embed(other.encoder.transform(Image.open(path))[None])
        np.testing.assert_allclose(extraction.features[row], alone[0].half(), rtol=2e-3, atol=1e-4)
    # asked for in another order, the rows are in that order
    again = embed(Fake(), (paths[::-1], digests[::-1]), batch_size=4)
    np.testing.assert_array_equal(again.features, extraction.features[::-1])


def test_the_second_run_computes_nothing(workspace: Path) -> None:
    images = write_images(workspace / "images", 10)
    first, second, more = Fake(), Fake(), Fake()
    before = embed(first, images)
    after = embed(second, images)
    assert (before.computed, after.computed) == (10, 0)
    assert (len(first.transformed), len(second.transformed), second.maps.batches) == (10, 0, [])
    assert before.features.tobytes() == after.features.tobytes()
    new = write_images(workspace / "more", 3, seed=9)
    assert embed(more, (images[0] + new[0], images[1] + new[1])).computed == 3
    assert len(more.transformed) == 3


def test_another_encoder_does_not_take_these_vectors(workspace: Path) -> None:
    images = write_images(workspace / "images", 3)
    embed(Fake(), images)
    assert embed(Fake(name="another"), images).computed == 3


def test_the_cache_lies_in_the_repository_and_not_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in `dvc exp run --temp`."""
    (tmp_path / "repository").mkdir()
    (tmp_path / "copy").mkdir()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "repository"))
    monkeypatch.chdir(tmp_path / "copy")
    embed(Fake(), write_images(tmp_path / "images", 3))
    assert list((tmp_path / "copy").iterdir()) == []
    assert files_of(Fake())[0].is_relative_to(tmp_path / "repository")


@pytest.mark.parametrize("damage", ["a bit", "half", "empty"])
def test_a_damaged_cache_file_is_told_and_its_images_computed_again(
    workspace: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    images = write_images(workspace / "images", 12)
    before = embed(Fake(), images, batch_size=4)
    assert len(files_of(Fake())) == 3
    victim = files_of(Fake())[1]
    content = victim.read_bytes()
    flipped = content[:-1] + bytes([content[-1] ^ 1])
    victim.write_bytes({"a bit": flipped, "half": content[: len(content) // 2], "empty": b""}[damage])
    capsys.readouterr()
    after = embed(Fake(), images, batch_size=4)
    told = capsys.readouterr().err
    assert "WARNING" in told and victim.name in told
    assert after.computed == 4
    assert after.features.tobytes() == before.features.tobytes()
    assert embed(Fake(), images, batch_size=4).computed == 0


def test_what_another_run_is_writing_is_passed_over(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = write_images(workspace / "images", 4)
    embed(Fake(), images)
    half = files_of(Fake())[0].with_name(".abc.safetensors.7.tmp")
    half.write_bytes(b"half a fi")
    capsys.readouterr()
    assert embed(Fake(), images).computed == 0
    assert "WARNING" not in capsys.readouterr().err
    assert half.exists()


def test_an_image_that_changed_after_prepare_is_named(workspace: Path) -> None:
    paths, digests = write_images(workspace / "images", 9)
    Path(paths[5]).write_bytes(Path(paths[4]).read_bytes())
    with pytest.raises(UserError, match=r"005\.png has changed since `prepare`"):
        embed(Fake(), (paths, digests), batch_size=2)
    Path(paths[5]).unlink()
    with pytest.raises(UserError, match=r"005\.png: file not found"):
        embed(Fake(), (paths, digests), batch_size=2)


def test_what_was_computed_before_a_bad_image_is_kept(workspace: Path) -> None:
    paths, digests = write_images(workspace / "images", 20)
    good = Path(paths[19]).read_bytes()
    Path(paths[19]).write_bytes(b"changed")
    with pytest.raises(UserError):
        embed(Fake(), (paths, digests), batch_size=2)
    Path(paths[19]).write_bytes(good)
    again = embed(Fake(), (paths, digests), batch_size=2)
    assert again.computed <= 4


def test_equal_images_under_several_names_are_computed_once(workspace: Path) -> None:
    paths, digests = write_images(workspace / "images", 3)
    fake = Fake()
    names, keys = [*paths, paths[1], *paths], [*digests, digests[1], *digests]
    extraction = embed(fake, (names, keys), batch_size=2)
    assert extraction.computed == len(fake.transformed) == 3
    np.testing.assert_array_equal(extraction.features, extraction.features[[0, 1, 2, 1, 0, 1, 2]])
    assert len(np.unique(extraction.features, axis=0)) == 3


def test_every_batch_is_of_the_same_size_so_that_the_remainder_changes_no_bit(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = write_images(workspace / "images", 10)
    fake = Fake()
    whole = embed(fake, images, batch_size=4)
    assert fake.maps.batches == [4, 4, 4]
    monkeypatch.setenv("DVC_ROOT", str(workspace / "other"))
    (workspace / "other").mkdir()
    # alone in its batch, and in another place of it
    last = embed(Fake(), (images[0][9:], images[1][9:]), batch_size=4)
    turned = embed(Fake(), (images[0][8::-1], images[1][8::-1]), batch_size=4)
    assert last.features.tobytes() == whole.features[9:].tobytes()
    assert turned.features.tobytes() == whole.features[8::-1].tobytes()


def test_workers_change_nothing(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = write_images(workspace / "images", 10)
    contents = []
    for workers in ("1", "5"):
        monkeypatch.setenv("DERM_WORKERS", workers)
        monkeypatch.setenv("DVC_ROOT", str(workspace / workers))
        (workspace / workers).mkdir()
        contents.append(embed(Fake(), images, batch_size=3).features.tobytes())
    assert contents[0] == contents[1]


def test_numbers_that_are_not_finite_are_refused_with_the_image(workspace: Path) -> None:
    paths, _ = write_images(workspace / "images", 6)
    Image.new("RGB", (SIDE, SIDE), "white").save(paths[4])
    digests = [digest(Path(path).read_bytes()) for path in paths]
    with pytest.raises(UserError, match=r"004\.png.*not finite"):
        embed(Fake(not_finite=True), (paths, digests), batch_size=2)
    # and nothing of it was kept
    known = EmbeddingCache(Fake().encoder.fingerprint, 8, "cpu").read()
    assert digests[4] not in known and all(np.isfinite(vector).all() for vector in known.values())


@pytest.mark.filterwarnings("ignore:overflow")
def test_numbers_too_large_for_float16_are_refused(workspace: Path) -> None:
    images = write_images(workspace / "images", 2)
    fake = Fake()
    fake.maps.kernel = fake.maps.kernel * 1e6
    with pytest.raises(UserError, match=r"00\d\.png.*not finite"):
        embed(fake, images)


def test_embed_batch_gives_as_many_rows_as_images() -> None:
    fake = Fake()
    images = torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    assert embed_batch(fake.encoder, images, 8, CPU).shape == (3, 5)
    assert fake.maps.batches == [8]


def test_a_run_killed_half_way_goes_on_where_it_was(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 of a real process; what it had written is used, the rest is computed, and the bytes are the same."""
    images = write_images(workspace / "images", 200)
    environment = os.environ | {"DVC_ROOT": str(workspace), "DERM_WORKERS": "2"}
    command = [sys.executable, "-m", "tests.derm.embedding.fake", str(workspace / "images")]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 40
        while len(files_of(Fake())) < 12 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL, "it ended by itself: too fast to be killed on the way"
    kept = len(EmbeddingCache(Fake().encoder.fingerprint, 8, "cpu").read())
    assert 96 <= kept < 200 and kept % 8 == 0
    resumed = Fake()
    extraction = embed(resumed, images)
    assert extraction.computed == len(resumed.transformed) == 200 - kept
    monkeypatch.setenv("DVC_ROOT", str(workspace / "undisturbed"))
    (workspace / "undisturbed").mkdir()
    undisturbed = embed(Fake(), images)
    assert undisturbed.computed == 200
    assert extraction.features.tobytes() == undisturbed.features.tobytes()
