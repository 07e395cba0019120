"""The extraction loop: every image through the encoder once, in any order, each vector to its row."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from derm.embedding.cache import EmbeddingCache
from derm.encoders.encoder import Encoder
from derm.errors import UserError
from derm.images import read_image
from derm.workers import worker_count

# Batches decoded ahead of the encoder: enough that it never waits, few enough to stay small in memory.
AHEAD = 3


@dataclass(frozen=True)
class Extraction:
    """features: float16 [images, dim], rows as asked for; how many of them were in the cache, were computed, and
    are byte for byte the same picture as one that was computed."""

    features: np.ndarray
    cached: int
    computed: int
    repeated: int
    seconds: float


def extract(
    encoder: Encoder, paths: list[str], digests: list[str], batch_size: int, device: torch.device
) -> Extraction:
    """Embed the images (path and expected SHA-256 each), from the cache where they are in it.

    UserError names the file if an image has changed or if the encoder gives a number that is not finite.
    """
    # Full float32 on a GPU too: its matrix units would round to ten bits, and the manifest says float32.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    cache = EmbeddingCache(encoder.fingerprint, batch_size, device.type)
    known = cache.read()
    missing = [row for row, digest in enumerate(digests) if digest not in known]
    # The same picture under two names is computed once.
    first = {digests[row]: row for row in reversed(missing)}
    todo = sorted(first.values())
    started = time.monotonic()
    encoder.to(device)
    with tqdm(total=len(digests), initial=len(digests) - len(missing), desc="embedding", unit="img") as bar:
        for rows, images in _decoded(encoder, paths, digests, todo, batch_size):
            pooled = embed_batch(encoder, images, batch_size, device)
            bad = ~np.isfinite(pooled).all(axis=1)
            if bad.any():
                raise UserError(f"{paths[rows[int(bad.argmax())]]}: the encoder gives a number that is not finite")
            batch = [digests[row] for row in rows]
            cache.write(batch, pooled)
            known.update(zip(batch, pooled, strict=True))
            bar.update(len(rows))
        bar.update(len(missing) - len(todo))
    features = np.stack([known[digest] for digest in digests])
    cached, repeated = len(digests) - len(missing), len(missing) - len(todo)
    return Extraction(features, cached, len(todo), repeated, time.monotonic() - started)


@torch.inference_mode()
def embed_batch(encoder: Encoder, images: torch.Tensor, batch_size: int, device: torch.device) -> np.ndarray:
    """Float32 [n, 3, height, width] with n up to `batch_size` -> float16 [n, dim].

    A smaller batch is filled up: kernels are chosen by batch size, and the last bits with them.
    """
    count = len(images)
    if count < batch_size:
        images = torch.cat([images, images[-1:].expand(batch_size - count, -1, -1, -1)])
    pooled = encoder.embed(images.to(device, non_blocking=True))
    return pooled[:count].cpu().numpy().astype(np.float16)


def _decoded(
    encoder: Encoder, paths: list[str], digests: list[str], rows: list[int], batch_size: int
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Batches of rows and their images, decoded by threads ahead of their use."""

    def load(row: int) -> torch.Tensor:
        return encoder.transform(read_image(paths[row], digests[row]))

    batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    with ThreadPoolExecutor(worker_count()) as pool:
        waiting: deque[tuple[list[int], list[Future[torch.Tensor]]]] = deque()
        try:
            for batch in batches:
                waiting.append((batch, [pool.submit(load, row) for row in batch]))
                if len(waiting) > AHEAD:
                    ready, images = waiting.popleft()
                    yield ready, torch.stack([image.result() for image in images])
            while waiting:
                ready, images = waiting.popleft()
                yield ready, torch.stack([image.result() for image in images])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
