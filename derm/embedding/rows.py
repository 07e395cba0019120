"""Embeddings to their rows, in any order, from anywhere; complete or an error."""

from collections.abc import Sequence

import numpy as np

from derm.embedding.cache import Entry
from derm.embedding.job import Item, Job, different
from derm.embedding.tokens import TokenFile


class Rows:
    """One array for all; tokens go to their file at once. filled: bool [rows, views]."""

    def __init__(self, items: Sequence[Item], views: tuple[str, ...], tokens: TokenFile | None = None) -> None:
        self._items, self._views, self._tokens = items, views, tokens
        self._rows_of: dict[str, list[int]] = {}
        for row, item in enumerate(items):
            self._rows_of.setdefault(item.digest, []).append(row)
        self._features: np.ndarray | None = None
        self.filled = np.zeros((len(items), len(views)), dtype=bool)

    @property
    def digests(self) -> set[str]:
        """Of all images."""
        return set(self._rows_of)

    def put(self, view: str, entry: Entry) -> int:
        """Rows that this batch has filled; images that are not asked for, or are there already, are passed over."""
        place, count = self._views.index(view), 0
        if self._features is None:
            self._features = np.empty((*self.filled.shape, entry.pooled.shape[1]), dtype=np.float16)
        for index, digest in enumerate(entry.digests):
            for row in self._rows_of.get(digest, ()):
                if self.filled[row, place]:
                    continue
                self._features[row, place] = entry.pooled[index]
                if self._tokens is not None and entry.tokens is not None:
                    self._tokens.put(row, place, entry.tokens[index])
                self.filled[row, place] = True
                count += 1
        return count

    def read(self, job: Job) -> int:
        """Take what the job's caches have; how many rows that filled."""
        count = 0
        for place, view in enumerate(self._views):
            if self.filled[:, place].all():
                continue
            cache = job.cache(view)
            count += sum(self.put(view, entry) for entry in cache.read())
            cache.mark_used()
        return count

    def lacking(self) -> dict[str, list[Item]]:
        """View -> the different images that are not there yet."""
        return {
            view: different(self._items[row] for row in np.flatnonzero(~self.filled[:, place]).tolist())
            for place, view in enumerate(self._views)
        }

    def complete(self) -> np.ndarray:
        """float16 [rows, views, dim]. RuntimeError if a row is missing."""
        if self._features is None or not self.filled.all():
            raise RuntimeError(f"{(~self.filled).sum()} embeddings are missing")
        return self._features
