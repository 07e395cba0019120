"""What is to be computed, and what of it the cache lacks."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from derm.embedding.cache import EmbeddingCache
from derm.embedding.forward import forward_batch_size, make_ready
from derm.embedding.key import CacheKey
from derm.embedding.views import IDENTITY
from derm.encoders.encoder import Encoder


class Item(NamedTuple):
    """An image file and the SHA-256 that it must have."""

    path: str
    digest: str


@dataclass(frozen=True)
class Job:
    """An encoder that is ready on its device, and all that decides what it gives.

    batch_size: of the forward pass. token_pooling: None if tokens are not asked for.
    """

    encoder: Encoder
    device: torch.device
    batch_size: int
    views: tuple[str, ...] = (IDENTITY,)
    compiled: bool = False
    token_pooling: int | None = None

    @property
    def name(self) -> str:
        """Of the encoder."""
        return self.encoder.manifest["encoder"]

    def cache(self, view: str) -> EmbeddingCache:
        """Where the embeddings of one view are kept."""
        manifest, kind, threads = self.encoder.manifest, self.device.type, torch.get_num_threads()
        key = CacheKey(manifest, view, self.batch_size, kind, threads, self.compiled, self.token_pooling)
        return EmbeddingCache(key)

    def with_batch_size(self, batch_size: int) -> "Job":
        """The same with another batch size of the forward pass."""
        return replace(self, batch_size=batch_size)


def make_job(
    encoder: Encoder,
    batch_size: int,
    device: torch.device,
    views: tuple[str, ...] = (IDENTITY,),
    compiled: bool = False,
    token_pooling: int | None = None,
) -> Job:
    """A job for one encoder; `batch_size` as asked for: it counts on a GPU only."""
    ready = make_ready(encoder, device, compiled)
    return Job(ready, device, forward_batch_size(device, batch_size), views, compiled, token_pooling)


def lacking(job: Job, digests: Collection[str]) -> dict[str, set[str]]:
    """View -> digests of the images that have no embedding in the cache."""
    return {view: set(digests) - job.cache(view).held() for view in job.views}


def different(items: Iterable[Item]) -> list[Item]:
    """One item for each picture: what lies under two names is computed once."""
    return list({item.digest: item for item in reversed(list(items))}.values())[::-1]
