"""The loop on a Ray cluster, through Ray Data: one actor a GPU or a core; on CPU the same bytes as the local engine.

The actors run the very loop that the local engine runs; this process alone writes the cache. Every node must see, at
the same path as here, the folder of this code and that of the images (a shared file system), and have the same Python
environment. The last bits can depend on how many threads compute, so an actor takes as many as torch takes here, and
that many cores (but no more than a node has): with OMP_NUM_THREADS=1, which the local engine heeds too, it takes one.
"""

import logging
import os
import platform
import re
import socket
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import ray  # pyright: ignore[reportMissingImports]
import ray.data  # pyright: ignore[reportMissingImports]
import safetensors.numpy
import torch
from ray.exceptions import RayError, RayTaskError  # pyright: ignore[reportMissingImports]
from ray.util.annotations import RayDeprecationWarning  # pyright: ignore[reportMissingImports]

from derm.embedding.forward import Embedded, is_out_of_memory, make_ready
from derm.embedding.job import Item, Job, different, lacking
from derm.embedding.loop import Phases, Receive, Writer, embed_items
from derm.encoders.registry import build_as_described
from derm.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[2]
# An actor is handed this many batches at once, so that it decodes ahead; each comes back as soon as it is computed.
BATCHES_AT_ONCE = 8
# So often an actor is started again, and what it had is tried again, after it has died.
RETRIES = 5
# What computes: another version on a node may give other bits.
PACKAGES = ("torch", "timm", "transformers", "pillow", "numpy")

# What an actor hands over is one row: a batch that is embedded, a mistake of the user, or too little memory. Raised in
# the actor, the last two would come out as Ray's own errors.
EMBEDDED, MISTAKE, NO_MEMORY = "embedded", "mistake", "no memory"


@dataclass(frozen=True)
class Order:
    """What an actor needs to know of a job, but the weights. threads: of the forward pass."""

    manifest: dict[str, Any]
    device: str
    batch_size: int
    views: tuple[str, ...]
    compiled: bool
    token_pooling: int | None
    threads: int
    versions: dict[str, str]


class _Pool(NamedTuple):
    """How many actors; the cores and GPUs of each, and its threads that decode."""

    actors: int
    cores: int
    gpus: int
    decoding: int


def embed_on_ray(job: Job, items: Sequence[Item], receive: Receive) -> Phases:
    """Compute what the cache lacks on the cluster at ``$RAY_ADDRESS``, else on one of this machine for this run.

    UserError as `derm.embedding.loop.embed_partition`, naming the node too, and for a cluster that cannot do the work.
    """
    wanted = different(items)
    absent = lacking(job, [item.digest for item in wanted])
    rows = [(item, [view for view in job.views if item.digest in absent[view]]) for item in wanted]
    # What lacks the same views side by side: the actors make batches of it.
    rows = sorted((row for row in rows if row[1]), key=lambda row: row[1])
    phases, started = Phases(), time.perf_counter()
    if not rows:
        return phases
    item_of = {item.digest: item for item, _ in rows}
    caches = {view: job.cache(view) for view in job.views}
    with _cluster(), Writer() as writer:
        for view, digests, embedded, spent in _results(job, rows):
            writer.write(caches[view], digests, embedded)
            receive(view, [item_of[digest] for digest in digests], embedded)
            phases.add(spent)
    phases.write, phases.seconds = writer.seconds, time.perf_counter() - started
    return phases


@contextmanager
def _cluster() -> Iterator[None]:
    """A connection to the cluster, or to one of its own; Ray's progress bars and messages off."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns about the default
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # else it warns that actors have arguments
    address = os.environ.get("RAY_ADDRESS") or "local"
    host, _, port = address.rpartition(":")
    try:
        if port.isdecimal() and "/" not in host:
            socket.create_connection((host, int(port)), timeout=10).close()  # Ray itself would try for minutes
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except (OSError, ValueError, RuntimeError, RayError) as error:
        raise UserError(
            f"no Ray cluster at RAY_ADDRESS={address} ({_first_line(error)}): start one with `ray start --head`, or "
            "unset RAY_ADDRESS for one of this machine alone"
        ) from None
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.target_max_block_size = 1  # every batch is handed over at once, not when many have come together
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what goes wrong comes out as an exception
    try:
        with ray.data.DataContext.current(context):
            yield
    finally:
        ray.shutdown()


def _results(job: Job, rows: list[tuple[Item, list[str]]]) -> Iterator[tuple[str, list[str], Embedded, Phases]]:
    """View, digests, embeddings and times of each batch, in the order in which the actors are ready."""
    pool = _pool(job)
    weights = ray.put({name: tensor.detach().cpu() for name, tensor in job.encoder.weights.items()})
    batches = -(-len(rows) // job.batch_size)
    size = job.batch_size * max(1, min(BATCHES_AT_ONCE, batches // (2 * pool.actors)))
    tables = [table_of(rows[start : start + size]) for start in range(0, len(rows), size)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RayDeprecationWarning)  # of the two maxima, from Ray 2.64 on
        dataset = ray.data.from_arrow(tables).map_batches(
            Actor,
            batch_size=size,
            batch_format="pyarrow",
            fn_constructor_args=(order_of(job), [weights]),
            compute=ray.data.ActorPoolStrategy(size=min(pool.actors, len(tables)), max_tasks_in_flight_per_actor=2),
            num_cpus=pool.cores,
            num_gpus=pool.gpus,
            runtime_env={"env_vars": _environment(pool)},
            max_restarts=RETRIES,
            max_task_retries=RETRIES,
        )
    try:
        for row in dataset.iter_rows():
            yield parse(row)
    except RayTaskError:
        raise  # a fault in the actor's code, told in full
    except RayError as error:
        raise _told_failure(error) from None


def _told_failure(error: RayError) -> UserError:
    """What the cluster itself could not do, in one line."""
    if found := re.search(r"No module named '[\w.]+'", str(error)):
        return UserError(
            f"a Ray node cannot run this ({found[0]}): every node must see {REPOSITORY} at the same path, and have the "
            "same Python environment (requirements.lock and requirements-ray.txt)"
        )
    return UserError(
        f"the Ray cluster failed ({_first_line(error)}): look at it with `ray status`, and run this again: what is "
        "computed is kept"
    )


def _pool(job: Job) -> _Pool:
    """One actor a GPU; else one for as many cores as torch takes threads here, or as the smallest node has."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cores = [int(node.get("CPU", 0)) for node in nodes]
    if job.device.type == "cuda":
        gpus = [int(node.get("GPU", 0)) for node in nodes]
        if not any(gpus):
            raise UserError("the Ray cluster has no GPU: set DERM_DEVICE=cpu, or start Ray on a machine that has one")
        least = min(cores // gpus for cores, gpus in zip(cores, gpus, strict=True) if gpus)
        return _Pool(sum(gpus), 1, 1, max(1, least))
    if job.device.type != "cpu":
        raise UserError(f"DERM_ENGINE=ray runs on cuda or cpu, not on {job.device.type}: set DERM_DEVICE=cpu")
    if not any(cores):
        raise UserError("the Ray cluster has no core to give: start a node of it with --num-cpus")
    each = min(torch.get_num_threads(), *filter(None, cores))
    return _Pool(sum(count // each for count in cores), each, 0, each)


def order_of(job: Job) -> Order:
    """What to tell the actors."""
    return Order(
        job.encoder.manifest,
        job.device.type,
        job.batch_size,
        job.views,
        job.compiled,
        job.token_pooling,
        torch.get_num_threads(),
        _versions(),
    )


def _environment(pool: _Pool) -> dict[str, str]:
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])),
        "OMP_WAIT_POLICY": "PASSIVE",  # as derm, for whatever loads torch first
        "DERM_WORKERS": os.environ.get("DERM_WORKERS") or str(pool.decoding),
    }


def _versions() -> dict[str, str]:
    return {package: version(package) for package in PACKAGES}


def table_of(rows: list[tuple[Item, list[str]]]) -> pa.Table:
    """Images, and for each the views that it lacks."""
    return pa.table(
        {
            "path": [str(Path(item.path).absolute()) for item, _ in rows],
            "digest": [item.digest for item, _ in rows],
            "views": [views for _, views in rows],
        }
    )


def _row(kind: str, text: str, digests: list[str], tensors: dict[str, np.ndarray], spent: Phases) -> pa.Table:
    """What an actor hands over. text: the view, or what is wrong."""
    return pa.table(
        {
            "kind": [kind],
            "text": [text],
            "digests": pa.array([digests], pa.list_(pa.string())),
            "tensors": pa.array([safetensors.numpy.save(tensors)], pa.large_binary()),
            "seconds": pa.array([[spent.read, spent.decode, spent.forward]], pa.list_(pa.float64())),
        }
    )


def parse(row: dict[str, Any]) -> tuple[str, list[str], Embedded, Phases]:
    """What was put into `_row`. UserError or OutOfMemoryError if that is what it tells."""
    if row["kind"] == MISTAKE:
        raise UserError(row["text"])
    if row["kind"] == NO_MEMORY:
        raise torch.OutOfMemoryError(row["text"])
    tensors, count = safetensors.numpy.load(row["tensors"]), len(row["digests"])
    read, decode, forward = row["seconds"]
    spent = Phases(computed=count, read=read, decode=decode, forward=forward)
    finite = np.ones(count, dtype=bool)  # else it were a mistake
    return row["text"], row["digests"], Embedded(tensors["pooled"], tensors.get("tokens"), finite), spent


def _first_line(error: Exception) -> str:
    lines = [re.sub(r"\x1b\[\d+m", "", line).strip() for line in str(error).splitlines()]  # Ray colours its messages
    return next(filter(None, lines), type(error).__name__)


class Actor:
    """Embeds images on one GPU or on some cores of a node."""

    def __init__(self, order: Order, weights: list[Any]) -> None:
        self._order, self._weights = order, weights

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """Columns path, digest and views (that are lacking) -> a table of one row for each batch and view."""
        rows = table.to_pylist()
        try:
            yield from self._embed(rows)
        except UserError as error:
            yield _row(MISTAKE, self._told(error, rows), [], {}, Phases())
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            yield _row(NO_MEMORY, f"node {platform.node()}: {error}", [], {}, Phases())

    def _embed(self, rows: list[dict[str, Any]]) -> Iterator[pa.Table]:
        items = [Item(row["path"], row["digest"]) for row in rows]
        absent = {view: {row["digest"] for row in rows if view in row["views"]} for view in self._job.views}
        phases = Phases()
        for view, members, embedded in embed_items(self._job, items, absent, phases):
            tensors = {"pooled": embedded.pooled} | ({} if embedded.tokens is None else {"tokens": embedded.tokens})
            yield _row(EMBEDDED, view, [item.digest for item in members], tensors, phases)
            phases.read = phases.decode = phases.forward = 0.0

    @cached_property
    def _job(self) -> Job:
        """UserError if what computes is not what the driver has."""
        order = self._order
        here = _versions()
        differing = [
            f"{name} {here[name]} (expected {order.versions[name]})"
            for name in PACKAGES
            if here[name] != order.versions[name]
        ]
        if differing:
            raise UserError(f"other bits would come of {', '.join(differing)}: install requirements.lock")
        torch.set_num_threads(order.threads)
        encoder = build_as_described(order.manifest, ray.get(self._weights[0]) or None)
        if encoder.manifest != order.manifest:
            raise UserError("other code of the encoder: this folder must be shared with every node")
        device = torch.device(order.device)
        ready = make_ready(encoder, device, order.compiled)
        return Job(ready, device, order.batch_size, order.views, order.compiled, order.token_pooling)

    def _told(self, error: UserError, rows: list[dict[str, Any]]) -> str:
        node = platform.node()
        missing = [row["path"] for row in rows if not Path(row["path"]).is_file()]
        if missing:
            return f"{missing[0]}: no such file on Ray node {node}: every node must see the images' folder"
        return f"{error} (on Ray node {node})"
