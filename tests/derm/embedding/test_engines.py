"""Shares of the work, and who is asked to do it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from derm.embedding import extract as extract_module
from derm.embedding.engines import asked_partition, choose_engine, embed_locally
from derm.embedding.extract import embed_share, extract_job
from derm.embedding.job import Item, Job
from derm.embedding.loop import Phases, Receive, embed_partition
from derm.embedding.views import IDENTITY
from derm.errors import UserError
from tests.derm.embedding.fake import Fake, as_items, write_images


def test_shares_are_disjoint_and_make_the_whole(workspace: Path) -> None:
    items = as_items(write_images(workspace / "images", 50))
    computed = [embed_share(Fake().job(), items, partition, 3).computed for partition in range(3)]
    assert computed == [17, 17, 16]
    assert embed_share(Fake().job(), items, 1, 3).computed == 0
    assert extract_job(Fake().job(), items).computed == 0


def test_an_engine_that_hands_over_nothing_is_read_from_the_cache(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on other machines that share the folder."""
    items = as_items(write_images(workspace / "images", 30))
    expected = extract_job(Fake(name="fake").job(), items).features

    def elsewhere(job: Job, items: Sequence[Item], receive: Receive) -> Phases:
        total = Phases()
        for partition in (1, 0):
            total.add(embed_partition(job, items, partition, 2))
        return total

    monkeypatch.setattr(extract_module, "choose_engine", lambda: elsewhere)
    done = extract_job(Fake(name="again").job(), items)
    assert done.computed == 30
    assert done.features.tobytes() == expected.tobytes()


def test_an_engine_that_does_nothing_is_an_error(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = as_items(write_images(workspace / "images", 3))
    monkeypatch.setattr(extract_module, "choose_engine", lambda: lambda job, items, receive: Phases())
    with pytest.raises(RuntimeError, match="3 embeddings are missing"):
        extract_job(Fake().job(), items)


def test_what_another_process_computes_meanwhile_is_taken(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look into the cache and the work on what it lacks."""
    items = as_items(write_images(workspace / "images", 20))

    def late(job: Job, todo: Sequence[Item], receive: Receive) -> Phases:
        embed_partition(Fake().job(), items[:8], 0, 1)
        return embed_locally(job, todo, receive)

    monkeypatch.setattr(extract_module, "choose_engine", lambda: late)
    done = extract_job(Fake().job(), items)
    assert (done.computed, done.cached, done.repeated) == (12, 8, 0)


def test_phases_are_timed(workspace: Path) -> None:
    items = as_items(write_images(workspace / "images", 40))
    phases = extract_job(Fake(seconds=0.02).job(), items).phases
    assert phases.computed == 40
    assert 0.1 <= phases.forward <= phases.seconds
    assert min(phases.read, phases.decode, phases.write) > 0
    assert Fake().job().cache(IDENTITY).held() == {item.digest for item in items}


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DERM_PARTITION", raising=False)
    assert asked_partition() is None
    for given, expected in (("1/16", (0, 16)), ("16/16", (15, 16)), ("1/1", (0, 1))):
        monkeypatch.setenv("DERM_PARTITION", given)
        assert asked_partition() == expected
    for given in ("0/4", "5/4", "3", "a/b", "-1/4", "1/4/2"):
        monkeypatch.setenv("DERM_PARTITION", given)
        with pytest.raises(UserError, match=r"DERM_PARTITION is .*such as 2/16"):
            asked_partition()
    assert choose_engine() is embed_locally
    monkeypatch.setenv("DERM_ENGINE", "slurm")
    with pytest.raises(UserError, match="DERM_ENGINE is 'slurm'"):
        choose_engine()
