"""Where an encoder that pools by attention looks: the weights of that pooling over the patches."""

from collections.abc import Callable
from typing import Any

import torch

from derm.encoders.encoder import Encoder
from derm.encoders.timm_modules import TimmPooling
from derm.encoders.transformers_modules import AttentionPooling
from derm.errors import UserError

# The encoder's maps [batch, patches, channels] -> float32 [batch, patches], or the same on the encoder's grid.
Attention = Callable[[torch.Tensor], torch.Tensor]


def pool_attention(encoder: Encoder) -> Attention:
    """What `Encoder.maps` gives -> float32 [batch, 1, rows, columns]: the mean over the heads of the attention pooling.

    It does not know the class: it shows what of the photograph is in the features, whatever for. UserError if the
    encoder is not pooled by attention.
    """
    attention = _attention(encoder.pooling)
    if attention is None:
        name = encoder.manifest.get("encoder", "this encoder")
        raise UserError(
            f"attention is asked for as an explanation, and {name} is not pooled by attention: choose "
            "another method, or an encoder that is, such as medsiglip-448"
        )

    def on_grid(maps: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return encoder.to_grid(attention(maps)[..., None])

    return on_grid


def _attention(pooling: Any) -> Attention | None:
    if isinstance(pooling, AttentionPooling):
        return lambda maps: _of_transformers(pooling.head, maps)
    if isinstance(pooling, TimmPooling):
        model: Any = pooling.model
        used = pooling.pooling == "map" or (pooling.pooling == "own" and getattr(model, "global_pool", "") == "map")
        if used:
            from timm.layers.attention_pool import AttentionPoolLatent

            if isinstance(model.attn_pool, AttentionPoolLatent):
                return lambda maps: _of_timm(model.attn_pool, maps)
    return None


def _of_transformers(head: Any, maps: torch.Tensor) -> torch.Tensor:
    """SigLIP's pooling head asks with one learned probe."""
    probe = head.probe.repeat(len(maps), 1, 1)
    return head.attention(probe, maps, maps, need_weights=True)[1][:, 0].float()


def _of_timm(pool: Any, maps: torch.Tensor) -> torch.Tensor:
    """The first latent's question to all patches, as `AttentionPoolLatent.forward` asks it."""
    given = maps if pool.pos_embed is None else maps + pool.pos_embed[None].to(maps.dtype)
    batch, patches, _ = given.shape
    shape = (batch, -1, pool.num_heads, pool.head_dim)
    asked = pool.q_norm(pool.q(pool.latent.expand(batch, -1, -1)).reshape(shape).transpose(1, 2))
    keys, _ = pool.kv(given).reshape(batch, patches, 2, pool.num_heads, pool.head_dim).unbind(2)
    scores = asked[:, :, :1] @ pool.k_norm(keys.transpose(1, 2)).transpose(2, 3) * pool.scale
    return scores.float().softmax(-1).mean(1)[:, 0]
