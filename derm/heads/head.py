"""What is trained on the features: standardisation and a stack of layers, as one module and one file."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from derm.errors import UserError
from derm.files import read_tensors, write_tensors
from derm.params import Section

HEAD_FILE = Path("models/head/head.safetensors")


class HeadParams(Section):
    """Section `head`: the shape of the classifier. `hidden` and `dropout` are the mlp's."""

    type: Literal["linear", "mlp"]
    hidden: list[int] = Field(min_length=1)
    dropout: float = Field(ge=0, lt=1)


class Head(nn.Module):
    """Features [..., dim] -> logits [..., classes].

    Means and scales are fitted on the training part and are the head's own: features are stored as the encoder
    gives them. No hidden layer makes it a linear head. `class_weights` are those of the loss it was trained with:
    they shift what its logits take for the classes' frequencies, and `calibrate` takes that back.
    """

    mean: torch.Tensor
    scale: torch.Tensor
    class_weights: torch.Tensor

    def __init__(self, dim: int, hidden: list[int], classes: int, dropout: float) -> None:
        super().__init__()
        self.shape = {"dim": dim, "hidden": hidden, "classes": classes, "dropout": dropout}
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self.register_buffer("class_weights", torch.ones(classes))
        layers: list[nn.Module] = []
        width = dim
        for units in hidden:
            layers += [nn.Linear(width, units), nn.ReLU(), nn.Dropout(dropout)]
            width = units
        self.hidden = nn.Sequential(*layers)
        self.output = nn.Linear(width, classes)

    def fit_standardisation(self, features: np.ndarray) -> None:
        """Set means and scales from the training part's features, float64 [..., dim]; a constant one keeps scale 1."""
        rows = features.reshape(-1, features.shape[-1])
        scale = rows.std(axis=0)
        self.mean.copy_(torch.from_numpy(rows.mean(axis=0)))
        self.scale.copy_(torch.from_numpy(np.where(scale > 1e-8, scale, 1.0)))

    def standardise(self, features: torch.Tensor) -> torch.Tensor:
        """(features - mean) / scale."""
        return (features - self.mean) / self.scale

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.output(self.hidden(self.standardise(features)))


@torch.inference_mode()
def head_logits(head: Head, features: np.ndarray) -> np.ndarray:
    """Logits float64 [..., classes] of float features [..., dim]."""
    return head.double().eval()(torch.from_numpy(features.astype(np.float64))).numpy()


def image_logits(head: Head, features: np.ndarray) -> np.ndarray:
    """Logits float64 [n, classes] of images from float features [n, views, dim]: the mean over the views.

    Averaging logits averages the classes' odds geometrically, and leaves a linear head linear.
    """
    return head_logits(head, features).mean(axis=1)


def write_head(head: Head, path: Path = HEAD_FILE) -> None:
    """One safetensors file, float32; its manifest holds the shape."""
    tensors = {name: tensor.detach().float().numpy() for name, tensor in head.state_dict().items()}
    write_tensors(path, tensors, head.shape)


def read_head(path: Path = HEAD_FILE) -> Head:
    """The head in evaluation mode. UserError if the file is missing or damaged."""
    tensors, shape = read_tensors(path)
    try:
        head = Head(**shape)
        head.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors.items()}, strict=True)
    except (TypeError, RuntimeError):
        raise UserError(f"{path} does not hold a head of this version: run `dvc repro train_head`") from None
    return head.eval()
