"""Every image once, each vector in its row, and no bit depends on how it came there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from derm.embedding.extract import extract_job
from derm.embedding.job import make_job
from derm.embedding.loop import embed_partition
from derm.embedding.views import view_names
from derm.encoders.encoder import Encoder
from derm.errors import UserError
from derm.images import digest
from tests.derm.embedding.fake import CPU, SIDE, Fake, as_items, embed, extract, write_images

Clean = Callable[[], None]


@pytest.fixture
def clean(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Clean:
    """Call it for another, empty cache."""
    folders = iter(range(100))

    def change() -> None:
        folder = workspace / f"clean{next(folders)}"
        folder.mkdir()
        monkeypatch.setenv("DVC_ROOT", str(folder))

    return change


def test_each_vector_is_in_its_row(workspace: Path) -> None:
    """One image at a time, by hand, without the loop."""
    paths, digests = write_images(workspace / "images", 19)
    extraction = embed(Fake(), (paths, digests))
    assert (extraction.computed, extraction.batch_size) == (19, 8)
    assert (extraction.features.shape, extraction.features.dtype) == ((19, 1, 5), np.float16)
    other = Fake()
    for row, path in enumerate(paths):
        alone = other.encoder.embed(other.encoder.transform(Image.open(path))[None])
        np.testing.assert_allclose(extraction.features[row, 0], alone[0].half(), rtol=2e-3, atol=1e-4)
    # asked for in another order, the rows are in that order
    again = embed(Fake(), (paths[::-1], digests[::-1]))
    np.testing.assert_array_equal(again.features, extraction.features[::-1])


def test_each_view_is_in_its_place(workspace: Path) -> None:
    """A rotated view is what the rotated file alone gives."""
    images = write_images(workspace / "images", 10)
    views = view_names(5)
    done = embed(Fake(), images, views=views)
    assert done.features.shape == (10, 5, 5)
    assert done.computed == 50
    turned = workspace / "turned.png"
    Image.open(images[0][7]).rotate(90).save(turned)
    alone = embed(Fake(name="other"), ([str(turned)], [digest(turned.read_bytes())]))
    np.testing.assert_array_equal(done.features[7, views.index("rotate_90")], alone.features[0, 0])
    assert len(np.unique(done.features[7], axis=0)) == 5
    # fewer views, and more, take what is there; a fresh view of an old image decodes it again
    assert embed(Fake(), images, views=view_names(2)).computed == 0
    more = Fake()
    assert embed(more, images, views=view_names(6)).computed == 10 == len(more.transformed)


def test_an_image_is_decoded_once_for_all_its_views(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from derm.embedding import loop

    read, original = [], loop.read_image
    monkeypatch.setattr(loop, "read_image", lambda path, key: (read.append(path), original(path, key))[1])
    images = write_images(workspace / "images", 20)
    embed(Fake(), images, views=view_names(8))
    assert sorted(read) == images[0]


def test_the_second_run_computes_nothing_and_new_images_alone_are_computed(workspace: Path) -> None:
    """Must-hold 3: add 100 images, exactly 100 forwards; switch back, none."""
    images = write_images(workspace / "images", 300)
    first, second, more = Fake(), Fake(), Fake()
    before = embed(first, images)
    after = embed(second, images)
    assert (before.computed, after.computed, after.cached) == (300, 0, 300)
    assert (len(first.transformed), len(second.transformed), second.maps.batches) == (300, 0, [])
    assert before.features.tobytes() == after.features.tobytes()
    new = write_images(workspace / "more", 100, seed=9)
    assert embed(more, (images[0] + new[0], images[1] + new[1])).computed == 100
    assert len(more.transformed) == 100
    assert more.maps.batches == [8] * 13  # the last is filled up
    # another code or size of the encoder: all; back again: none
    changes: list[dict[str, Any]] = [{"code": "b"}, {"transform": {"size": [16, 16]}}, {"weights": "c"}]
    for change in changes:
        assert embed(Fake(**change), images).computed == 300
        assert embed(Fake(), images).computed == embed(Fake(**change), images).computed == 0


def test_what_decides_the_bits_is_cached_apart(workspace: Path) -> None:
    options = [{}, {"compiled": True}, {"token_pooling": 1}, {"token_pooling": 2}]
    jobs = [Fake().job(**option) for option in options] + [Fake().job().with_batch_size(4)]
    folders = [job.cache(view).folder for job in jobs for view in ("identity", "flip_vertical")]
    assert len(set(folders)) == len(folders) == 10
    items = as_items(write_images(workspace / "images", 3))
    assert [extract_job(job, items).computed for job in (jobs[0], *jobs[2:])] == [3] * 4


def test_equal_images_under_several_names_are_computed_once(workspace: Path) -> None:
    paths, digests = write_images(workspace / "images", 3)
    fake = Fake()
    names, keys = [*paths, paths[1], *paths], [*digests, digests[1], *digests]
    extraction = embed(fake, (names, keys))
    assert extraction.computed == len(fake.transformed) == 3
    assert (extraction.repeated, extraction.cached) == (4, 0)
    np.testing.assert_array_equal(extraction.features, extraction.features[[0, 1, 2, 1, 0, 1, 2]])
    assert len(np.unique(extraction.features, axis=0)) == 3


def test_an_image_that_changed_after_prepare_is_named(workspace: Path) -> None:
    paths, digests = write_images(workspace / "images", 9)
    Path(paths[5]).write_bytes(Path(paths[4]).read_bytes())
    with pytest.raises(UserError, match=r"00005\.png has changed since `prepare`"):
        embed(Fake(), (paths, digests))
    Path(paths[5]).unlink()
    with pytest.raises(UserError, match=r"00005\.png: file not found"):
        embed(Fake(), (paths, digests))


def test_what_was_computed_before_a_bad_image_is_kept(workspace: Path) -> None:
    paths, digests = write_images(workspace / "images", 80)
    good = Path(paths[79]).read_bytes()
    Path(paths[79]).write_bytes(b"changed")
    with pytest.raises(UserError):
        embed(Fake(), (paths, digests))
    Path(paths[79]).write_bytes(good)
    assert embed(Fake(), (paths, digests)).computed == 8


def test_numbers_that_are_not_finite_are_refused_with_the_image(workspace: Path) -> None:
    paths, _ = write_images(workspace / "images", 6)
    Image.new("RGB", (SIDE, SIDE), "white").save(paths[4])
    digests = [digest(Path(path).read_bytes()) for path in paths]
    with pytest.raises(UserError, match=r"00004\.png.*not finite"):
        embed(Fake(not_finite=True), (paths, digests))
    assert digests[4] not in Fake().job().cache("identity").held()


def test_numbers_too_large_for_float16_are_refused(workspace: Path) -> None:
    images = write_images(workspace / "images", 2)
    fake = Fake()
    fake.maps.kernel = fake.maps.kernel * 1e6
    with pytest.raises(UserError, match=r"0000\d\.png.*not finite"):
        embed(fake, images)
    assert Fake().job().cache("identity").held() == set()


def test_tokens_that_are_not_finite_are_refused_though_the_pooled_vector_is(workspace: Path) -> None:
    fake = Fake()
    fake.maps.kernel = -fake.maps.kernel.abs() * 1e6  # the pooling takes the positive part: 0
    items = as_items(write_images(workspace / "images", 2))
    assert extract_job(fake.job(), items).features.max() == 0
    with pytest.raises(UserError, match="not finite"):
        extract_job(fake.job(token_pooling=2), items)


def tiny_network() -> Encoder:
    """A real network, whose last bits depend on the batch size (in batches of 3 and 16 they are not those of 8); and
    features that are nothing but these bits: float16 would hide most of them."""
    torch.manual_seed(0)
    network: Any = timm.create_model("efficientnet_b0", num_classes=0).eval()

    def transform(image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image.resize((64, 64)), dtype=np.float32).transpose(2, 0, 1) / 255)

    class LastBits(torch.nn.Module):
        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            return (maps.mean((2, 3)).view(torch.int32) & 1023).float()

    class Maps(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.network.forward_features(images)

    maps = Maps().eval()
    return Encoder(
        maps, LastBits(), transform, {"encoder": "network"}, maps, lambda grid: grid, lambda w, h: (0, 0, w, h), {}
    )


@pytest.mark.parametrize("make", [lambda: Fake().encoder, tiny_network], ids=["fake", "efficientnet"])
def test_no_bit_depends_on_order_partition_workers_or_batch_size(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, clean: Clean, make: Callable[[], Encoder]
) -> None:
    """Must-hold 8, on a CPU."""
    paths, digests = write_images(workspace / "images", 21)
    encoder = make()

    def features(order: list[int], batch_size: int = 16) -> bytes:
        done = extract(encoder, [paths[row] for row in order], [digests[row] for row in order], batch_size, CPU)
        return done.features[np.argsort(order)].tobytes()

    straight = list(range(21))
    clean()
    expected = features(straight)
    shuffled = np.random.default_rng(0).permutation(21).tolist()
    for order, batch_size, workers in ((shuffled, 16, 2), (straight[::-1], 2, 1), (straight, 5, 3)):
        clean()
        monkeypatch.setenv("DERM_WORKERS", str(workers))
        assert features(order, batch_size) == expected
    for partitions in (2, 5, 30):
        clean()
        for partition in reversed(range(partitions)):
            embed_partition(make_job(encoder, 4, CPU), as_items((paths, digests)), partition, partitions)
        done = extract(encoder, paths, digests, 16, CPU)
        assert (done.computed, done.features.tobytes()) == (0, expected)
    clean()
    alone = [extract(encoder, [path], [key], 16, CPU).features for path, key in zip(paths, digests, strict=True)]
    assert np.concatenate(alone).tobytes() == expected
