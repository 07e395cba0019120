"""Which heads there are: what each reads, how it is fitted, and how its body is built."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from derm.heads.params import HeadParams

Reads = Literal["pooled", "tokens"]
Fit = Literal["convex", "gradient", "neighbours"]


@dataclass(frozen=True)
class HeadKind:
    """reads: pooled features or patch tokens. fit: the way of training. body: (params, channels) -> a module with a
    `width` that takes a batch of them to [n, width]; None for a head that needs no output layer."""

    reads: Reads
    fit: Fit
    body: Callable[[HeadParams, int], nn.Module] | None


def head_kind(name: str) -> HeadKind:
    """The kind of `head.type`."""
    match name:
        case "linear":
            from derm.heads.mlp import linear

            return HeadKind("pooled", "convex", linear)
        case "mlp":
            from derm.heads.mlp import mlp

            return HeadKind("pooled", "gradient", mlp)
        case "acrnn":
            from derm.heads.acrnn import acrnn

            return HeadKind("tokens", "gradient", acrnn)
        case "attention_pool":
            from derm.heads.attention_pool import attention_pool

            return HeadKind("tokens", "gradient", attention_pool)
        case "knn":
            return HeadKind("pooled", "neighbours", None)
    raise ValueError(name)


def as_linear(params: HeadParams) -> HeadParams:
    """The same section for a linear head on pooled features alone."""
    return params.model_copy(update={"type": "linear", "metadata": False})


def fit_of(params: HeadParams) -> Fit:
    """How a head of these params is fitted: metadata goes through hidden layers, which is no convex problem."""
    kind = head_kind(params.type).fit
    return "gradient" if params.metadata and kind == "convex" else kind
