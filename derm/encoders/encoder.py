"""What an encoder is to everybody else: a module that makes maps, a pooling, a transform and a manifest."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
from PIL import Image
from torch import nn

from derm.files import canonical_json

# What a manifest says of the weights of an encoder that was trained here: they stand in no repository.
ADAPTED = "adapted"


@dataclass(frozen=True)
class Encoder:
    """A frozen encoder; nothing else of it is known outside `derm.encoders`.

    maps: [batch, 3, height, width] of `dtype` -> spatial responses, before pooling.
    pooling: responses -> [batch, dim].
    transform: upright RGB image -> float32 [3, height, width], as the encoder's own recipe says.
    manifest: what defines the features' content (name, weights digest, transform, pooling, precision, and `code`, the
        digest of the modules that define it); its digest is the fingerprint, so that features of another weight or
        transform can never be taken for these. It is also all that is needed to build the encoder again, but weights.
    cam_layer: the module whose output Grad-CAM weighs.
    to_grid: that output, or the maps -> [batch, channels, rows, columns], float32.
    covered: (width, height) of an upright image -> (left, top, right, bottom) of what the transform keeps of it.
    weights: name -> tensor of what was learned, as it was stored; empty for an encoder without weights.
    model: the network in `maps` and `pooling` that holds them; None for an encoder without weights.
    dtype: what is computed in.
    """

    maps: nn.Module
    pooling: nn.Module
    transform: Callable[[Image.Image], torch.Tensor]
    manifest: dict[str, Any]
    cam_layer: nn.Module
    to_grid: Callable[[torch.Tensor], torch.Tensor]
    covered: Callable[[int, int], tuple[float, float, float, float]]
    weights: dict[str, torch.Tensor]
    model: nn.Module | None = None
    dtype: torch.dtype = torch.float32

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Float32 [batch, 3, height, width] -> pooled features, float32 [batch, dim]."""
        return self.pooling(self.maps(images.to(self.dtype))).float()

    def embed_with_grid(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As `embed`, and beside it what was pooled: float32 [batch, channels, rows, columns]."""
        maps = self.maps(images.to(self.dtype))
        return self.pooling(maps).float(), self.to_grid(maps).float()

    def to(self, device: torch.device) -> "Encoder":
        """Move the weights; returns itself."""
        self.maps.to(device)
        self.pooling.to(device)
        return self

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the manifest, as 64 hex digits."""
        return fingerprint(self.manifest)


def fingerprint(manifest: dict[str, Any]) -> str:
    """SHA-256 of a manifest's canonical JSON, as 64 hex digits."""
    return sha256(canonical_json(manifest).encode()).hexdigest()


def weights_digest(state: dict[str, torch.Tensor]) -> str:
    """SHA-256 over names, shapes, types and bytes of all tensors, in the order of their names."""
    digest = sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()
