"""Embeddings already computed, kept by content: a killed run costs at most the batch in flight.

One file for each batch, named by the digest of its own bytes, flushed to disk and renamed into place; so a file is
whole or absent, two writers never meet, and a damaged one is known by its name. (Measured against lmdb and diskcache
for 10,000 vectors of 2.3 kB: the fastest of them, and as safe against kill -9.)
"""

import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import safetensors.numpy

from derm.files import write_bytes
from derm.workspace import private_folder


class EmbeddingCache:
    """The vectors of one encoder, each under the digest of its image.

    Batch size and kind of device belong to the key: the last bits depend on them.
    """

    def __init__(self, fingerprint: str, batch_size: int, device: str) -> None:
        self.folder: Path = private_folder("embeddings") / f"{fingerprint[:32]}-{device}-{batch_size}"

    def read(self) -> dict[str, np.ndarray]:
        """Image digest -> float16 [dim]. A damaged file is told, deleted, and its images computed again."""
        found: dict[str, np.ndarray] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            content = path.read_bytes()
            if sha256(content).hexdigest() != path.stem:
                print(f"WARNING: {path} is damaged: deleted, its images are embedded again", file=sys.stderr)
                path.unlink(missing_ok=True)  # another run may have seen it too
                continue
            batch = safetensors.numpy.load(content)
            found.update(zip((row.tobytes().hex() for row in batch["digests"]), batch["pooled"], strict=True))
        return found

    def write(self, digests: list[str], pooled: np.ndarray) -> None:
        """Keep one batch: image digests and float16 [batch, dim]."""
        keys = np.frombuffer(bytes.fromhex("".join(digests)), dtype=np.uint8).reshape(len(digests), 32)
        content = safetensors.numpy.save({"digests": keys, "pooled": np.ascontiguousarray(pooled)})
        write_bytes(self.folder / f"{sha256(content).hexdigest()}.safetensors", content)
