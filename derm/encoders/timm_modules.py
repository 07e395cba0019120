"""What a timm model computes for us: its unpooled features, the ways to pool them, and how they lie on a grid."""

import math
from typing import Any

import torch
from torch import nn

from derm.errors import UserError


class TimmMaps(nn.Module):
    """Images [batch, 3, height, width] -> the model's unpooled features, in its own layout."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model.forward_features(images)


class TimmPooling(nn.Module):
    """Unpooled features -> [batch, dim].

    own: the model's own head without its classifier. cls: the class token. mean: over the grid of patches, without
    class and register tokens. map: the model's attention pooling.
    """

    def __init__(self, model: Any, pooling: str) -> None:
        super().__init__()
        self.model = model
        self.pooling = pooling

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        if self.pooling == "cls":
            return maps[:, 0]
        if self.pooling == "mean":
            return grid_of(self.model, maps).float().mean((2, 3))
        if self.pooling == "map":
            return self.model.attn_pool(maps)
        return self.model.forward_head(maps, pre_logits=True)


def check_pooling(model: Any, maps: torch.Tensor, name: str, pooling: str) -> None:
    """UserError if the model cannot be pooled so, naming the ways it can; maps: what `TimmMaps` gives."""
    known = ["auto", "mean"]
    if maps.ndim == 3 and getattr(model, "cls_token", None) is not None:
        known.append("cls")
    if getattr(model, "attn_pool", None) is not None:
        known.append("map")
    if pooling not in ("own", *known):
        raise UserError(f"encoder.pooling is {pooling!r}, but {name} has none; expected one of {', '.join(known)}")


def grid_of(model: Any, responses: torch.Tensor) -> torch.Tensor:
    """Unpooled features, or what the last block is given -> [batch, channels, rows, columns], only of the patches."""
    if responses.ndim == 4:
        return responses if responses.shape[1] == model.num_features else responses.permute(0, 3, 1, 2)
    patches = responses[:, getattr(model, "num_prefix_tokens", 0) :]
    rows, columns = grid_size(model, patches.shape[1])
    return patches.transpose(1, 2).reshape(len(patches), -1, rows, columns)


def grid_size(model: Any, patches: int) -> tuple[int, int]:
    """Rows and columns of a model's patches: as the model says, else a square. ValueError if they are neither."""
    rows, columns = getattr(getattr(model, "patch_embed", None), "grid_size", None) or (0, 0)
    if rows * columns == patches:
        return rows, columns
    side = math.isqrt(patches)
    if side * side != patches:
        raise ValueError(f"its {patches} tokens are no grid of patches that Grad-CAM could map")
    return side, side


def cam_layer(model: Any, maps: TimmMaps, pooling: str) -> nn.Module:
    """Where Grad-CAM looks.

    A vision transformer that reads out its class token has no gradient at its last patch tokens: there, the
    last block's first norm is the latest place where the patches still act on the answer.
    """
    own = getattr(model, "global_pool", "")
    reads_token = pooling in ("cls", "map") or (pooling == "own" and own in ("token", "map"))
    is_transformer = hasattr(model, "blocks") and hasattr(model, "num_prefix_tokens")
    return model.blocks[-1].norm1 if is_transformer and reads_token else maps
