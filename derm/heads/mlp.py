"""The multi-layer perceptron over pooled features; without a hidden layer it is what a linear head reads."""

from collections.abc import Sequence

import torch
from torch import nn

from derm.heads.dropout import HeldDropout
from derm.heads.params import HeadParams


class Perceptron(nn.Module):
    """[n, width of the input] -> [n, `width`]: for each hidden layer Linear, BatchNorm by choice, ReLU, dropout.

    Dropout on the input comes first. No hidden layer: the input itself.
    """

    def __init__(
        self, inputs: int, hidden: Sequence[int], dropout: float, batch_norm: bool, input_dropout: float = 0.0
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [HeldDropout(input_dropout, inputs)] if input_dropout else []
        self.width = inputs
        for units in hidden:
            layers.append(nn.Linear(self.width, units))
            layers += [nn.BatchNorm1d(units)] if batch_norm else []
            layers += [nn.ReLU(), HeldDropout(dropout, units)]
            self.width = units
        self.layers = nn.Sequential(*layers)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.layers(features)


def linear(params: HeadParams, channels: int) -> Perceptron:
    """Nothing between the features and the output layer."""
    del params
    return Perceptron(channels, [], 0.0, batch_norm=False)


def mlp(params: HeadParams, channels: int) -> Perceptron:
    """`head.hidden`, `head.dropout`, `head.batch_norm` and `head.input_dropout` as they stand."""
    return Perceptron(channels, params.hidden, params.dropout, params.batch_norm, params.input_dropout)
