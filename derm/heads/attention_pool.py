"""Learned queries that look for what they want among the patches."""

import torch
from torch import nn

from derm.heads.dropout import HeldDropout
from derm.heads.params import HeadParams


class AttentionPool(nn.Module):
    """[n, patches, channels] -> [n, `width`]: each learned query takes a weighted mean over the patches.

    Keys and values are one linear map of the patches each; the weights are ``softmax(q . k / sqrt(query_width))``
    (Vaswani et al. 2017), and what the queries found stands side by side (as in multi-query probing, Psomas et al.
    2025, arXiv 2506.10178).
    """

    def __init__(self, channels: int, queries: int, query_width: int, dropout: float, input_dropout: float) -> None:
        super().__init__()
        self.width = queries * query_width
        self.input_dropout = HeldDropout(input_dropout, channels)
        self.queries = nn.Parameter(torch.empty(queries, query_width))
        self.keys = nn.Linear(channels, query_width)
        self.values = nn.Linear(channels, query_width)
        self.dropout = HeldDropout(dropout, self.width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Queries of standard normal numbers: the weights start off neither equal nor all on one patch."""
        nn.init.normal_(self.queries)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = self.input_dropout(tokens)
        queries = self.queries.expand(len(tokens), -1, -1)
        found = nn.functional.scaled_dot_product_attention(queries, self.keys(tokens), self.values(tokens))
        return self.dropout(found.flatten(1))


def attention_pool(params: HeadParams, channels: int) -> AttentionPool:
    """`head.queries` of `head.query_width`."""
    return AttentionPool(channels, params.queries, params.query_width, params.dropout, params.input_dropout)
