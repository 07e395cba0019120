"""What is said before anything is computed is true."""

from pathlib import Path
from typing import Any

import pytest

from derm import journal
from derm.embedding.changes import UNKNOWN_TIME, describe, known_rate, speed_facts, told_duration
from derm.embedding.extract import extract_job
from derm.embedding.job import Item, Job, lacking
from derm.embedding.views import view_names
from tests.derm.embedding.fake import Fake, as_items, write_images

SQUASH = {"size": [224, 224], "resize": "squash"}
CROP = {"size": [224, 224], "resize": "crop"}
A, B = "a" * 64, "b" * 64


def said(job: Job, items: list[Item], rate: float | None = None) -> str:
    digests = {item.digest for item in items}
    return describe(job, digests, lacking(job, digests), rate)


def fake(**manifest: Any) -> Fake:
    return Fake(**({"transform": CROP, "weights": A, "code": A, "precision": "float32"} | manifest))


@pytest.fixture
def items(workspace: Path) -> list[Item]:
    return as_items(write_images(workspace / "images", 20))


def test_a_first_run(items: list[Item]) -> None:
    assert said(fake().job(), items) == "fake: 20 images to embed (this encoder has not run here yet)" + UNKNOWN_TIME
    assert said(fake().job(), items, 0.05).endswith("yet), about 7 min")


def test_nothing_to_do_and_new_images(workspace: Path, items: list[Item]) -> None:
    extract_job(fake().job(), items[:12])
    assert said(fake().job(), items[:12]) == "fake: nothing to embed, 12 images are in the cache"
    assert said(fake().job(), items, 8) == "fake: 8 images to embed (new; 12 are in the cache), about 1 s"
    assert said(fake().job(), items[12:]) == "fake: 8 images to embed (new images)" + UNKNOWN_TIME


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"transform": SQUASH}, "transform.resize was crop, is squash"),
        ({"weights": B}, "weights changed"),
        ({"code": B, "weights": B}, "weights changed, code changed"),
        ({"precision": "bfloat16"}, "precision was float32, is bfloat16"),
        ({"pooling": "mean"}, "pooling was not set, is mean"),
        ({"transform": CROP | {"size": [448, 448]}}, "transform.size was [224,224], is [448,448]"),
        ({letter: letter for letter in "tuvwxyz"}, "t was not set, is t, u was not set, is u, v was not set, is v, "
         "w was not set, is w and 3 more"),
    ],
)  # fmt: skip
def test_what_changed(items: list[Item], change: dict, told: str) -> None:
    extract_job(fake().job(), items)
    assert said(fake(**change).job(), items) == f"fake: 20 images to embed ({told}){UNKNOWN_TIME}"


def test_batch_device_and_tokens_are_told(items: list[Item]) -> None:
    extract_job(fake().job(), items)
    assert "(batch_size was 8, is 4)" in said(fake().job().with_batch_size(4), items)
    assert "(token_pooling was not set, is 2)" in said(fake().job(token_pooling=2), items)


def test_it_is_compared_with_what_holds_most_of_these_images(items: list[Item]) -> None:
    extract_job(fake(transform=SQUASH).job(), items)
    extract_job(fake().job(), items[:5])
    extract_job(Fake(name="another").job(), items)
    assert "(weights changed)" in said(fake(transform=SQUASH, weights=B).job(), items)


def test_views(items: list[Item]) -> None:
    job = fake().job(views=view_names(3))
    first = f"fake: 3 views of 1 image to embed (this encoder has not run here yet){UNKNOWN_TIME}"
    assert said(job, items[:1]) == first
    extract_job(fake().job(), items)
    told = "view flip_horizontal is new; view flip_vertical is new"
    assert said(job, items) == f"fake: 40 views of 20 images to embed ({told}){UNKNOWN_TIME}"
    extract_job(job, items)
    assert said(job, items) == "fake: nothing to embed, 20 images in 3 views are in the cache"


def test_the_rate_is_that_of_the_last_long_enough_run_of_the_same(workspace: Path) -> None:
    job = fake().job()
    assert known_rate(job) is None
    for computed, seconds, other in ((400, 10, {}), (640, 10, {}), (5, 10, {}), (900, 10, {"device": "cuda"})):
        journal.note("embedded", **(speed_facts(job) | other), computed=computed, seconds=seconds)
    assert known_rate(job) == 64
    assert known_rate(fake(transform=SQUASH, weights=B).job()) == 64
    assert known_rate(fake(precision="bfloat16").job()) is None


def test_durations() -> None:
    assert [told_duration(seconds) for seconds in (0.2, 119, 300, 9000)] == ["1 s", "119 s", "5 min", "2.5 hours"]
