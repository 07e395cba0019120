"""Any timm model as an encoder: preprocessing from the model's own config, strict weights, its own pooling."""

import difflib
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.data.config import resolve_model_data_config
from timm.data.transforms_factory import create_transform
from torch import nn

from derm.encoders.encoder import Encoder, weights_digest
from derm.errors import UserError
from derm.files import file_digest

# What would make timm load a file or another model without its digest being compared.
FILE_ARGUMENTS = {"checkpoint_path", "cache_dir", "pretrained_cfg", "file", "url", "hf_hub_id", "state_dict"}


class TimmMaps(nn.Module):
    """Images [batch, 3, height, width] -> the model's unpooled features, in its own layout."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model.forward_features(images)


class TimmPooling(nn.Module):
    """Unpooled features -> [batch, dim], by the model's own head without its classifier."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.model.forward_head(maps, pre_logits=True)


def build_from_params(name: str, weights: str, sha256: str, model_args: dict[str, Any], seed: int) -> Encoder:
    """A timm model with weights `pretrained`, `random` or from a safetensors file whose digest is given."""
    named = FILE_ARGUMENTS & {*model_args, *model_args.get("pretrained_cfg_overlay", {})}
    if named:
        raise UserError(f"encoder.model_args.{min(named)}: weights are named by encoder.weights alone")
    if sha256 and weights in ("pretrained", "random"):
        raise UserError(f"encoder.weights_sha256 is for a file, but encoder.weights is {weights!r}: leave it empty")
    if weights == "pretrained":
        model = _pretrained(name, model_args)
    elif weights == "random":
        torch.manual_seed(seed)
        model = _create(name, model_args)
    elif weights == "none":
        raise UserError(
            f"encoder.weights is 'none', but timm/{name} needs some: "
            "set encoder.weights to pretrained, random or a safetensors file"
        )
    else:
        model = _create(name, model_args)
        _load_strictly(model, _read_weights(weights, sha256), weights)
    return _encoder(name, model, model_args, "random" if weights == "random" else "trained")


def build_from_manifest(manifest: dict[str, Any], state: dict[str, torch.Tensor] | None) -> Encoder:
    """The model of a manifest; its weights from `state`, else from the hub."""
    name = manifest["encoder"].removeprefix("timm/")
    if state is None:
        model = _pretrained(name, manifest["model_args"])
    else:
        model = _create(name, manifest["model_args"])
        _load_strictly(model, state, "the packaged encoder")
    return _encoder(name, model, manifest["model_args"], manifest["weights"])


def _encoder(name: str, model: Any, model_args: dict[str, Any], weights: str) -> Encoder:
    model.eval().requires_grad_(False)
    config = resolve_model_data_config(model)
    maps = TimmMaps(model)
    transform: Any = create_transform(**config, is_training=False)
    cam_layer, to_grid = _cam_layer(model, maps)
    recipe = ("input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode")
    return Encoder(
        maps=maps,
        pooling=TimmPooling(model),
        transform=transform,
        manifest={
            "encoder": f"timm/{name}",
            "weights": weights,
            "weights_digest": weights_digest(model.state_dict()),
            "model_args": model_args,
            "transform": {key: list(config[key]) if isinstance(config[key], tuple) else config[key] for key in recipe},
            "pooling": "own",
            "precision": "float32",
        },
        cam_layer=cam_layer,
        to_grid=to_grid,
        covered=partial(_covered, config),
        weights=dict(model.state_dict()),
    )


def _create(name: str, model_args: dict[str, Any], pretrained: bool = False) -> Any:
    if not timm.is_model(name.split(".", maxsplit=1)[0]):
        near = difflib.get_close_matches(name, timm.list_models(), n=1, cutoff=0)[0]
        raise UserError(f"encoder.name: timm has no model {name!r}; the nearest is 'timm/{near}'")
    try:
        model: Any = timm.create_model(name, pretrained=False, num_classes=0, **model_args)
        size = resolve_model_data_config(model)["input_size"]
        with torch.inference_mode():
            maps = model.eval().forward_features(torch.zeros(1, 3, *size[1:]))
            pooled = model.forward_head(maps, pre_logits=True)
        if pooled.ndim != 2:
            raise ValueError(f"it gives {pooled.ndim} dimensions, not [images, numbers]")
        if maps.ndim == 3:
            _grid_size(model, maps.shape[1] - getattr(model, "num_prefix_tokens", 0))
        elif maps.ndim != 4 or model.num_features not in (maps.shape[1], maps.shape[3]):
            raise ValueError(f"its features of shape {tuple(maps.shape)} are no grid that Grad-CAM could map")
    # What a model makes of wrong arguments is its own affair: whatever it raises, the arguments are the cause.
    except Exception as error:
        raise UserError(f"timm/{name} cannot be built with encoder.model_args {model_args}: {error}") from None
    return timm.create_model(name, pretrained=True, num_classes=0, **model_args) if pretrained else model


def _pretrained(name: str, model_args: dict[str, Any]) -> Any:
    """Weights from the hub. What goes wrong on the way depends on hub, proxy and model: one line tells it."""
    import huggingface_hub.errors

    ways_out = (
        "check the network, or take the weights from a file: encoder.weights=<file>.safetensors with "
        "encoder.weights_sha256, or encoder.weights=random for a trial without meaning"
    )
    try:
        return _create(name, model_args, pretrained=True)
    except (huggingface_hub.errors.HfHubHTTPError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"pretrained weights of timm/{name} cannot be had ({reason}); {ways_out}") from None


def _read_weights(weights: str, sha256: str) -> dict[str, torch.Tensor]:
    path = Path(weights)
    if path.suffix != ".safetensors":
        raise UserError(
            f"encoder.weights is {weights!r}, expected none, pretrained, random or a .safetensors file "
            "(other formats can run code when they are loaded)"
        )
    if not path.is_file():
        raise UserError(f"encoder.weights: no file {weights!r} (queued experiments need an absolute path)")
    actual = file_digest(path)
    if not sha256:
        raise UserError(
            f"encoder.weights_sha256 is empty, but {weights!r} needs its digest: "
            f"compare {actual} with the one its publisher gives, then set it"
        )
    if actual != sha256:
        raise UserError(f"encoder.weights: {weights!r} has digest {actual}, encoder.weights_sha256 says {sha256}")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"encoder.weights: {weights!r} is not a safetensors file: {error}") from None


def _load_strictly(model: Any, state: dict[str, torch.Tensor], where: str) -> None:
    """Every tensor of the model from the file, and none left over but the classifier's."""
    classifier = getattr(model, "default_cfg", {}).get("classifier") or ()
    heads = tuple(f"{name}." for name in ((classifier,) if isinstance(classifier, str) else classifier))
    own = model.state_dict()
    given = {name: tensor for name, tensor in state.items() if name in own or not name.startswith(heads or ("\0",))}
    wrong = [f"{name} is missing" for name in own if name not in given]
    wrong += [f"{name} is unknown" for name in given if name not in own]
    wrong += [
        f"{name} is {tuple(given[name].shape)}, expected {tuple(own[name].shape)}"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise UserError(f"weights in {where} do not fit the model: {'; '.join(wrong[:3])}{more}")
    model.load_state_dict(given, strict=True)


def _covered(config: dict[str, Any], width: int, height: int) -> tuple[float, float, float, float]:
    """The box, centred, that timm's resize and crop keep; it reaches over the edge where they pad."""
    share = config["crop_pct"]
    if config["crop_mode"] == "squash":
        across, down = width * share, height * share
    else:
        side = max(width, height) if config["crop_mode"] == "border" else min(width, height)
        across = down = side * share
    return (width - across) / 2, (height - down) / 2, (width + across) / 2, (height + down) / 2


def _cam_layer(model: Any, maps: nn.Module) -> tuple[nn.Module, Callable[[torch.Tensor], torch.Tensor]]:
    """Where Grad-CAM looks, and how to lay that out as a grid.

    A vision transformer that reads out its class token has no gradient at its last patch tokens: there, the
    last block's first norm is the latest place where the patches still act on the answer.
    """
    reads_token = getattr(model, "global_pool", "") in ("token", "map")
    is_transformer = hasattr(model, "blocks") and hasattr(model, "num_prefix_tokens")
    prefix = getattr(model, "num_prefix_tokens", 0)

    def to_grid(responses: torch.Tensor) -> torch.Tensor:
        if responses.ndim == 4:
            return responses if responses.shape[1] == model.num_features else responses.permute(0, 3, 1, 2)
        patches = responses[:, prefix:]
        rows, columns = _grid_size(model, patches.shape[1])
        return patches.transpose(1, 2).reshape(len(patches), -1, rows, columns)

    return (model.blocks[-1].norm1 if is_transformer and reads_token else maps), to_grid


def _grid_size(model: Any, patches: int) -> tuple[int, int]:
    """Rows and columns of a model's patches: as the model says, else a square. ValueError if they are neither."""
    rows, columns = getattr(getattr(model, "patch_embed", None), "grid_size", (0, 0))
    if rows * columns == patches:
        return rows, columns
    side = math.isqrt(patches)
    if side * side != patches:
        raise ValueError(f"its {patches} tokens are no grid of patches that Grad-CAM could map")
    return side, side
