"""Does a map depend on what the network has learned? Weights are shuffled from the top down, labels before training.

A map that stays as it is shows the photograph and not the model (Adebayo et al. 2018, Sanity Checks for Saliency Maps,
arXiv 1810.03292).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image

from derm.encoders.encoder import Encoder
from derm.heads.head import Head, HeadShape
from derm.heads.registry import as_linear
from derm.seeds import derived

# Of the encoder's tensors, counted from the top; the head's come first.
SHARES = (0.0, 0.25, 0.5, 1.0)
# Maps are compared on a coarse grid: neighbouring pixels are no independent witnesses.
GRID = (16, 12)
# Of the linear head on shuffled labels: strong, there is nothing to learn.
PENALTY = 0.01


@contextmanager
def shuffled_weights(head: Head, encoders: Sequence[Encoder], share: float, seed: int) -> Iterator[None]:
    """The head's weights, and of each encoder the topmost share of its learned tensors, each shuffled within itself.

    A shuffled tensor keeps its scale, so that any network stays finite, and knows nothing. All is put back at the end.
    An encoder without learned weights stays as it is.
    """
    # Neighbours learn nothing: whose label is whose is what they know.
    tensors = [tensor for tensor in head.parameters() if tensor.numel() > 1]
    tensors += [tensor for name, tensor in head.named_buffers() if name.endswith("output.labels")]
    for encoder in encoders:
        learned = _learned(encoder)
        tensors += learned[len(learned) - round(share * len(learned)) :]
    kept = [tensor.detach().clone() for tensor in tensors]
    try:
        with torch.no_grad():
            for number, tensor in enumerate(tensors):
                order = np.random.default_rng(derived(seed, number)).permutation(tensor.numel())
                tensor.copy_(tensor.flatten()[torch.from_numpy(order).to(tensor.device)].reshape(tensor.shape))
        yield
    finally:
        with torch.no_grad():
            for tensor, before in zip(tensors, kept, strict=True):
                tensor.copy_(before)


def _learned(encoder: Encoder) -> list[torch.Tensor]:
    """From the first layer to the pooling; what both hold is there once."""
    found = {id(tensor): tensor for part in (encoder.maps, encoder.pooling) for tensor in part.parameters()}
    return [tensor for tensor in found.values() if tensor.numel() > 1]


def has_learned(encoders: Sequence[Encoder]) -> bool:
    """Whether there is anything to shuffle in the encoders."""
    return any(_learned(encoder) for encoder in encoders)


def head_of_shuffled_labels(head: Head, pooled: np.ndarray, targets: np.ndarray, seed: int) -> Head:
    """A linear head for the same classes, trained on the right images and wrong labels.

    pooled: float [n, dim], features of training images, every class among them; targets: int [n].
    """
    from sklearn.linear_model import LogisticRegression

    blind = Head(HeadShape(params=as_linear(head.shape.params), channels=pooled.shape[1], classes=head.shape.classes))
    member: Any = blind.members[0]
    member.set_standardisation(pooled.mean(axis=0), pooled.std(axis=0))
    standardised = member.standardise(torch.from_numpy(pooled).float()).numpy()
    wrong = targets[np.random.default_rng(seed).permutation(len(targets))]
    fitted = LogisticRegression(C=PENALTY, max_iter=200).fit(standardised, wrong)
    rows = (-fitted.coef_[0] / 2, fitted.coef_[0] / 2) if len(fitted.classes_) == 2 else fitted.coef_
    with torch.no_grad():
        for index, row in zip(fitted.classes_, rows, strict=True):
            member.output.weight[index] = torch.from_numpy(np.asarray(row))
        member.output.bias.zero_()  # no map depends on it
    return blind.eval()


def coarse(heat: np.ndarray, grid: tuple[int, int] = GRID) -> np.ndarray:
    """A map [rows, columns] on a grid of (columns, rows): float32 [rows, columns]."""
    return np.asarray(Image.fromarray(heat.astype(np.float32)).resize(grid, Image.Resampling.BOX))


def alike(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation of two `coarse` maps of a photograph: 0 if one of them is the same everywhere, as a
    map that vanished is; NaN if both are."""
    from scipy.stats import rankdata

    ranks = [rankdata(heat) for heat in (one, other)]
    flat = [np.ptp(rank) == 0 for rank in ranks]
    if any(flat):
        return float("nan") if all(flat) else 0.0
    return float(np.corrcoef(*ranks)[0, 1])
