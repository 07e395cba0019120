"""The loop: decoding, transfer, forward pass and writing, all at the same time.

A worker is a function of (partition, number of partitions): who starts it, and on how many machines, is not its matter.
"""

import errno
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from threading import Lock
from types import TracebackType

import torch
from PIL import Image
from tqdm import tqdm

from derm.embedding.cache import EmbeddingCache
from derm.embedding.forward import Embedded, Forward
from derm.embedding.job import Item, Job, different, lacking
from derm.embedding.views import apply_view
from derm.errors import UserError
from derm.images import read_image
from derm.workers import worker_count

# Batches decoded ahead of the encoder, and waiting to be written: enough that nobody waits, few enough for the memory.
DECODED_AHEAD = 3
WRITTEN_BEHIND = 4

# Gets what a batch gave: the view, its items, and their embeddings in the same order.
Receive = Callable[[str, Sequence[Item], Embedded], None]


@dataclass
class Phases:
    """Embeddings computed (one for each image and view), and seconds: in all; in which the encoder waited for images;
    of all decoding threads together; of the forward pass with its transfers; of the thread that writes the cache."""

    computed: int = 0
    seconds: float = 0.0
    read: float = 0.0
    decode: float = 0.0
    forward: float = 0.0
    write: float = 0.0

    def add(self, other: "Phases") -> None:
        """Take in what another worker, or another go, has done."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)


def embed_partition(
    job: Job, items: Sequence[Item], partition: int, partitions: int, receive: Receive | None = None
) -> Phases:
    """Compute what the cache lacks of ``items[partition::partitions]`` (partition from 0) and write it there.

    The bits do not depend on the partition, on the order or on the number of threads. A full disk is told, and only
    `receive` gets what could not be kept. UserError names the image if it has changed or if a number is not finite.
    """
    share = different(items[partition::partitions])
    absent = lacking(job, [item.digest for item in share])
    phases, started = Phases(), time.perf_counter()
    caches = {view: job.cache(view) for view in job.views}
    with Writer() as writer:
        for view, members, embedded in embed_items(job, share, absent, phases):
            writer.write(caches[view], [item.digest for item in members], embedded)
            if receive is not None:
                receive(view, members, embedded)
            phases.computed += len(members)
    phases.write, phases.seconds = writer.seconds, time.perf_counter() - started
    return phases


def embed_items(
    job: Job, items: Sequence[Item], lacking_of: Mapping[str, Collection[str]], phases: Phases
) -> Iterator[tuple[str, list[Item], Embedded]]:
    """The view, the items and the embeddings of each batch; of the items, those whose digest is lacking of a view.

    Adds to `phases` how long images were waited for, decoded and embedded. UserError as `embed_partition`.
    """
    forward = Forward(job.encoder, job.batch_size, job.device, job.token_pooling)
    # A GPU is given the next batch before the last one's result is waited for; a CPU has nothing to do meanwhile.
    behind = 1 if job.device.type == "cuda" else 0
    launched: deque[tuple[_Batch, Callable[[], Embedded]]] = deque()

    def finish() -> tuple[str, list[Item], Embedded]:
        batch, fetch = launched.popleft()
        began = time.perf_counter()
        embedded = fetch()
        phases.forward += time.perf_counter() - began
        _refuse_not_finite(batch, embedded)
        return batch.view, [picture.item for picture in batch.pictures], embedded

    for batch, waiting in _decoded(job, _batches(job, items, lacking_of)):
        began = time.perf_counter()
        loaded = [future.result() for future in waiting]
        read = time.perf_counter()
        launched.append((batch, forward.launch([image for image, _ in loaded])))
        phases.read += read - began
        phases.forward += time.perf_counter() - read
        phases.decode += sum(seconds for _, seconds in loaded)
        del loaded  # else two batches of images stand in memory while one is computed
        if len(launched) > behind:
            yield finish()
    while launched:
        yield finish()


class _Picture:
    """An image file that is decoded once, whichever of its views is asked for first."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self._lock = Lock()
        self._image: Image.Image | None = None

    def upright(self) -> Image.Image:
        with self._lock:
            if self._image is None:
                self._image = read_image(self.item.path, self.item.digest)
            return self._image


@dataclass(frozen=True)
class _Batch:
    view: str
    pictures: list[_Picture]


def _batches(job: Job, items: Sequence[Item], lacking_of: Mapping[str, Collection[str]]) -> Iterator[_Batch]:
    """Full batches of one view each; the views of the same images follow each other, so that one decoding does.

    Made one by one: a batch keeps its decoded images for as long as anybody keeps the batch.
    """
    groups: dict[tuple[str, ...], list[Item]] = {}
    for item in items:
        views = tuple(view for view in job.views if item.digest in lacking_of[view])
        groups.setdefault(views, []).append(item)
    for views, members in groups.items():
        for start in range(0, len(members), job.batch_size) if views else ():
            together = members[start : start + job.batch_size]
            pictures = [_Picture(item) for item in together]
            for view in views:
                yield _Batch(view, pictures)


def _decoded(job: Job, batches: Iterator[_Batch]) -> Iterator[tuple[_Batch, list[Future[tuple[torch.Tensor, float]]]]]:
    """Batches with their images, which threads decode ahead of their use."""

    def load(picture: _Picture, view: str) -> tuple[torch.Tensor, float]:
        began = time.perf_counter()
        image = job.encoder.transform(apply_view(picture.upright(), view))
        return image, time.perf_counter() - began

    with ThreadPoolExecutor(worker_count(), "decode") as pool:
        waiting: deque[tuple[_Batch, list[Future[tuple[torch.Tensor, float]]]]] = deque()
        try:
            while True:
                while len(waiting) <= DECODED_AHEAD and (batch := next(batches, None)) is not None:
                    waiting.append((batch, [pool.submit(load, picture, batch.view) for picture in batch.pictures]))
                if not waiting:
                    return
                yield waiting.popleft()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class Writer:
    """Writes batches to their caches in a thread of its own; its errors come out at a later write or at the end."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._full = False
        self._pool = ThreadPoolExecutor(1, "write")
        self._pending: deque[Future[None]] = deque()

    def write(self, cache: EmbeddingCache, digests: list[str], embedded: Embedded) -> None:
        while len(self._pending) >= WRITTEN_BEHIND:
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(self._write, cache, digests, embedded))

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True)  # also on an error: what is computed is kept
        if kind is None:
            for written in self._pending:
                written.result()

    def _write(self, cache: EmbeddingCache, digests: list[str], embedded: Embedded) -> None:
        if self._full:
            return
        began = time.perf_counter()
        try:
            cache.write(digests, embedded.pooled, embedded.tokens)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self._full = True
            tqdm.write(  # above the progress bar, not into it
                f"WARNING: no room left for {cache.folder}: going on without keeping embeddings; make room, with "
                "`python -m derm cache --prune` for one, or a killed run begins again from here",
                file=sys.stderr,
            )
        self.seconds += time.perf_counter() - began


def _refuse_not_finite(batch: _Batch, embedded: Embedded) -> None:
    if not embedded.finite.all():
        path = batch.pictures[int((~embedded.finite).argmax())].item.path
        raise UserError(
            f"{path}: the encoder gives a number that is not finite, or too large for float16 (65504): "
            "try encoder.precision=float32, and look at the image"
        )
