"""Where inside an encoder a map can be taken: layers whose output lies on a grid over the image, by their names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from derm.encoders.encoder import Encoder
from derm.errors import UserError

AUTO = "auto"
# The output of all layers, before pooling.
LAST = "maps"


@dataclass(frozen=True)
class Layer:
    """module: whose output is looked at; to_grid: that output -> float32 [batch, channels, rows, columns]."""

    name: str
    module: torch.nn.Module
    to_grid: Callable[[torch.Tensor], torch.Tensor]


def layers(encoder: Encoder) -> dict[str, Layer]:
    """Name -> layer, from the first to the last: blocks, sequences of blocks, and what stands beside them.

    What is inside a block is left out, but for the layer that `auto` takes. Found by running one grey image through the
    encoder.
    """
    outputs: dict[str, Any] = {}
    passes = (torch.nn.Identity, torch.nn.Dropout)
    modules = [(name, module) for name, module in encoder.maps.named_modules() if not isinstance(module, passes)]
    named = {name or LAST: module for name, module in modules if _is_offered(name)}
    own = next((name or LAST for name, module in encoder.maps.named_modules() if module is encoder.cam_layer), LAST)
    named.setdefault(own, encoder.cam_layer)

    def keep(name: str) -> Callable[..., None]:
        return lambda _module, _given, output: outputs.__setitem__(name, output)

    handles = [module.register_forward_hook(keep(name)) for name, module in named.items()]
    try:
        device = next((tensor.device for tensor in encoder.maps.state_dict().values()), torch.device("cpu"))
        grey = encoder.transform(Image.new("RGB", (96, 96), (128, 128, 128)))[None].to(device)
        with torch.inference_mode():
            last = encoder.maps(grey.to(encoder.dtype))
            size = encoder.to_grid(last).shape
    finally:
        for handle in handles:
            handle.remove()
    found = {}
    for name, output in outputs.items():
        to_grid = _grid(encoder, last, size, output)
        if to_grid is not None:
            found[name] = Layer(name, named[name], to_grid)
    return found


def layer(encoder: Encoder, name: str = AUTO) -> Layer:
    """The layer of that name; `auto`: the latest from which a map can be taken. UserError lists the right names."""
    if name == AUTO:
        own = next((of or LAST for of, module in encoder.maps.named_modules() if module is encoder.cam_layer), LAST)
        return Layer(own, encoder.cam_layer, encoder.to_grid)
    known = layers(encoder)
    if name not in known:
        raise UserError(
            f"explain.layer: {encoder.manifest.get('encoder', 'this encoder')} has no layer {name!r} of which a map "
            f"could be made; it has {', '.join(known)}; auto takes {layer(encoder).name}"
        )
    return known[name]


def _is_offered(name: str) -> bool:
    """The root, what stands in no numbered block, and the numbered blocks; not a residual's short cut."""
    parts = name.split(".")
    numbered = any(part.isdigit() for part in parts[:-1])
    return "downsample" not in parts and (parts[-1].isdigit() or not numbered)


def _grid(encoder: Encoder, last: torch.Tensor, size: torch.Size, output: Any) -> Callable | None:
    """How to lay a layer's output of one image on a grid, or None if it does not lie on one of at least 2x2."""
    if not isinstance(output, torch.Tensor) or len(output) != 1:
        return None
    if output.ndim == last.ndim == 3:  # tokens: as many as at the end
        return encoder.to_grid if output.shape[1] == last.shape[1] else None
    if output.ndim != 4:
        return None
    # Which of the three are the channels could not be told.
    if len(set(output.shape[1:])) == 1:
        return None
    channels_last = last.ndim == 4 and last.shape[1:3] == size[2:] and last.shape[3] == size[1]
    rows, columns = output.shape[1:3] if channels_last and output.shape[1:] != size[1:] else output.shape[2:]
    # The grid has the image's shape, as the last one has.
    if min(rows, columns) < 2 or rows * size[3] != columns * size[2]:
        return None
    return _channels_first if channels_last else torch.Tensor.float


def _channels_first(output: torch.Tensor) -> torch.Tensor:
    return output.permute(0, 3, 1, 2).float()
