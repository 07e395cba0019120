"""Maps of what spoke for a class, laid over the photograph; several methods from one pass through the network."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from PIL import Image

from derm.encoders.attention import pool_attention
from derm.encoders.encoder import Encoder
from derm.encoders.layers import Layer
from derm.errors import UserError
from derm.explanation.methods import IN_LOGITS, weigh
from derm.explanation.model import Explained, network, prepared

LONGEST_SIDE = 512  # of a map: cells are many pixels wide, and photographs may have thousands


def explain(
    explained: Explained,
    photographs: Sequence[Image.Image],
    targets: Sequence[int],
    methods: Sequence[str],
    device: torch.device,
    images: pd.DataFrame | None = None,
    seed: int = 0,
) -> dict[str, list[np.ndarray]]:
    """Method -> a map for each upright RGB photograph, of what spoke for a class.

    targets: class index for each; methods: of `derm.explanation.words.NAMES`; images: as `network` takes them. A map
    is float32 [rows, columns] over the whole photograph, its longest side at most LONGEST_SIDE, scaled to [0, 1]: all 0
    if nothing speaks for the class, and where no encoder looked; also at a layer whose patches have no part in the
    answer, as behind the last block of a network that reads its class token.

    Of joined encoders the maps are added up before what speaks against the class is cut off. Those in the units of a
    logit are added as what a cell's area contributes to it, so that a fine grid counts as much as a coarse one.
    UserError if a layer has no part in the answer.
    """
    model, inputs = (
        network(explained, len(photographs), device, images),
        prepared(explained.encoders, photographs, device),
    )
    encoders, layers = explained.encoders, explained.looked_at()
    said, gradients, last = _watch(model, inputs, layers, encoders, targets)
    maps: dict[str, list[np.ndarray]] = {}
    for method in methods:
        sums = [np.zeros(map_size(photograph)[::-1], dtype=np.float32) for photograph in photographs]
        for number, encoder in enumerate(encoders):
            if method == "attention":
                cells = pool_attention(encoder)(last[number])[:, 0].cpu().numpy()
            else:
                cells = weigh(method, model, seed)(said[number], gradients[number])
            # Weights are means of gradients over the cells: their sum is what a step of all cells does to the logit.
            cells = cells * cells[0].size if method in IN_LOGITS else _each_scaled(np.maximum(cells, 0))
            for place, photograph in enumerate(photographs):
                sums[place] += over_photograph(cells[place].astype(np.float32), encoder, photograph)
        maps[method] = [_scaled(np.maximum(total, 0)) for total in sums]
    return maps


def _watch(
    model: torch.nn.Module,
    inputs: list[torch.Tensor],
    layers: Sequence[Layer],
    encoders: Sequence[Encoder],
    targets: Sequence[int],
) -> tuple[list[np.ndarray], list[np.ndarray], list[torch.Tensor]]:
    """What each layer said and the gradients of the wanted logits there, float32 [n, channels, rows, columns]; and what
    each encoder's `maps` gave. Nothing is left hooked.

    The layer's output is made the start of the graph: nothing before it needs a gradient.
    """
    starts: list[torch.Tensor] = [torch.empty(0)] * len(layers)
    last: list[torch.Tensor] = [torch.empty(0)] * len(layers)

    def start(number: int):
        def hook(_module, _given, output):
            starts[number] = output.detach().requires_grad_(True)
            return starts[number].clone()  # what comes next may write into it

        return hook

    def keep(number: int):
        return lambda _module, _given, output: last.__setitem__(number, output.detach())

    handles = [one.module.register_forward_hook(start(number)) for number, one in enumerate(layers)]
    handles += [encoder.maps.register_forward_hook(keep(number)) for number, encoder in enumerate(encoders)]
    try:
        with torch.enable_grad():
            logits = model(inputs)
            wanted = logits[torch.arange(len(logits)), torch.as_tensor(targets, device=logits.device)].sum()
            if not wanted.requires_grad:
                raise UserError(f"explain.layer: {layers[0].name} has no part in the answer, choose an earlier one")
            found = torch.autograd.grad(wanted, starts, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    gradients = []
    for one, gradient in zip(layers, found, strict=True):
        if gradient is None:
            raise UserError(f"explain.layer: {one.name} has no part in the answer, choose an earlier one")
        gradients.append(one.to_grid(gradient).cpu().numpy())
    return [one.to_grid(said.detach()).cpu().numpy() for one, said in zip(layers, starts, strict=True)], gradients, last


def seen_box(encoders: Sequence[Encoder], width: int, height: int) -> tuple[float, float, float, float]:
    """The box (left, top, right, bottom) of a photograph that at least one of the encoders is shown."""
    boxes = np.array([encoder.covered(width, height) for encoder in encoders])
    left, top = boxes[:, :2].min(axis=0).clip(0)
    right, bottom = boxes[:, 2:].max(axis=0).clip(max=(width, height))
    return float(left), float(top), float(right), float(bottom)


def map_size(photograph: Image.Image) -> tuple[int, int]:
    """(columns, rows) of the map of a photograph."""
    ratio = min(1.0, LONGEST_SIDE / max(photograph.size))
    return max(1, round(photograph.width * ratio)), max(1, round(photograph.height * ratio))


def over_photograph(cells: np.ndarray, encoder: Encoder, photograph: Image.Image) -> np.ndarray:
    """Cells laid over the box that the encoder was shown, 0 beside it: float32 [rows, columns] of `map_size`."""
    columns, rows = map_size(photograph)
    left, top, right, bottom = encoder.covered(photograph.width, photograph.height)
    across, down = columns / photograph.width, rows / photograph.height
    box = round(left * across), round(top * down), round(right * across), round(bottom * down)
    size = max(1, box[2] - box[0]), max(1, box[3] - box[1])
    resized = Image.fromarray(cells).resize(size, Image.Resampling.BILINEAR)
    # What lies over the photograph's edge is padding; `crop` fills what lies beside the box with 0.
    whole = resized.crop((-box[0], -box[1], columns - box[0], rows - box[1]))
    return np.asarray(whole) * (columns * rows) / (size[0] * size[1])


def _each_scaled(cells: np.ndarray) -> np.ndarray:
    """[n, rows, columns], the highest of each 1, unless nothing is above 0."""
    highest = cells.max(axis=(1, 2), keepdims=True)
    return np.divide(cells, highest, out=np.zeros_like(cells), where=highest > 0)


def _scaled(heat: np.ndarray) -> np.ndarray:
    """To [0, 1], unless there is nothing."""
    highest = heat.max()
    return heat / highest if highest > 0 else heat
