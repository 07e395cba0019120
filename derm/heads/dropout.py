"""Dropout whose mask can be held, so that one draw of the network can be asked about any image."""

import torch
from torch import nn


class HeldDropout(nn.Module):
    """Dropout over the last dimension. In training as `torch.nn.Dropout`; otherwise it passes everything on, or what a
    held mask leaves.

    A held mask is one draw of the network's weights (Gal and Ghahramani 2016, arXiv 1506.02142), the same for every
    image: what is told of an image does not depend on which others stand beside it.
    """

    def __init__(self, share: float, width: int) -> None:
        super().__init__()
        self.share, self.width = share, width
        self.held: torch.Tensor | None = None

    def hold(self, generator: torch.Generator) -> None:
        """Draw a mask and keep it until `release`."""
        kept = torch.rand(self.width, generator=generator) >= self.share
        self.held = kept / (1 - self.share)

    def release(self) -> None:
        """Pass everything on again."""
        self.held = None

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if self.held is not None:
            return values * self.held.to(values)
        return nn.functional.dropout(values, self.share, self.training)
