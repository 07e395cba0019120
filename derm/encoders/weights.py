"""Weights from a file or folder that a param names: its digest compared, every tensor accounted for."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from derm.encoders.params import PartParams
from derm.errors import UserError
from derm.files import file_digest
from derm.folder_digest import folder_digest

NOT_A_PATH = ("none", "pretrained", "random")


def refuse_contradictions(params: PartParams) -> None:
    """UserError for an encoder that needs weights and is given none, or a digest or commit of what it is not given."""
    if params.weights == "none":
        raise UserError(
            f"encoder.weights is 'none', but {params.name} needs some: set encoder.weights to pretrained, random, or "
            "the path of a .safetensors file or a folder"
        )
    if params.weights_sha256 and params.weights in NOT_A_PATH:
        raise UserError(
            f"encoder.weights_sha256 is for a file or folder, but encoder.weights is {params.weights!r}: leave it empty"
        )
    if params.revision and params.weights not in ("pretrained", "random"):
        raise UserError(
            f"encoder.revision is for a hub's repository, but encoder.weights is {params.weights!r}: leave it empty"
        )


def checked_path(weights: str, sha256: str, compare: bool = True) -> Path:
    """The .safetensors file or the folder that `encoder.weights` names, its digest equal to `encoder.weights_sha256`.

    compare: False where the tensors are compared with a known digest anyway, so that a large folder is read once.
    UserError if it is not there, of another kind, or not that.
    """
    path = Path(weights)
    if not path.is_dir() and path.suffix != ".safetensors":
        raise UserError(
            f"encoder.weights is {weights!r}, expected none, pretrained, random, a .safetensors file or a folder with "
            "some (other formats can run code when they are loaded)"
        )
    if not path.exists():
        raise UserError(f"encoder.weights: no file {weights!r} (queued experiments need an absolute path)")
    if not compare:
        return path
    actual = folder_digest(path) if path.is_dir() else file_digest(path)
    if not sha256:
        raise UserError(
            f"encoder.weights_sha256 is empty, but {weights!r} needs its digest: "
            f"compare {actual} with the one its publisher gives, then set it"
        )
    if actual != sha256:
        raise UserError(f"encoder.weights: {weights!r} has digest {actual}, encoder.weights_sha256 says {sha256}")
    return path


def refuse_uneven(image_size: int, patch: int, name: str) -> None:
    """UserError if patches of so many pixels do not fill the image."""
    if image_size % patch:
        near = max(patch, round(image_size / patch) * patch)
        raise UserError(
            f"encoder.image_size is {image_size}, but {name} reads patches of {patch} pixels: expected a multiple, as "
            f"{near}"
        )


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of one file. UserError if it is damaged."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"encoder.weights: {str(path)!r} is not a safetensors file: {error}") from None


def load_strictly(
    model: nn.Module, state: Mapping[str, torch.Tensor], where: str, may_be_left_over: tuple[str, ...] = ()
) -> None:
    """Every tensor of the model from `state`, and none left over but those with one of the prefixes.

    UserError names the first tensors that are missing, unknown or of another shape.
    """
    own = model.state_dict()
    given = {name: tensor for name, tensor in state.items() if name in own or not name.startswith(may_be_left_over)}
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
