"""Small inputs and shapes for tests of the heads."""

from typing import Any

import numpy as np
import torch

from derm.heads.head import Head, HeadShape
from derm.heads.inputs import Inputs
from derm.heads.neighbours import Neighbours
from derm.heads.params import HeadParams

# As in params.yaml.
DEFAULTS: dict[str, Any] = {
    "type": "linear",
    "hidden": [256],
    "batch_norm": False,
    "dropout": 0.2,
    "input_dropout": 0.0,
    "convolution": 128,
    "lstm": 64,
    "attention": 16,
    "queries": 4,
    "query_width": 64,
    "neighbours": 20,
    "sharpness": 0.07,
    "metadata": False,
    "metadata_hidden": [32],
    "metadata_dropout": 0.3,
    "metadata_missing": False,
}


def head_params(**changes: Any) -> HeadParams:
    """Section `head` as in params.yaml, but for the changes."""
    return HeadParams.model_validate(DEFAULTS | changes)


def shape(channels: int, classes: int, **changes: Any) -> HeadShape:
    """Changes: keys of a head's shape (such as `members`), or of section `head`."""
    of_shape = {key: changes.pop(key) for key in list(changes) if key in HeadShape.model_fields}
    return HeadShape(**({"params": head_params(**changes), "channels": channels, "classes": classes} | of_shape))


def random_head(given: HeadShape, seed: int = 0) -> Head:
    """In evaluation mode, with every number drawn, standardisation, batch norm and offset included."""
    head, generator = Head(given), torch.Generator().manual_seed(seed)
    for name, tensor in head.state_dict().items():
        if not tensor.is_floating_point():
            continue
        drawn = torch.randn(tensor.shape, generator=generator)
        # Scales and variances are above 0, and no weight is so large that everything saturates.
        positive = name.endswith(("scale", "running_var"))
        tensor.copy_(0.5 + drawn.abs() if positive else 0.5 * drawn)
    for member in head.members:
        if isinstance(member.output, Neighbours):  # pyright: ignore[reportAttributeAccessIssue]
            bank = torch.randn(given.bank, given.channels, generator=generator)
            member.output.remember(bank, torch.randint(given.classes, (given.bank,), generator=generator))
    return head.eval()


def inputs(values: np.ndarray, metadata: np.ndarray | None = None) -> Inputs:
    """Of all images, features [n, views, dim] or tokens [n, views, patches, channels]; metadata [n, columns]."""
    return Inputs(values, np.arange(len(values)), metadata)


def table(rows: int, seed: int, dim: int = 8, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Strongly correlated features of very different size, and the targets that a noisy linear rule gives them."""
    generator = np.random.default_rng(seed)
    fixed = np.random.default_rng(99)
    mixing, rule = fixed.normal(size=(dim, dim)), fixed.normal(size=(3, classes))
    hidden = generator.normal(size=(rows, 3))
    features = hidden @ mixing[:3] + 0.1 * generator.normal(size=(rows, dim))
    scores = 1.5 * hidden @ rule + generator.gumbel(size=(rows, classes))
    return features * np.logspace(-2, 2, dim) + np.arange(dim), scores.argmax(axis=1)
