"""What decides an embedding's bits besides the image: the cache keeps what differs in any of it apart."""

import os
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from derm import SAME_INSTRUCTIONS
from derm.embedding.views import IDENTITY
from derm.encoders.code_digest import code_digest
from derm.files import canonical_json
from derm.workspace import private_folder


@dataclass(frozen=True)
class CacheKey:
    """encoder: its manifest. batch_size: of the forward pass. device: its kind. threads: of a CPU's forward pass, since
    the last bits of some networks depend on them, as on the instructions that the environment asks for. token_pooling:
    None without tokens."""

    encoder: dict[str, Any]
    view: str
    batch_size: int
    device: str
    threads: int
    compiled: bool = False
    token_pooling: int | None = None

    def content(self) -> dict[str, Any]:
        """As JSON; what is off is left out, so that a new switch makes no old key another."""
        content: dict[str, Any] = {
            "encoder": self.encoder,
            "view": self.view,
            "batch_size": self.batch_size,
            "device": self.device,
        }
        if self.device == "cpu":
            content["threads"] = self.threads
            content["instructions"] = {name: os.environ.get(name, "") for name in SAME_INSTRUCTIONS}
            content["memory_format"] = "channels_last"
        if self.compiled:
            content["compile"] = True
        if self.token_pooling is not None:
            content["token_pooling"] = self.token_pooling
            content["token_code"] = code_digest(["embedding/tokens.py"])
        if self.view != IDENTITY:
            content["view_code"] = code_digest(["embedding/views.py"])
        return content

    @property
    def folder(self) -> Path:
        """`<encoder>-<digest>/<view>`, with a digest of the view's code where it has any."""
        content = self.content()
        view, code = content.pop("view"), content.pop("view_code", "")
        name = re.sub(r"[^A-Za-z0-9.-]+", "_", str(self.encoder["encoder"]))[:80]
        digest = sha256(canonical_json(content).encode()).hexdigest()
        return embeddings_folder() / f"{name}-{digest[:16]}" / (f"{view}-{code[:8]}" if code else view)


def embeddings_folder() -> Path:
    """Where all embeddings of the repository are."""
    return private_folder("embeddings")
