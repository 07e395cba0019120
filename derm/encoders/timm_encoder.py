"""Any timm model as an encoder: preprocessing from the model's own config, strict weights, its own pooling."""

import difflib
import math
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data.config import resolve_model_data_config

from derm.encoders.code_digest import code_digest
from derm.encoders.encoder import ADAPTED, Encoder, weights_digest
from derm.encoders.params import PartParams
from derm.encoders.preprocessing import INTERPOLATIONS, Recipe
from derm.encoders.timm_modules import TimmMaps, TimmPooling, cam_layer, check_pooling, grid_of, grid_size
from derm.encoders.timm_pretrained import fetch_pretrained
from derm.encoders.weights import (
    checked_path,
    load_strictly,
    read_safetensors,
    refuse_contradictions,
    refuse_uneven,
)
from derm.errors import UserError
from derm.files import read_json

PREFIX = "timm/"
MODULES = (
    "images.py",
    "embedding/forward.py",
    "encoders/encoder.py",
    "encoders/preprocessing.py",
    "encoders/timm_encoder.py",
    "encoders/timm_modules.py",
)
# What would make timm load a file or another model without its digest being compared.
FILE_ARGUMENTS = {"checkpoint_path", "cache_dir", "pretrained_cfg", "file", "url", "hf_hub_id", "state_dict"}
# What a folder's config.json says of the input; where its weights came from is not asked.
OF_THE_INPUT = ("input_size", "fixed_input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode")
RESIZE = {"center": "crop", "squash": "squash", "border": "pad"}


def build(params: PartParams, compare_digest: bool = True) -> Encoder:
    """A timm model with weights `pretrained`, `random`, or from a safetensors file or a folder as timm saves it.

    UserError for a name, an argument or weights that timm or the model does not take.
    """
    refuse_contradictions(params)
    arguments = params.model_args
    if params.weights == "random" and params.revision:
        raise UserError(f"encoder.revision: random weights of {params.name} come from no repository, leave it empty")
    if not isinstance(arguments.get("pretrained_cfg_overlay", {}), dict):
        raise UserError("encoder.model_args.pretrained_cfg_overlay: expected keys and values, such as {crop_pct: 1.0}")
    named = FILE_ARGUMENTS & {*arguments, *arguments.get("pretrained_cfg_overlay", {})}
    if named:
        raise UserError(f"encoder.model_args.{min(named)}: weights are named by encoder.weights alone")
    name = params.name.removeprefix(PREFIX)
    if params.weights == "pretrained":
        model = fetch_pretrained(name, arguments, params.revision, _create, _classifier)
    elif params.weights == "random":
        torch.manual_seed(params.seed)
        model = _create(name, arguments)
    else:
        path = checked_path(params.weights, params.weights_sha256, compare_digest)
        if path.is_dir():
            arguments = _arguments_of_folder(path, name, arguments)
        model = _create(name, arguments)
        state = read_safetensors(_file_of(path) if path.is_dir() else path)
        load_strictly(model, state, params.weights, _classifier(model))
    recipe = _recipe(model).changed(params.image_size, params.resize, params.interpolation)
    kind = "random" if params.weights == "random" else "trained"
    return _encoder(name, model, arguments, kind, recipe, params.pooling or "own", params.precision)


def rebuild(manifest: dict[str, Any], state: dict[str, torch.Tensor] | None, revision: str = "") -> Encoder:
    """The model of a manifest; its weights from `state`, else from the hub at the commit `revision`."""
    name, recipe = manifest["encoder"].removeprefix(PREFIX), Recipe.from_manifest(manifest["transform"])
    if state is None:
        if manifest["weights"] == "random":
            raise UserError(f"{PREFIX}{name} with random weights cannot be built again: they stand in no repository")
        model = fetch_pretrained(name, manifest["model_args"], revision, _create, _classifier)
    else:
        model = _create(name, manifest["model_args"])
        if manifest["weights"] == ADAPTED:  # its positions were trained at the size that it is used at
            _set_input_size(name, model, recipe)
        load_strictly(model, state, "the packaged encoder")
    arguments, kind = manifest["model_args"], manifest["weights"]
    return _encoder(name, model, arguments, kind, recipe, manifest["pooling"], manifest["precision"])


def _encoder(
    name: str, model: Any, model_args: dict[str, Any], kind: str, recipe: Recipe, pooling: str, precision: str
) -> Encoder:
    model.eval().requires_grad_(False)
    weights = dict(model.state_dict())  # as stored: what follows replaces tensors, and changes none
    _set_input_size(name, model, recipe)
    with torch.inference_mode():
        check_pooling(model, model.forward_features(torch.zeros(1, 3, *recipe.size)), PREFIX + name, pooling)
    dtype = getattr(torch, precision)
    maps = TimmMaps(model).to(dtype)
    return Encoder(
        maps=maps,
        pooling=TimmPooling(model, pooling),
        transform=recipe,
        manifest={
            "encoder": f"{PREFIX}{name}",
            "weights": kind,
            "weights_digest": weights_digest(weights),
            "model_args": model_args,
            "transform": recipe.manifest(),
            "pooling": pooling,
            "precision": precision,
            "code": code_digest(MODULES),
        },
        cam_layer=cam_layer(model, maps, pooling),
        to_grid=partial(_float_grid, model),
        covered=recipe.covered,
        weights=weights,
        model=model,
        dtype=dtype,
    )


def _float_grid(model: Any, responses: torch.Tensor) -> torch.Tensor:
    return grid_of(model, responses).float()


def _create(name: str, model_args: dict[str, Any], **pretrained: Any) -> Any:
    """A model that is fit to be an encoder. UserError for a name or arguments that timm or we do not take."""
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
            grid_size(model, maps.shape[1] - getattr(model, "num_prefix_tokens", 0))
        elif maps.ndim != 4 or model.num_features not in (maps.shape[1], maps.shape[3]):
            raise ValueError(f"its features of shape {tuple(maps.shape)} are no grid that Grad-CAM could map")
    # What a model makes of wrong arguments is its own affair: whatever it raises, the arguments are the cause.
    except Exception as error:
        raise UserError(f"timm/{name} cannot be built with encoder.model_args {model_args}: {error}") from None
    return timm.create_model(name, num_classes=0, **model_args, **pretrained) if pretrained else model


def _arguments_of_folder(folder: Path, name: str, model_args: dict[str, Any]) -> dict[str, Any]:
    """What a folder's config.json (written by timm) says of the model, under what the params say; `name` must be it."""
    if not (folder / "config.json").is_file():
        return model_args
    config = read_json(folder / "config.json")
    parts = (config, config.get("pretrained_cfg", {}), config.get("model_args", {})) if isinstance(config, dict) else ()
    if not parts or not all(isinstance(part, dict) for part in parts):
        raise UserError(f"encoder.weights: {folder / 'config.json'} is not as timm writes it")
    architecture = config.get("architecture", "")
    if architecture != name.split(".", maxsplit=1)[0]:
        raise UserError(f"encoder.weights: {folder / 'config.json'} is of {architecture!r}, encoder.name says {name!r}")
    said = config.get("pretrained_cfg", {})
    overlay = {key: said[key] for key in OF_THE_INPUT if key in said} | model_args.get("pretrained_cfg_overlay", {})
    own = {key: value for key, value in config.get("model_args", {}).items() if key not in ("num_classes", "in_chans")}
    return own | model_args | ({"pretrained_cfg_overlay": overlay} if overlay else {})


def _file_of(folder: Path) -> Path:
    files = sorted(folder.glob("*.safetensors"))
    if (folder / "model.safetensors") in files:
        return folder / "model.safetensors"
    if len(files) != 1:
        raise UserError(f"encoder.weights: {str(folder)!r} holds {len(files)} .safetensors files, expected one")
    return files[0]


def _classifier(model: Any) -> tuple[str, ...]:
    """Prefixes of the classifier's tensors, which a publisher's file holds and an encoder does not need."""
    classifier = getattr(model, "default_cfg", {}).get("classifier") or ()
    return tuple(f"{name}." for name in ((classifier,) if isinstance(classifier, str) else classifier))


def _recipe(model: Any) -> Recipe:
    """The model's own evaluation transform, as timm's `create_transform` would make it. UserError if it is no other."""
    config = resolve_model_data_config(model)
    if config["interpolation"] not in INTERPOLATIONS or config["crop_mode"] not in RESIZE:
        raise UserError(
            f"this timm model wants interpolation {config['interpolation']!r} and crop_mode {config['crop_mode']!r}, "
            f"known are {', '.join(INTERPOLATIONS)} and {', '.join(RESIZE)}: set them in "
            "encoder.model_args.pretrained_cfg_overlay"
        )
    size = tuple(config["input_size"][1:])
    scaled = tuple(math.floor(side / config["crop_pct"]) for side in size)
    mean, std = tuple(config["mean"]), tuple(config["std"])
    resize: Any = RESIZE[config["crop_mode"]]
    return Recipe(size, resize, scaled, config["interpolation"], mean, std, "half-to-even")  # type: ignore[arg-type]


def _set_input_size(name: str, model: Any, recipe: Recipe) -> None:
    """Tell a model that is built for one size about another: positions are interpolated, windows recut."""
    if tuple(resolve_model_data_config(model)["input_size"][1:]) == recipe.size:
        return
    # A network of patches alone would leave out the rest at the right and below.
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    if hasattr(model, "num_prefix_tokens") and patch:
        refuse_uneven(recipe.size[0], max(patch), f"timm/{name}")
    try:
        if hasattr(model, "set_input_size"):
            model.set_input_size(img_size=recipe.size)
        with torch.inference_mode():
            grid_of(model, model.forward_features(torch.zeros(1, 3, *recipe.size)))
    # As above: whatever a model raises, the size is the cause.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"encoder.image_size is {recipe.size[0]}: timm/{name} does not take it ({reason})") from None
