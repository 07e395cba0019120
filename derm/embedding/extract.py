"""Every image through the encoder once in its life, and each vector to its row."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from tqdm import tqdm

from derm.embedding.cache import Entry
from derm.embedding.changes import describe, known_rate, speed_facts, told_duration
from derm.embedding.engines import choose_engine
from derm.embedding.forward import LEAST_BATCH_SIZE, Embedded, is_out_of_memory
from derm.embedding.job import Item, Job, different, lacking
from derm.embedding.loop import Phases, embed_partition
from derm.embedding.rows import Rows
from derm.embedding.tokens import TokenFile
from derm.errors import UserError

# The first batches warm up; then so many are timed before a run whose rate was not known says how long it takes.
WARM_UP, TIMED = 1, 4
# A shorter wait needs no word.
LONG = 10.0

# The file of tokens for a job, whose batch size stands in its manifest.
OpenTokens = Callable[[Job], TokenFile]

Result = TypeVar("Result")


@dataclass(frozen=True)
class Extraction:
    """features: float16 [images, views, dim], rows as asked for. Of its embeddings (one for each row and view), so
    many were in the cache, were computed, or are byte for byte the same picture as one that was computed.
    batch_size: of the forward pass, as it was in the end."""

    features: np.ndarray
    batch_size: int
    cached: int
    computed: int
    repeated: int
    phases: Phases


def extract_job(job: Job, items: Sequence[Item], open_tokens: OpenTokens | None = None) -> Extraction:
    """Embed the images of a job, from the cache where they are in it; says first what it will do.

    UserError names the file if an image has changed or if the encoder gives a number that is not finite.
    """
    return _while_memory_lasts(job, lambda fitting: _extract(fitting, items, open_tokens))


def embed_share(job: Job, items: Sequence[Item], partition: int, partitions: int) -> Phases:
    """Bring into the cache what it lacks of one partition (from 0) of the items. UserError as `extract_job`."""

    def embed(fitting: Job) -> Phases:
        digests = {item.digest for item in items[partition::partitions]}
        absent = lacking(fitting, digests)
        print(describe(fitting, digests, absent, known_rate(fitting)), flush=True)
        with tqdm(total=sum(map(len, absent.values())), unit="img") as bar:

            def receive(view: str, items: Sequence[Item], embedded: Embedded) -> None:
                bar.update(len(items))

            return embed_partition(fitting, items, partition, partitions, receive)

    return _while_memory_lasts(job, embed)


def _while_memory_lasts(job: Job, work: Callable[[Job], Result]) -> Result:
    """Out of memory, the work begins again with half the images at once. UserError below two."""
    while True:
        try:
            return work(job)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside the handler, which would keep alive what fills the memory.
        where = f"{job.name}: no memory on {job.device} for {job.batch_size} images"
        if job.batch_size // 2 < LEAST_BATCH_SIZE:
            size = speed_facts(job)["size"]
            raise UserError(
                f"{where}{f' of {size[0]}x{size[1]}' if size else ''} at once: take a smaller encoder.image_size, "
                "encoder.precision=bfloat16, a smaller encoder, or a device with more memory (DERM_DEVICE)"
            )
        print(f"WARNING: {where} at once: beginning again with {job.batch_size // 2}", file=sys.stderr)
        job = job.with_batch_size(job.batch_size // 2)
        if job.device.type == "cuda":
            torch.cuda.empty_cache()


def _extract(job: Job, items: Sequence[Item], open_tokens: OpenTokens | None) -> Extraction:
    if open_tokens is None:
        return _fill(job, Rows(items, job.views))
    with open_tokens(job) as tokens:
        return _fill(job, Rows(items, job.views, tokens))


def _fill(job: Job, rows: Rows) -> Extraction:
    """From the cache what is there, from the engine what is not, and again if what another run held was damaged."""
    engine, phases = choose_engine(), Phases()
    rows.read(job)
    absent = rows.lacking()
    missing, todo = int((~rows.filled).sum()), sum(map(len, absent.values()))
    rate = known_rate(job) if todo else None
    digests = {view: {item.digest for item in items} for view, items in absent.items()}
    print(describe(job, rows.digests, digests, rate), flush=True)
    clock = _Clock(job.name, todo) if rate is None else None
    with tqdm(total=rows.filled.size, initial=rows.filled.size - missing, unit="img", disable=not todo) as bar:

        def receive(view: str, items: Sequence[Item], embedded: Embedded) -> None:
            digests = [item.digest for item in items]
            bar.update(rows.put(view, Entry(digests, embedded.pooled, embedded.tokens)))
            if clock is not None:
                clock.tick(len(items))

        while any(absent.values()):
            phases.add(engine(job, different(item for items in absent.values() for item in items), receive))
            if not rows.filled.all():  # another process, or another machine, has computed the rest
                before = rows.filled.sum()
                bar.update(rows.read(job))
                if rows.filled.sum() == before:
                    raise RuntimeError(f"{job.name}: {(~rows.filled).sum()} embeddings are missing at the end")
            absent = rows.lacking()
    repeated = missing - todo
    cached = rows.filled.size - repeated - phases.computed
    return Extraction(rows.complete(), job.batch_size, cached, phases.computed, repeated, phases)


class _Clock:
    """Says once how long a run takes, when its first batches have shown it."""

    def __init__(self, name: str, todo: int) -> None:
        self._name, self._left, self._batches, self._timed, self._began = name, todo, 0, 0, 0.0

    def tick(self, computed: int) -> None:
        self._batches += 1
        self._left -= computed
        if self._batches == WARM_UP:
            self._began = time.monotonic()
        elif self._batches <= WARM_UP + TIMED:
            self._timed += computed
            seconds = self._left * (time.monotonic() - self._began) / self._timed
            if self._batches == WARM_UP + TIMED and seconds > LONG:
                tqdm.write(f"{self._name}: {self._left:,} more take about {told_duration(seconds)}", file=sys.stdout)
