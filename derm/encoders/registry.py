"""From `encoder` params to encoders, and from manifests back to them."""

import difflib
import sys
from pathlib import Path
from typing import Any

import torch

from derm.encoders.adapted import read_adapted
from derm.encoders.encoder import ADAPTED, Encoder
from derm.encoders.params import COLOUR_TEXTURE, SIMPLE_CNN, EncoderParams, PartParams, parts_of
from derm.encoders.weights import read_safetensors
from derm.errors import UserError

TIMM = "timm/"
TRANSFORMERS = "hf/"
NAMED = ("medgemma-4b", "medsiglip-448")


def build_encoders(params: EncoderParams) -> list[Encoder]:
    """The encoders that the params name, joined by `+`, in their order; on CPU, in evaluation mode.

    As their publishers left them; `build_current` also knows those that were trained here.
    UserError for an unknown name (with the nearest known one), for weights that cannot be had and for a wrong digest.
    """
    return [build_encoder(part) for part in parts_of(params)]


def build_current(params: EncoderParams, compare_digest: bool = True) -> list[Encoder]:
    """As `build_encoders`, but an encoder that stage `adapt` has trained comes from `models/encoder`."""
    trained = read_adapted()
    parts = parts_of(params)
    foreign = [name for name in trained if name not in [part.name for part in parts]]
    if foreign:
        raise UserError(f"models/encoder holds {foreign[0]}, encoder.name is {params.name}: run `dvc repro adapt`")
    return [
        build_as_described(*trained[part.name]) if part.name in trained else build_encoder(part, compare_digest)
        for part in parts
    ]


def build_encoder(params: PartParams, compare_digest: bool = True) -> Encoder:
    """One encoder. `compare_digest`: see `derm.encoders.weights.checked_path`."""
    if params.name == COLOUR_TEXTURE:
        from derm.encoders.colour_texture_encoder import build

        return build(params)
    if params.name.startswith(TIMM):
        from derm.encoders.timm_encoder import build as build_timm

        return build_timm(params, compare_digest)
    if params.name == SIMPLE_CNN:
        from derm.encoders.simple_cnn import build as build_simple_cnn

        return build_simple_cnn(params, compare_digest)
    if params.name.startswith(TRANSFORMERS) or params.name in NAMED:
        from derm.encoders.transformers_encoder import build as build_transformers

        return build_transformers(params, compare_digest)
    raise UserError(f"encoder.name: unknown encoder {params.name!r}; {_nearest(params.name)}")


def build_for_features(params: EncoderParams, manifests: list[dict[str, Any]]) -> list[Encoder]:
    """The encoders that made the features with these manifests; the params only say where their weights lie.

    UserError if what the params name is another encoder.
    """
    # The manifest has the digest of the tensors themselves: the file's own need not be computed again.
    encoders = build_current(params, compare_digest=False)
    if [encoder.manifest for encoder in encoders] != manifests:
        raise UserError(
            f"encoder {params.name} is not the one that made data/features: run `dvc repro featurize` (with --force if "
            "a hub has newer weights; encoder.revision pins them)"
        )
    return encoders


def build_as_described(manifest: dict[str, Any], state: dict[str, torch.Tensor] | None, revision: str = "") -> Encoder:
    """The encoder of a manifest, with the weights in `state` (None: it has none, or they come from the hub, at the
    commit `revision`).

    UserError if the result's manifest is another one; only a warning if no more than the code has changed since.
    """
    name = manifest["encoder"]
    if state is None and manifest["weights"] == ADAPTED:
        raise UserError(
            f"{name} was trained where this was made, and its weights are not here: name the file with "
            "--encoder-weights (there it is models/encoder/encoder-1.safetensors), or package it with a larger "
            "package.max_encoder_mb"
        )
    if name == COLOUR_TEXTURE:
        from derm.encoders.colour_texture_encoder import rebuild

        encoder = rebuild()
    elif name.startswith(TIMM):
        from derm.encoders.timm_encoder import rebuild as rebuild_timm

        encoder = rebuild_timm(manifest, state, revision)
    elif name == SIMPLE_CNN:
        from derm.encoders.simple_cnn import rebuild as rebuild_simple_cnn

        encoder = rebuild_simple_cnn(manifest, state)
    else:
        from derm.encoders.transformers_encoder import rebuild as rebuild_transformers

        encoder = rebuild_transformers(manifest, state, revision)
    differing = [key for key in manifest if encoder.manifest.get(key) != manifest[key]]
    if differing == ["code"]:
        print(f"WARNING: the code of encoder {name} has changed since; its numbers may have too", file=sys.stderr)
    elif encoder.manifest != manifest:
        raise UserError(
            f"encoder {name} is not the one that made these features: {', '.join(differing)} differ; "
            "install the versions in requirements.lock, or run `dvc repro` to embed anew"
        )
    return encoder


def read_state(manifest: dict[str, Any], path: Path) -> dict[str, torch.Tensor]:
    """The weights of the encoder of a manifest, from a file or folder as `encoder.weights` names them.

    UserError if they are not there or are of another model; whether they are the right ones, the digest tells.
    """
    if not path.exists():
        raise UserError(f"--encoder-weights {path}: no such file or folder")
    if manifest["weights"] == ADAPTED:
        return read_safetensors(path)
    pooling = manifest["pooling"] if manifest["pooling"] in ("cls", "mean", "map") else None
    params = PartParams(
        name=manifest["encoder"],
        weights=str(path),
        weights_sha256="",
        revision="",
        model_args=manifest.get("model_args", {}),
        seed=0,
        image_size=None,
        resize=None,
        interpolation=None,
        pooling=pooling,
        precision="float32",
    )
    return build_encoder(params, compare_digest=False).weights


def _nearest(name: str) -> str:
    import timm

    known = [COLOUR_TEXTURE, SIMPLE_CNN, *NAMED, *(TIMM + model for model in timm.list_models())]
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0)
    return (
        f"the nearest known name is {nearest[0]!r} (`python -m derm encoders` lists them; also hf/<repository>, and "
        "several joined by +)"
    )
