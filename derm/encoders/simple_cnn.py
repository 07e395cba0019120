"""The nine-class project's own small network (SimpleCNN), to be trained from nothing: two convolutions and a layer."""

import torch
from torch import nn

from derm.encoders.code_digest import code_digest
from derm.encoders.encoder import Encoder, weights_digest
from derm.encoders.params import SIMPLE_CNN, PartParams
from derm.encoders.preprocessing import Recipe
from derm.encoders.weights import checked_path, load_strictly, read_safetensors, refuse_contradictions, refuse_uneven
from derm.errors import UserError

SIDE = 224
WIDTH = 256
ZERO, ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
MODULES = (
    "images.py",
    "embedding/forward.py",
    "encoders/encoder.py",
    "encoders/preprocessing.py",
    "encoders/simple_cnn.py",
)


class SimpleCNN(nn.Module):
    """Conv(32), ReLU, AvgPool, Conv(64), ReLU, AvgPool, Flatten, Dense(256).

    Kernels and strides are not told; 5 and 2 give the 3.4 million parameters that are, with the head of 256 and 128.
    size: (rows, columns) of the input in pixels, multiples of 16.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(3, 32, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(32, 64, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.AvgPool2d(2),
        )
        self.dense = nn.Linear(64 * (size[0] // 16) * (size[1] // 16), WIDTH)


class Flattened(nn.Module):
    """Maps [batch, 64, rows, columns] -> [batch, 256], by the network's own layer."""

    def __init__(self, dense: nn.Module) -> None:
        super().__init__()
        self.dense = dense

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.dense(maps.flatten(1))


def build(params: PartParams, compare_digest: bool = True) -> Encoder:
    """With weights `random`, or from a safetensors file. UserError for what it does not take."""
    refuse_contradictions(params)
    if params.weights == "pretrained" or params.revision:
        raise UserError(
            f"encoder.weights is {params.weights!r}: {SIMPLE_CNN} stands in no repository, set encoder.weights=random "
            "and train it with adapt.method=scratch"
        )
    if params.model_args or params.pooling is not None:
        key, empty = ("model_args", "{}") if params.model_args else ("pooling", "auto")
        raise UserError(f"encoder.{key} is for other encoders, {SIMPLE_CNN} takes none: make it {empty} in params.yaml")
    recipe = Recipe((SIDE, SIDE), "crop", (256, 256), "bilinear", ZERO, ONE, "down")
    recipe = recipe.changed(params.image_size, params.resize, params.interpolation)
    refuse_uneven(recipe.size[0], 16, SIMPLE_CNN)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(params.seed)
        model = SimpleCNN(recipe.size)
    if params.weights != "random":
        load_strictly(
            model, read_safetensors(checked_path(params.weights, params.weights_sha256, compare_digest)), params.weights
        )
    return _encoder(model, recipe, "random" if params.weights == "random" else "trained", params.precision)


def rebuild(manifest: dict, state: dict[str, torch.Tensor] | None) -> Encoder:
    """That of a manifest, with the weights in `state`. UserError without them."""
    if state is None:
        raise UserError(f"{SIMPLE_CNN} cannot be built again without its weights: they stand in no repository")
    recipe = Recipe.from_manifest(manifest["transform"])
    model = SimpleCNN(recipe.size)
    load_strictly(model, state, "the packaged encoder")
    return _encoder(model, recipe, manifest["weights"], manifest["precision"])


def _encoder(model: SimpleCNN, recipe: Recipe, weights: str, precision: str) -> Encoder:
    model.eval().requires_grad_(False)
    state = dict(model.state_dict())
    dtype = getattr(torch, precision)
    model.to(dtype)
    return Encoder(
        maps=model.convolutions,
        pooling=Flattened(model.dense).eval(),
        transform=recipe,
        manifest={
            "encoder": SIMPLE_CNN,
            "weights": weights,
            "weights_digest": weights_digest(state),
            "transform": recipe.manifest(),
            "pooling": "own",
            "precision": precision,
            "code": code_digest(MODULES),
        },
        cam_layer=model.convolutions,
        to_grid=torch.Tensor.float,
        covered=recipe.covered,
        weights=state,
        model=model,
        dtype=dtype,
    )
