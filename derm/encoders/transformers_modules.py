"""What a vision model of transformers computes for us: its maps, and how they become one vector."""

import inspect

import torch
from torch import nn
from torch.nn import functional

# The name of a token's parameter -> that token stands before the patches. `register_tokens` holds several.
_TOKENS = ("cls_token", "class_embedding", "distillation_token", "register_tokens")
# Models that give their final norm, of this name, to the class token alone.
_NORM_OF_CLASS_TOKEN = {
    "chinese_clip_vision_model": "post_layernorm",
    "clip_vision_model": "post_layernorm",
    "mlcd_vision_model": "post_layernorm",
}


class TransformersMaps(nn.Module):
    """Images [batch, 3, height, width] -> [batch, tokens, channels] or [batch, channels, rows, columns].

    The last hidden state, all of it after the model's final norm. A model that can fit its position embedding to the
    image does so.
    """

    def __init__(self, model: nn.Module, model_type: str) -> None:
        super().__init__()
        self.model = model
        self.norm = _NORM_OF_CLASS_TOKEN.get(model_type)
        interpolates = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
        self.arguments = {"interpolate_pos_encoding": True} if interpolates else {}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.model(images, **self.arguments).last_hidden_state
        return maps if self.norm is None else self.model.get_submodule(self.norm)(maps)


class ClassToken(nn.Module):
    """[batch, tokens, channels] -> the first token, float32 [batch, channels]."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps[:, 0].float()


class MeanPooling(nn.Module):
    """The mean over patches, without the class and register tokens before them: float32 [batch, channels]."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.before = before

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        if maps.ndim == 4:
            return maps.float().mean((2, 3))
        return maps[:, self.before :].float().mean(1)


class AttentionPooling(nn.Module):
    """The model's own attention-pooling head (MAP), then to length 1: float32 [batch, channels]."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return functional.normalize(self.head(maps).float(), dim=-1)


class Grid:
    """Maps, or what another layer says of the same tokens -> float32 [batch, channels, rows, columns] of the patches.

    before: tokens before the patches. size: (rows, columns) of the image in pixels; patches are square.
    """

    def __init__(self, before: int, size: tuple[int, int]) -> None:
        self.before, self.size = before, size

    def __call__(self, maps: torch.Tensor) -> torch.Tensor:
        if maps.ndim == 4:
            return maps.float()
        patches = maps[:, self.before :].float()
        rows, columns = self.shape(patches.shape[1])
        return patches.transpose(1, 2).reshape(len(patches), -1, rows, columns)

    def shape(self, patches: int) -> tuple[int, int]:
        """Rows and columns of that many patches. ValueError if they are no grid."""
        rows = round((patches * self.size[0] / self.size[1]) ** 0.5)
        if patches < 1 or rows < 1 or patches % rows:
            raise ValueError(f"{patches} tokens are no grid of patches")
        return rows, patches // rows


def tokens_before_patches(model: nn.Module) -> int:
    """How many class, distillation and register tokens stand before the patches."""
    named = ((name.rsplit(".", maxsplit=1)[-1], tensor) for name, tensor in model.named_parameters())
    return sum(tensor.shape[1] if tensor.ndim == 3 else 1 for name, tensor in named if name in _TOKENS)


def poolings(model: nn.Module, before: int, tokens: bool) -> dict[str, nn.Module]:
    """Name -> module of the poolings that a model has, its own first.

    before: as `tokens_before_patches` counts; tokens: whether its maps are tokens, not a grid of channels.
    """
    has: dict[str, nn.Module] = {}
    head = getattr(model, "head", None)
    if tokens and isinstance(head, nn.Module):
        has["map"] = AttentionPooling(head)
    if tokens and before:
        has["cls"] = ClassToken()
    return has | {"mean": MeanPooling(before)}


def cast(model: nn.Module, dtype: torch.dtype) -> None:
    """Weights to `dtype`; tables that no checkpoint stores, as rotary frequencies, stay as exact as they are."""
    stored = model.state_dict().keys()
    tables = {name: buffer for name, buffer in model.named_buffers() if name not in stored}
    model.to(dtype)
    for name, buffer in tables.items():
        owner, _, key = name.rpartition(".")
        model.get_submodule(owner)._buffers[key] = buffer
