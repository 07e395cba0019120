"""Networks whose answer is known to come from one planted region, one for each family of encoders.

All weights are random, but attention is taken out of a transformer: a token then knows its own patch alone, and what
pools by attention takes the mean. The head asks for that combination of channels in which the planted cells stand out
and the ground is 0: by construction no other place speaks for the answer.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from derm.encoders.encoder import Encoder
from derm.encoders.layers import layer
from derm.encoders.registry import build_encoder
from derm.heads.head import Head
from tests.derm.encoders.params import params
from tests.derm.encoders.tiny import write_dinov2_registers, write_gemma3, write_siglip
from tests.derm.heads.data import shape

GREY, COLOURS = (128, 128, 128), ((230, 30, 40), (30, 60, 220))
Box = tuple[int, int, int, int]


def timm_encoder(name: str, **changes: object) -> Callable[[Path], Encoder]:
    return lambda folder: build_encoder(params(name=f"timm/{name}", weights="random", **changes))


def folder_encoder(write: Callable[[Path], Path], **changes: object) -> Callable[[Path], Encoder]:
    return lambda folder: build_encoder(params(name="hf/tiny", weights=str(write(folder)), **changes), False)


FAMILIES: dict[str, Callable[[Path], Encoder]] = {
    "convolutions": timm_encoder("test_resnet", image_size=256),
    "convnext": timm_encoder("test_convnext", image_size=256),
    "class token": timm_encoder("test_vit"),
    "mean of patches": timm_encoder("test_vit", pooling="mean"),
    "class token and registers": folder_encoder(write_dinov2_registers, image_size=112),
    "attention pooling (SigLIP)": folder_encoder(write_siglip, image_size=112),
    "mean-pooled tower (Gemma 3)": folder_encoder(write_gemma3, image_size=112),
    "colour and texture": lambda folder: build_encoder(params(name="colour-texture", weights="none")),
}


def without_attention(encoder: Encoder) -> Encoder:
    """Attention adds nothing but in the last block, where it takes the mean, as attention pooling does; no token knows
    where it is."""
    blocks = max((int(part) for name in _names(encoder) for part in name.split(".") if part.isdigit()), default=0)
    with torch.no_grad():
        for part in (encoder.maps, encoder.pooling):
            for name, tensor in part.named_parameters():
                last = f".{blocks}." in name
                reads = last and encoder.cam_layer is not encoder.maps  # a class token reads the last block
                if name.endswith(("pos_embed", "position_embedding.weight", "position_embeddings")):
                    tensor.zero_()
                elif "qkv" in name and last:
                    tensor[: 2 * len(tensor) // 3] = 0  # all keys alike: the mean of the values
                elif any(word in name for word in ("query.", "q_proj.")) and last:
                    tensor.zero_()
                elif "in_proj" in name:
                    tensor[: 2 * len(tensor) // 3] = 0
                elif any(word in name for word in (".attn.proj.", ".o_proj.", "self_attn.out_proj.")) and not reads:
                    tensor.zero_()
    return encoder


def knowing_head(encoders: list[Encoder], image: Image.Image, box: Box) -> Head:
    """For two classes: the first one's logit is, to first order, the sum over all cells of how much each is like the
    planted region of this image, and a cell like the ground adds 0."""
    blocks = []
    for encoder in encoders:
        one = layer(encoder)
        said: list[torch.Tensor] = []

        def start(_module, _given, output, said=said):
            said.append(output.detach().requires_grad_(True))
            return said[0]

        handle = one.module.register_forward_hook(start)
        features = encoder.embed(encoder.transform(image)[None])[0]
        handle.remove()
        gradients = [torch.autograd.grad(feature, said[0], retain_graph=True)[0] for feature in features]
        jacobian = torch.stack([one.to_grid(gradient)[0].sum((1, 2)) for gradient in gradients])  # [dim, channels]
        cells = one.to_grid(said[0].detach())[0]
        grid = int(cells.shape[1]), int(cells.shape[2])
        inside = torch.from_numpy(cells_of(box, image.width, grid, shrink=True))
        outside = torch.from_numpy(~cells_of(box, image.width, grid, shrink=False))
        ground, there = cells[:, outside], cells[:, inside].mean(1)
        # What is left of the planted cells' channels beside all that the ground says.
        basis = torch.linalg.svd(ground, full_matrices=False)
        basis = basis.U[:, 1e-3 * basis.S[0] < basis.S]
        wanted = there - basis @ (basis.T @ there)
        blocks.append(torch.linalg.pinv(jacobian.T.double(), rtol=1e-4) @ wanted.double())
    weights = torch.cat(blocks).float()
    head = Head(shape(len(weights), 2)).eval()
    with torch.no_grad():
        member: Any = head.members[0]
        output = member.output
        output.weight.copy_(torch.stack([weights, -weights]))
        output.bias.zero_()
    return head


def cells_of(box: Box, side: int, grid: tuple[int, int], shrink: bool) -> np.ndarray:
    """Bool [rows, columns]: the cells that the box touches, and their neighbours; or those wholly within it."""
    edges = [np.arange(cells + 1) * side / cells for cells in grid]
    found = []
    for edge, low, high in ((edges[0], box[1], box[3]), (edges[1], box[0], box[2])):
        if shrink:
            found.append((edge[:-1] >= low) & (edge[1:] <= high))
        else:
            step = edge[1]
            found.append((edge[1:] > low - step) & (edge[:-1] < high + step))
    return found[0][:, None] & found[1][None, :]


def _names(encoder: Encoder) -> list[str]:
    return [name for name, _ in encoder.maps.named_parameters() if "layer" in name or "blocks" in name]


def planted(side: int, box: Box, colour: int, beside: Box) -> Image.Image:
    """Grey, with a coarse texture of one of two colours in the one box (left, top, right, bottom), and one of a third
    colour, which is in every image, in the other."""
    pixels = np.full((side, side, 3), GREY, dtype=np.uint8)
    for (left, top, right, bottom), paint in ((beside, (40, 200, 60)), (box, COLOURS[colour])):
        stripes = (np.arange(right - left)[None, :] // 3 + np.arange(bottom - top)[:, None] // 3) % 2
        pixels[top:bottom, left:right] = np.where(stripes[..., None], paint, (20, 20, 20))
    return Image.fromarray(pixels)


def places(side: int, seed: int) -> tuple[Box, Box]:
    """Two boxes of a third of the side, in two different quarters."""
    generator = np.random.default_rng(seed)
    found = []
    for quarter in generator.permutation(4)[:2]:
        left, top = (int(side * (0.02 + 0.5 * at + 0.1 * generator.random())) for at in divmod(int(quarter), 2))
        found.append((left, top, left + int(0.34 * side), top + int(0.34 * side)))
    return found[0], found[1]
