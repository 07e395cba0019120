"""From a `config.json` of transformers to the vision model that it describes, empty, random or with its weights."""

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import nn

from derm.encoders.quiet import quiet_transformers
from derm.encoders.tower_weights import Find, read_every_tensor, read_tower
from derm.encoders.weights import load_strictly
from derm.errors import UserError
from derm.files import canonical_json

# Keys of a config that do not change what the model computes.
_OF_NO_WEIGHT = {
    "transformers_version",
    "architectures",
    "auto_map",
    "dtype",
    "torch_dtype",
    "id2label",
    "label2id",
    "problem_type",
    "return_dict",
    "output_hidden_states",
    "output_attentions",
    "is_encoder_decoder",
    "chunk_size_feed_forward",
}
# What a checkpoint of a vision model may have beside the model: classifiers, poolers that are not used, the decoder and
# the token of masked-image training.
_LEFT_OVER = {"classifier", "cls_classifier", "distillation_classifier", "pooler", "head", "decoder", "lm_head"}
_LEFT_OVER_ENDS = ("mask_token", "position_ids", "relative_position_index")


def read_config(file: Path, where: str) -> tuple[Any, bool]:
    """The vision model's own config, and whether it is one part of a larger model.

    UserError if transformers does not know it, or if it would run code from the repository.
    """
    from transformers import AutoConfig

    try:
        with quiet_transformers():
            config: Any = AutoConfig.from_pretrained(file.parent, trust_remote_code=False)
    # Whatever a wrong config makes transformers raise, the config is the cause.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"config.json of {where} is none that transformers can use without foreign code: {reason}"
        ) from None
    inner = getattr(config, "vision_config", None)
    return (config, False) if inner is None else (inner, True)


def config_of(described: dict[str, Any]) -> Any:
    """The config that `describe` told."""
    from transformers import AutoConfig

    with quiet_transformers():
        return AutoConfig.for_model(**described)


def describe(config: Any) -> dict[str, Any]:
    """A config as JSON can hold it, without what does not change the model."""
    import json

    kept = {key: value for key, value in config.to_dict().items() if key not in _OF_NO_WEIGHT and key[0] != "_"}
    return json.loads(canonical_json(kept))


def random_tower(config: Any, seed: int, where: str) -> nn.Module:
    """With the model's own initialisation, which `seed` decides."""
    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _kind(config, where)(config, **_arguments(config, where)).float()


def empty_tower(config: Any, where: str) -> nn.Module:
    """On the CPU, its weights not set but its fixed tables (position numbers, rotary frequencies) in place."""
    from transformers.initialization import no_init_weights

    with quiet_transformers(), no_init_weights():
        return _kind(config, where)(config, **_arguments(config, where)).float()


def output_shape(config: Any, size: tuple[int, int], arguments: dict[str, Any], where: str) -> tuple[int, ...]:
    """Shape of the last hidden state for one image of (rows, columns) pixels, without computing it.

    UserError if the model cannot read such an image, or gives no last hidden state.
    """
    with quiet_transformers(), torch.device("meta"):
        model = _kind(config, where)(config, **_arguments(config, where)).eval()
        try:
            return tuple(model(torch.zeros(1, 3, *size), **arguments).last_hidden_state.shape)
        # What a model makes of a size that it was not made for is its own affair.
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{where} cannot read images of {size[0]}x{size[1]} pixels: {reason}") from None


def load_part(config: Any, find: Find, where: str) -> nn.Module:
    """The vision tower of a larger model, from only the files that hold its tensors: no tensor more or less.

    `from_pretrained` of the tower's class would load nothing from a MedGemma checkpoint, and only say so in a report.
    """
    model = empty_tower(config, where)
    load_strictly(model, read_tower(find, model.state_dict().keys(), where), where)
    return model


def load_whole(config: Any, find: Find, where: str) -> nn.Module:
    """A vision model from a checkpoint of its own, older tensor names included, which transformers knows.

    UserError for a tensor that is missing, of another shape or unknown, but for a classifier's.
    """
    kind: Any = _kind(config, where)
    try:
        with quiet_transformers():
            model, report = kind.from_pretrained(
                None,
                config=config,
                state_dict=read_every_tensor(find, where),
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **_arguments(config, where),
            )
    except (RuntimeError, ValueError) as error:
        raise UserError(f"weights in {where} do not fit the model: {' '.join(str(error).split())[:200]}") from None
    wrong = [f"{name} is missing" for name in sorted(report["missing_keys"])]
    wrong += [f"{name} is unknown" for name in sorted(report["unexpected_keys"]) if not _is_left_over(name, kind)]
    wrong += [
        f"{name} is {tuple(given)}, expected {tuple(own)}" for name, given, own in sorted(report["mismatched_keys"])
    ]
    wrong += [str(message) for message in report["error_msgs"]]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise UserError(f"weights in {where} do not fit the model: {'; '.join(wrong[:3])}{more}")
    # Copied to where torch puts tensors: from an odd place in a mapped file the last bit of a product can differ.
    aligned = empty_tower(config, where)
    load_strictly(aligned, model.state_dict(), where)
    return aligned


def _is_left_over(name: str, kind: Any) -> bool:
    inner = name.removeprefix(f"{kind.base_model_prefix}.")
    return inner.split(".", maxsplit=1)[0] in _LEFT_OVER or name.endswith(_LEFT_OVER_ENDS)


def _kind(config: Any, where: str) -> Any:
    """The class that transformers has for a config. UserError if it is not a vision model that reads images alone."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    name = getattr(config, "model_type", "")
    kinds: Any = MODEL_MAPPING.get(type(config), None)
    if kinds is None or isinstance(kinds, tuple | list) or kinds.main_input_name != "pixel_values":
        raise UserError(f"{where} is of type {name!r}, which transformers does not load as a vision model of its own")
    needed = [
        parameter.name
        for parameter in list(inspect.signature(kinds.forward).parameters.values())[2:]
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    ]
    if needed:
        raise UserError(f"{where} is of type {name!r}, which needs more than an image: {', '.join(needed)}")
    return kinds


def _arguments(config: Any, where: str) -> dict[str, Any]:
    """A pooler after the last norm is not used; without one, none can be left random."""
    takes = inspect.signature(_kind(config, where).__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in takes else {}
