"""The k nearest training images by cosine similarity; nothing is learned."""

import torch
from torch import nn


class Neighbours(nn.Module):
    """[n, dim] -> log shares [n, classes] of the votes of the `count` most similar rows of the training part.

    A vote weighs ``exp(similarity / sharpness)``, and one vote more is spread over all classes, so that no share is 0:
    ``(k w_c + 1/classes) / (k + 1)``, w_c the class's share of the weight (Wu et al. 2018, arXiv 1805.01978, and as
    DINO is evaluated; the added vote is Laplace's). Differentiable in the features, so that maps can be made.
    """

    bank: torch.Tensor
    labels: torch.Tensor

    def __init__(self, rows: int, dim: int, classes: int, count: int, sharpness: float) -> None:
        super().__init__()
        self.count, self.classes, self.sharpness = count, classes, sharpness
        self.register_buffer("bank", torch.zeros(rows, dim))
        self.register_buffer("labels", torch.zeros(rows))

    def remember(self, features: torch.Tensor, targets: torch.Tensor) -> None:
        """Standardised features [rows, dim] and classes int64 [rows] of the training part."""
        self.bank.copy_(nn.functional.normalize(features, dim=1))
        self.labels.copy_(targets)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        similarity = nn.functional.normalize(features, dim=1) @ self.bank.T
        nearest = similarity.topk(min(self.count, len(self.bank)), dim=1)
        weights = torch.softmax(nearest.values / self.sharpness, dim=1)
        classes = nn.functional.one_hot(self.labels[nearest.indices].long(), self.classes).to(weights)
        count = nearest.values.shape[1]
        shares = (weights[..., None] * classes).sum(dim=1)
        return ((count * shares + 1 / self.classes) / (count + 1)).log()
