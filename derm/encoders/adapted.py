"""Encoders that were trained here: their weights, merged into one plain network, and what builds it again.

models/encoder/adapted.json             the manifest of each, by the name of the encoder; empty if none was trained
models/encoder/encoder-1.safetensors    the weights of the first of them
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from derm.encoders.encoder import ADAPTED, Encoder, weights_digest
from derm.encoders.weights import read_safetensors
from derm.errors import UserError
from derm.files import canonical_json, read_json, write_bytes

FOLDER = Path("models/encoder")
MANIFESTS = "adapted.json"


def adapted_manifest(encoder: Encoder, state: dict[str, torch.Tensor], precision: str) -> dict[str, Any]:
    """Of the same encoder with the weights in `state`, computed in `precision`: a fingerprint of its own."""
    return encoder.manifest | {
        "weights": ADAPTED,
        "weights_digest": weights_digest(state),
        "precision": precision,
    }


def write_adapted(trained: dict[str, tuple[dict[str, Any], dict[str, torch.Tensor]]], folder: Path = FOLDER) -> None:
    """encoder -> its manifest and weights. None were trained: an empty table is written, so that there is a file."""
    for number, (_, state) in enumerate(trained.values(), 1):
        tensors = {name: tensor.cpu().contiguous() for name, tensor in sorted(state.items())}
        write_bytes(folder / f"encoder-{number}.safetensors", save(tensors))
    # Not `write_json`, which rounds: a manifest is compared to the last digit when it is read again.
    text = canonical_json({"adapted": {name: manifest for name, (manifest, _) in trained.items()}})
    write_bytes(folder / MANIFESTS, f"{text}\n".encode())


def read_adapted(folder: Path = FOLDER) -> dict[str, tuple[dict[str, Any], dict[str, torch.Tensor]]]:
    """encoder -> its manifest and weights. UserError if a file is missing or damaged."""
    manifests = read_json(folder / MANIFESTS).get("adapted")
    if not isinstance(manifests, dict):
        raise UserError(f"{folder / MANIFESTS} is damaged: run `dvc repro --force adapt`")
    trained = {}
    for number, (name, manifest) in enumerate(manifests.items(), 1):
        path = folder / f"encoder-{number}.safetensors"
        if not path.is_file():
            raise UserError(f"{path} is missing: run `dvc repro adapt`")
        trained[name] = manifest, read_safetensors(path)
    return trained
