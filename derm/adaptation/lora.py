"""Low-rank adapters in an encoder's own layers, found by its family, and merged into them at the end."""

import re
from collections.abc import Iterable

from peft import LoraConfig
from peft.tuners.lora import LoraModel
from torch import nn

from derm.adaptation.params import LoraParams
from derm.errors import UserError

# The attention's projections, as the families name them; the first that a network has are taken.
FAMILIES = {
    "timm's vision transformers": ("attn.qkv", "attn.proj"),
    "timm's EVA": ("attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.proj"),
    "SigLIP, MedGemma and CLIP of transformers": (
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.out_proj",
    ),
    "ViT and DINO of transformers": (
        "attention.q_proj",
        "attention.k_proj",
        "attention.v_proj",
        "attention.o_proj",
    ),
}


def target_modules(model: nn.Module, params: LoraParams) -> list[str]:
    """Names of the layers that get an adapter.

    auto: the attention's projections; of a network without, every linear layer and ungrouped convolution but the first.
    A name in `adapt.lora.target_modules` stands for all layers that end in it. UserError lists those that there are.
    """
    adaptable = _adaptable(model)
    if params.target_modules != "auto":
        for wanted in params.target_modules:
            if not any(_ends_in(name, wanted) for name in adaptable):
                raise UserError(
                    f"adapt.lora.target_modules: no layer is called {wanted!r}; there are "
                    f"{', '.join(_kinds(adaptable)) or 'none that could be adapted'}"
                )
        return _those(adaptable, params.target_modules)
    family = next((names for names in FAMILIES.values() if _those(adaptable, names)), None)
    chosen = adaptable[1:] if family is None else _those(adaptable, family)
    if not chosen:
        raise UserError("adapt.method is lora, and the encoder has no layer that could be adapted: take full")
    return chosen


def add_adapters(model: nn.Module, params: LoraParams) -> LoraModel:
    """Put adapters into the layers, in place; they alone have a gradient. They begin as nothing: the second matrix of
    each is zero."""
    config = LoraConfig(
        r=params.rank,
        lora_alpha=params.alpha,  # type: ignore[arg-type]
        lora_dropout=params.dropout,
        target_modules=target_modules(model, params),
        bias="none",
    )
    return LoraModel(model, config, "default")


def _adaptable(model: nn.Module) -> list[str]:
    """Layers whose update can be a product of two: linear ones and plain, ungrouped convolutions.

    Not those inside `nn.MultiheadAttention`, which reads their weights without calling them, and no subclass that pads
    its input in its own way.
    """
    closed = [f"{name}." for name, module in model.named_modules() if isinstance(module, nn.MultiheadAttention)]
    return [
        name
        for name, module in model.named_modules()
        if (type(module) is nn.Linear or (type(module) is nn.Conv2d and module.groups == 1))
        and not name.startswith(tuple(closed))
    ]


def _those(names: Iterable[str], wanted: Iterable[str]) -> list[str]:
    wanted = list(wanted)
    return [name for name in names if any(_ends_in(name, one) for one in wanted)]


def _ends_in(name: str, wanted: str) -> bool:
    return name == wanted or name.endswith(f".{wanted}")


def _kinds(names: Iterable[str]) -> list[str]:
    """Names without what stands up to the last number, each once."""
    return list(dict.fromkeys(re.sub(r"^.*\.\d+\.(?=\D)", "", name) for name in names))
