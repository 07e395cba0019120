"""The ways to make a map of what a layer said and how the answer depends on it: pytorch-grad-cam's, by name."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from torch import nn

from derm.seeds import derived

Method = Literal["gradcam", "gradcam++", "hirescam", "layercam", "eigencam", "randomcam", "attention"]
# Selvaraju et al. 2017 (arXiv 1610.02391), Chattopadhyay et al. 2018 (1710.11063), Draelos and Carin 2020 (2011.08891),
# Jiang et al. 2021 (IEEE TIP 30), Muhammad and Yeasin 2020 (2008.00299); random weights of the same channels, which any
# other has to beat; and what an encoder's own attention pooling weighs.
# In the units of a logit: maps of joined encoders are added up as what each area contributes. Of the others each
# encoder's map is scaled to its highest first.
IN_LOGITS = ("gradcam", "hirescam", "layercam")
# These do not know which class is asked for.
OF_NO_CLASS = ("eigencam", "randomcam", "attention")

# Activations and gradients, float32 [n, channels, rows, columns] -> maps [n, rows, columns], not cut off at 0.
Weigh = Callable[[np.ndarray, np.ndarray], np.ndarray]


def weigh(method: str, model: nn.Module, seed: int) -> Weigh:
    """How a method makes maps. seed: of RandomCAM; each image of a batch has its own weights.

    The library's classes are built without layers to watch: what they would watch is given to them.
    """
    if method == "randomcam":
        return lambda activations, gradients: _random(activations, seed)
    if method == "eigencam":
        return lambda activations, gradients: first_component(activations)
    kind = _kind(method)(model, [])
    return lambda activations, gradients: kind.get_cam_image(None, None, None, activations, gradients, False)


def _kind(method: str) -> Any:
    from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM

    return {"gradcam": GradCAM, "gradcam++": GradCAMPlusPlus, "hirescam": HiResCAM, "layercam": LayerCAM}[method]


def first_component(activations: np.ndarray) -> np.ndarray:
    """EigenCAM: each cell's place along the direction in which the cells of an image differ most.

    As `pytorch_grad_cam.EigenCAM` gives it, but without its full singular value decomposition, which takes a hundred
    times as long. A direction has no sign of its own; here it points to the cells that stand out more (as in
    Seg-Eigen-CAM, Chung and Ying 2025, equation 13).
    """
    maps = np.stack([_first_component(one.reshape(len(one), -1).astype(np.float64)) for one in activations])
    return maps.reshape(len(activations), *activations.shape[2:]).astype(np.float32)


def _first_component(flat: np.ndarray) -> np.ndarray:
    """Of activations [channels, cells] -> [cells]."""
    from scipy.sparse.linalg import eigsh

    flat = flat - flat.mean(axis=1, keepdims=True)
    channels, cells = flat.shape
    gram = flat @ flat.T if channels < cells else flat.T @ flat
    if not gram.any():  # all cells are alike
        return np.zeros(cells)
    start = np.random.default_rng(0).normal(size=len(gram))  # always the same, and in no null space
    values, vectors = eigsh(gram, k=1, v0=start)
    places = flat.T @ vectors[:, 0] if channels < cells else vectors[:, 0] * np.sqrt(max(float(values[0]), 0.0))
    return -places if places.max() < -places.min() else places


def _random(activations: np.ndarray, seed: int) -> np.ndarray:
    drawn = [
        np.random.default_rng(derived(seed, n)).uniform(-1, 1, activations.shape[1]) for n in range(len(activations))
    ]
    return np.einsum("nc,nc...->n...", np.array(drawn, dtype=np.float32), activations)
