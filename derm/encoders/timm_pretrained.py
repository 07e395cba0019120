"""timm's weights from where it keeps them, every tensor accounted for: timm itself only logs what is missing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import timm
from torch import nn

from derm.encoders.hub import HUB_ERRORS, told
from derm.errors import UserError


def fetch_pretrained(
    name: str, model_args: dict[str, Any], revision: str, create: Callable[..., Any], left_over: Callable[[Any], tuple]
) -> Any:
    """A timm model with its pretrained weights; `create(name, model_args, **more)` makes it.

    revision: commit of the hub's repository, '' for its newest. left_over: the model -> prefixes of tensors that the
    file may hold beside the model's own. UserError if the weights cannot be had or do not fit to the last tensor.
    """
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError as error:  # a tag that it does not know
        raise UserError(f"encoder.name: timm/{name}: {error}") from None
    repository = (config.hf_hub_id or "") if config else ""
    overlay = dict(model_args.get("pretrained_cfg_overlay", {}))
    if revision:
        if not repository:
            raise UserError(f"encoder.revision: timm/{name} does not come from a hub's repository, leave it empty")
        overlay["hf_hub_id"] = f"{repository}@{revision}"
    arguments = {key: value for key, value in model_args.items() if key != "pretrained_cfg_overlay"}
    try:
        with _recorded() as loaded:
            model = create(name, arguments, pretrained=True, pretrained_cfg_overlay=overlay)
    except HUB_ERRORS as error:
        if type(error) in (RuntimeError, ValueError):  # timm's or torch's own, when the tensors are there already
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"pretrained weights of timm/{name} do not fit {model_args}: {reason}") from None
        if not repository:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"pretrained weights of timm/{name} cannot be fetched ({reason}): {_WAYS_OUT}") from None
        line = told(error, repository, revision)
        raise UserError(f"pretrained weights of timm/{name}: {line}; {_WAYS_OUT}") from None
    results = [result for module, result in loaded if module is model]
    if not results:
        raise UserError(f"pretrained weights of timm/{name} are of a kind that cannot be checked: {_WAYS_OUT}")
    may_be_left = left_over(model)
    wrong = [f"{key} is missing" for result in results for key in result.missing_keys]
    wrong += [
        f"{key} is unknown" for result in results for key in result.unexpected_keys if not key.startswith(may_be_left)
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise UserError(
            f"pretrained weights of timm/{name} do not fit the model as encoder.model_args {model_args} makes it: "
            f"{'; '.join(wrong[:3])}{more}"
        )
    return model


_WAYS_OUT = "or take encoder.weights=<file>.safetensors with encoder.weights_sha256"


@contextmanager
def _recorded() -> Iterator[list[tuple[nn.Module, Any]]]:
    """What `load_state_dict` was called on meanwhile, and what it said: timm loads without `strict`, and drops it."""
    original, calls = nn.Module.load_state_dict, []

    def load_state_dict(self: nn.Module, *given: Any, **named: Any) -> Any:
        result = original(self, *given, **named)
        calls.append((self, result))
        return result

    with patch.object(nn.Module, "load_state_dict", load_state_dict):
        yield calls
