"""An attention-based convolutional recurrent network over the patches, row by row."""

import torch
from torch import nn

from derm.heads.dropout import HeldDropout
from derm.heads.params import HeadParams


class Acrnn(nn.Module):
    """[n, patches, channels] -> [n, `width`]: 1-D convolution of three patches, ReLU, LSTM, additive attention.

    Attention projects each step ``h_t`` to ``u_t = tanh(W h_t + b)``, weighs it by ``softmax_t(v . u_t)`` and adds up
    the ``u_t`` (Yang et al. 2016, Hierarchical Attention Networks, with the projection as what is added up, which is
    what makes 64 channels 16).
    """

    def __init__(
        self, channels: int, convolution: int, lstm: int, attention: int, dropout: float, input_dropout: float
    ) -> None:
        super().__init__()
        self.width = attention
        self.input_dropout = HeldDropout(input_dropout, channels)
        self.convolution = nn.Conv1d(channels, convolution, kernel_size=3, padding=1)
        self.lstm = nn.LSTM(convolution, lstm, batch_first=True)
        self.projection = nn.Linear(lstm, attention)
        self.score = nn.Linear(attention, 1, bias=False)
        self.dropout = HeldDropout(dropout, attention)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        convolved = torch.relu(self.convolution(self.input_dropout(tokens).transpose(1, 2)))
        steps, _ = self.lstm(convolved.transpose(1, 2))
        projected = torch.tanh(self.projection(steps))
        weights = torch.softmax(self.score(projected), dim=1)
        return self.dropout((weights * projected).sum(dim=1))


def acrnn(params: HeadParams, channels: int) -> Acrnn:
    """`head.convolution`, `head.lstm` and `head.attention` are the widths."""
    return Acrnn(channels, params.convolution, params.lstm, params.attention, params.dropout, params.input_dropout)
