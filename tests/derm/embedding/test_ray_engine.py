"""Two Ray nodes on this machine give the local engine's bytes, whatever happens to them on the way."""

import os
import platform
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from derm.embedding import engines
from derm.embedding.engines import choose_engine
from derm.embedding.extract import extract_job
from derm.embedding.forward import Embedded, is_out_of_memory
from derm.embedding.job import Item, Job, make_job
from derm.encoders.params import PartParams
from derm.encoders.registry import build_encoder
from derm.errors import UserError
from tests.derm.embedding.fake import CPU, as_items, write_images

needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason="NOT RUN: Ray is not installed: pip install -r requirements-ray.txt"
)
# Its numbers differ in the last bits when another number of threads computes them.
HEEDS_THREADS = "timm/test_efficientnet"


def a_job(name: str, **options: Any) -> Job:
    weights = "none" if name == "colour-texture" else "random"
    params = PartParams(
        name=name,
        weights=weights,
        weights_sha256="",
        revision="",
        model_args={},
        seed=0,
        image_size=None,
        resize=None,
        interpolation=None,
        pooling=None,
        precision="float32",
    )
    return make_job(build_encoder(params), 16, CPU, **options)


def local_features(job: Job, items: Sequence[Item], folder: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """By the local engine, with a cache of its own."""
    folder.mkdir()
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("DVC_ROOT", str(folder))
        elsewhere.setenv("DERM_ENGINE", "local")
        return extract_job(job, items).features.tobytes()


def workers_of_ray() -> list[int]:
    """Process ids of the actors that embed: among this process's own children and theirs."""
    import psutil

    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it ends at this moment
            if "MapWorker" in " ".join(child.cmdline()):
                found.append(child.pid)
    return found


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Not as many as Ray would give an actor on a node of one core."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a cluster of two nodes with one core each."""
    import ray  # pyright: ignore[reportMissingImports]
    from ray.cluster_utils import Cluster  # pyright: ignore[reportMissingImports]

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        try:
            cluster.add_node(num_cpus=1)
            yield str(cluster.address)
        finally:
            ray.shutdown()
            cluster.shutdown()


@pytest.fixture
def nodes(address: str, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The workspace, where all is computed on the two nodes."""
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setenv("DERM_ENGINE", "ray")
    return workspace


def embeddings(job: Job, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], bytes]:
    """(view, digest) -> all numbers, in the cache of a folder; no image may be there twice."""
    with monkeypatch.context() as there:
        there.setenv("DVC_ROOT", str(folder))
        found: dict[tuple[str, str], bytes] = {}
        for view in job.views:
            for entry in job.cache(view).read():
                for row, key in enumerate(entry.digests):
                    assert (view, key) not in found
                    tokens = b"" if entry.tokens is None else entry.tokens[row].tobytes()
                    found[view, key] = entry.pooled[row].tobytes() + tokens
    return found


@needs_ray
@pytest.mark.usefixtures("two_threads")
def test_two_nodes_give_the_local_bytes(nodes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Views, tokens, relative paths, a picture under two names, and a network that heeds the number of threads."""
    items = as_items(write_images(Path("images"), 101, side=64))
    items.append(Item(items[3].path, items[3].digest))
    job = a_job(HEEDS_THREADS, views=("identity", "rotate_90"), token_pooling=1)
    expected = local_features(job, items, nodes / "local", monkeypatch)
    done = extract_job(job, items)
    assert done.computed == done.phases.computed == 202
    assert done.features.tobytes() == expected
    assert embeddings(job, nodes, monkeypatch) == embeddings(job, nodes / "local", monkeypatch)
    assert min(done.phases.read, done.phases.decode, done.phases.forward, done.phases.write) > 0
    monkeypatch.setenv("RAY_ADDRESS", "nowhere:1")  # nothing is left to compute: nobody is asked
    assert extract_job(job, items).computed == 0


@needs_ray
def test_a_worker_killed_half_way_costs_nothing(nodes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from derm.embedding.ray_engine import embed_on_ray

    items, job = as_items(write_images(nodes / "images", 800)), a_job("colour-texture")
    expected = local_features(job, items, nodes / "local", monkeypatch)
    received: list[str] = []
    alive: list[list[int]] = []

    def receive(view: str, members: Sequence[Item], embedded: Embedded) -> None:
        received.extend(item.digest for item in members)
        if len(alive) == 0 and len(received) >= 80:
            alive.append(workers_of_ray())
            os.kill(alive[0][0], signal.SIGKILL)
            assert len(received) < 500, "too late: nearly all was computed"
        elif len(alive) == 1 and len(received) == len(items):
            alive.append(workers_of_ray())

    phases = embed_on_ray(job, items, receive)
    assert len(alive[0]) == 2, "one on each node"
    assert alive[0][0] not in alive[1]
    assert phases.computed == 800
    assert sorted(received) == sorted(item.digest for item in items), "one is missing, or came twice"
    assert embeddings(job, nodes, monkeypatch) == embeddings(job, nodes / "local", monkeypatch)
    done = extract_job(job, items)
    assert done.computed == 0
    assert done.features.tobytes() == expected


@needs_ray
def test_an_image_that_a_node_does_not_see_is_named_with_the_node(nodes: Path) -> None:
    items = as_items(write_images(nodes / "images", 40))
    Path(items[20].path).unlink()
    with pytest.raises(UserError, match=rf"^{items[20].path}: no such file on Ray node {platform.node()}: [^\n]*$"):
        extract_job(a_job("colour-texture"), items)


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """What an actor for a job says to items, in this process; `changes` to its order."""
    from derm.embedding import ray_engine

    monkeypatch.setattr(ray_engine.ray, "get", lambda reference: reference)

    def ask(job: Job, items: list[Item], **changes: Any) -> list[Any]:
        actor = ray_engine.Actor(replace(ray_engine.order_of(job), **changes), [job.encoder.weights])
        table = ray_engine.table_of([(item, list(job.views)) for item in items])
        return [ray_engine.parse(row) for answered in actor(table) for row in answered.to_pylist()]

    return ask


@needs_ray
def test_a_changed_image_is_a_mistake_that_names_the_node(workspace: Path, answer: Callable[..., list[Any]]) -> None:
    items = as_items(write_images(workspace / "images", 10))
    job = a_job("colour-texture")
    view, digests, embedded, _ = answer(job, items)[1]
    assert (view, digests, len(embedded.pooled)) == ("identity", [item.digest for item in items[8:]], 2)
    Path(items[4].path).write_bytes(b"another")
    with pytest.raises(UserError, match=rf"{items[4].path} has changed .*on Ray node {platform.node()}"):
        answer(job, items)


@needs_ray
def test_a_node_with_another_library_or_encoder_is_refused(workspace: Path, answer: Callable[..., list[Any]]) -> None:
    from derm.embedding import ray_engine

    items, job = as_items(write_images(workspace / "images", 2)), a_job("colour-texture")
    with pytest.raises(UserError, match=r"torch .*expected 1\.0.*on Ray node"):
        answer(job, items, versions=dict.fromkeys(ray_engine.PACKAGES, "1.0"))
    with pytest.raises(UserError, match="code of the encoder"):
        answer(job, items, manifest=job.encoder.manifest | {"code": "another"})


@needs_ray
def test_too_little_memory_halves_the_batch_as_it_does_here(
    workspace: Path, answer: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from derm.embedding import ray_engine

    def full(*_: Any) -> Iterator[Any]:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        yield

    monkeypatch.setattr(ray_engine, "embed_items", full)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        answer(a_job("colour-texture"), as_items(write_images(workspace / "images", 2)))
    assert is_out_of_memory(caught.value)


@needs_ray
@pytest.mark.parametrize("address", ["127.0.0.1:1", "junk"])
def test_a_cluster_that_is_not_there_is_told(address: str, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from derm.embedding.ray_engine import embed_on_ray

    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match=f"^no Ray cluster at RAY_ADDRESS={address} [^\n]*ray start --head"):
        embed_on_ray(a_job("colour-texture"), as_items(write_images(workspace / "images", 2)), lambda *_: None)


def test_without_ray_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERM_ENGINE", "ray")
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"Ray is not installed: pip install -r requirements-ray\.txt"):
        choose_engine()
