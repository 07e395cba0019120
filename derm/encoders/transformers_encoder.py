"""Vision models of transformers as encoders: MedGemma's and MedSigLIP's towers, and any other that stands alone."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from derm.encoders.code_digest import code_digest
from derm.encoders.encoder import Encoder, weights_digest
from derm.encoders.hub import fetch, fetch_if_any
from derm.encoders.image_processor_recipe import FILES, recipe_of
from derm.encoders.params import PartParams
from derm.encoders.preprocessing import Recipe
from derm.encoders.tower_weights import WHOLE, Find
from derm.encoders.transformers_modules import (
    Grid,
    TransformersMaps,
    cast,
    poolings,
    tokens_before_patches,
)
from derm.encoders.transformers_tower import (
    config_of,
    describe,
    empty_tower,
    load_part,
    load_whole,
    output_shape,
    random_tower,
    read_config,
)
from derm.encoders.weights import checked_path, load_strictly, refuse_contradictions, refuse_uneven
from derm.errors import UserError

HUB = "hf/"
REPOSITORIES = {"medgemma-4b": "google/medgemma-4b-it", "medsiglip-448": "google/medsiglip-448"}
# The vision towers of the two, SigLIP So400m/14: https://huggingface.co/google/medsiglip-448/blob/main/config.json
_SO400M = {
    "model_type": "siglip_vision_model",
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "patch_size": 14,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}
ARCHITECTURES = {
    "medgemma-4b": {**_SO400M, "image_size": 896, "vision_use_head": False},
    "medsiglip-448": {**_SO400M, "image_size": 448, "vision_use_head": True},
}
MODULES = (
    "images.py",
    "embedding/forward.py",
    "encoders/encoder.py",
    "encoders/preprocessing.py",
    "encoders/transformers_encoder.py",
    "encoders/transformers_modules.py",
    "encoders/transformers_tower.py",
)
# The first norm of a block, in the names of the families.
_FIRST_NORMS = ("layer_norm1", "norm1", "layernorm_before")


def build(params: PartParams, compare_digest: bool) -> Encoder:
    """The encoder that the params ask for: weights from the hub, random ones, or a folder's or file's.

    UserError if they cannot be had, do not fit, or if the model does not do what is asked.
    """
    refuse_contradictions(params)
    if params.model_args:
        raise UserError(
            f"encoder.model_args is {params.model_args}: it is for timm, {params.name} takes none, make it {{}} in "
            "params.yaml"
        )
    config, tower, recipe = _from_params(params, compare_digest)
    recipe = recipe.changed(params.image_size, params.resize, params.interpolation)
    if params.image_size is not None:
        _refuse_uneven(config, params)
    return _encoder(
        name=params.name,
        config=config,
        tower=tower,
        recipe=recipe,
        pooling=params.pooling,
        precision=params.precision,
        weights="random" if params.weights == "random" else "trained",
    )


def rebuild(manifest: dict[str, Any], state: dict[str, torch.Tensor] | None, revision: str) -> Encoder:
    """The encoder of a manifest, with the weights in `state`, else with those on the hub at `revision`."""
    name, config = manifest["encoder"], config_of(manifest["config"])
    if state is not None:
        tower = empty_tower(config, name)
        load_strictly(tower, state, "the packaged encoder")
    elif manifest["weights"] == "random":
        raise UserError(f"{name} with random weights cannot be built again: they stand in no repository")
    else:
        find = _on_hub(name, revision)[1]
        inner, is_part = read_config(_needed(find, "config.json", name), name)
        tower = (load_part if is_part else load_whole)(inner, find, name)
    return _encoder(
        name=name,
        config=config,
        tower=tower,
        recipe=Recipe.from_manifest(manifest["transform"]),
        pooling=manifest["pooling"],
        precision=manifest["precision"],
        weights=manifest["weights"],
    )


def _from_params(params: PartParams, compare_digest: bool) -> tuple[Any, nn.Module, Recipe]:
    """The vision model's config, the model, and its own recipe."""
    name, built_in = params.name, params.name in ARCHITECTURES
    if params.weights == "random" and built_in:
        if params.revision:
            raise UserError(f"encoder.revision: random weights of {name} come from no repository, leave it empty")
        config = config_of(ARCHITECTURES[name])
        return config, random_tower(config, params.seed, name), _square(config)
    if params.weights in ("pretrained", "random"):
        where, find = _on_hub(name, params.revision)
    else:
        path = checked_path(params.weights, params.weights_sha256, compare_digest)
        where = f"encoder.weights {params.weights}"
        if path.is_file():
            if not built_in:
                raise UserError(
                    f"encoder.weights is the file {params.weights!r}, but {name} needs the folder, with config.json "
                    "and preprocessor_config.json beside the weights"
                )
            config = config_of(ARCHITECTURES[name])
            return config, load_part(config, partial(_in_file, path), where), _square(config)
        find = partial(_in_folder, path)
    file = _needed(find, "config.json", where)
    config, is_part = read_config(file, where)
    if getattr(config, "mask_ratio", None) is not None:
        raise UserError(f"{where} is a {config.model_type}, which hides patches at random: it repeats no number")
    recipe = _recipe(find, config, built_in, where)
    if params.weights == "random":
        return config, random_tower(config, params.seed, where), recipe
    return config, (load_part if is_part else load_whole)(config, find, where), recipe


def _on_hub(name: str, revision: str) -> tuple[str, Find]:
    """A repository, and how to get its files, all of the commit that its newest config.json belongs to."""
    repository = REPOSITORIES.get(name, name.removeprefix(HUB))
    commit = fetch(repository, "config.json", revision).parent.name
    return f"{repository} at {commit}", partial(_fetched, repository, commit)


def _fetched(repository: str, commit: str, file: str) -> Path | None:
    return fetch_if_any(repository, file, commit)


def _in_folder(folder: Path, file: str) -> Path | None:
    return folder / file if (folder / file).is_file() else None


def _in_file(path: Path, file: str) -> Path | None:
    return path if file == WHOLE else None


def _needed(find: Find, file: str, where: str) -> Path:
    path = find(file)
    if path is None:
        raise UserError(f"{where} has no {file}: it needs the repository's files as they are on the hub")
    return path


def _recipe(find: Find, config: Any, built_in: bool, where: str) -> Recipe:
    file = next((path for path in map(find, FILES) if path is not None), None)
    if file is not None:
        return recipe_of(file.parent, where)
    if built_in:
        return _square(config)
    raise UserError(f"{where} has no {' or '.join(FILES)}, which says how images are resized and normalised: add it")


def _square(config: Any) -> Recipe:
    """MedGemma's and MedSigLIP's own: https://huggingface.co/google/medsiglip-448/blob/main/preprocessor_config.json"""
    size, half = (config.image_size, config.image_size), (0.5, 0.5, 0.5)
    return Recipe(size, "squash", size, "bilinear", half, half, "down")


def _refuse_uneven(config: Any, params: PartParams) -> None:
    patch = getattr(config, "patch_size", None)
    if not hasattr(config, "num_attention_heads") or not isinstance(patch, int) or params.image_size is None:
        return
    refuse_uneven(params.image_size, patch, params.name)


def _encoder(
    name: str, config: Any, tower: nn.Module, recipe: Recipe, pooling: str | None, precision: str, weights: str
) -> Encoder:
    tower.eval().requires_grad_(False)
    # Before any cast: the weights are what they are, whatever is computed in.
    state = {key: tensor.contiguous() for key, tensor in tower.state_dict().items()}
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    cast(tower, dtype)
    maps = TransformersMaps(tower, config.model_type)
    before = tokens_before_patches(tower)
    grid = Grid(before, recipe.size)
    shape = output_shape(config, recipe.size, maps.arguments, name)
    try:
        if len(shape) not in (3, 4):
            raise ValueError(f"features of shape {shape} are no grid")
        if len(shape) == 3:
            grid.shape(shape[1] - before)
    except ValueError as error:
        raise UserError(f"{name} at {recipe.size[0]}x{recipe.size[1]} pixels: {error}") from None
    has = poolings(tower, before, tokens=len(shape) == 3)
    pooled = next(iter(has)) if pooling is None else pooling
    if pooled not in has:
        raise UserError(
            f"encoder.pooling is {pooled!r}, but {name} has {' and '.join(has)}; auto takes {next(iter(has))}"
        )
    return Encoder(
        maps=maps.eval(),
        pooling=has[pooled].eval(),
        transform=recipe,
        manifest={
            "encoder": name,
            "weights": weights,
            "weights_digest": weights_digest(state),
            "config": describe(config),
            "transform": recipe.manifest(),
            "pooling": pooled,
            "l2_normalised": pooled == "map",
            "precision": precision,
            "code": code_digest(MODULES),
        },
        cam_layer=_last_first_norm(name, config, tower) if pooled == "cls" else maps,
        to_grid=grid,
        covered=recipe.covered,
        weights=state,
        model=tower,
        dtype=dtype,
    )


def _last_first_norm(name: str, config: Any, tower: nn.Module) -> nn.Module:
    """The first norm of the last block: the latest place where patches still act on the class token's answer."""
    for module in tower.modules():
        if isinstance(module, nn.ModuleList) and len(module) == getattr(config, "num_hidden_layers", 0):
            norms = (getattr(module[-1], norm, None) for norm in _FIRST_NORMS)
            found = next((norm for norm in norms if isinstance(norm, nn.Module)), None)
            if found is not None:
                return found
    raise UserError(f"encoder.pooling is 'cls', but no block of {name} is one that Grad-CAM knows: set it to mean")
