"""From `encoder` params to an encoder."""

import difflib
from typing import Any

from pydantic import Field

from derm.encoders.encoder import Encoder
from derm.errors import UserError
from derm.params import Section


class EncoderParams(Section):
    """Section `encoder`: which frozen network, and which weights.

    weights: `none` (an encoder without any), `pretrained` (from its hub), `random` (seeded) or a safetensors file.
    """

    name: str = Field(min_length=1)
    weights: str = Field(min_length=1)
    weights_sha256: str = Field(pattern=r"^([0-9a-f]{64})?$")
    model_args: dict[str, Any]
    seed: int = Field(ge=0, lt=2**63)


COLOUR_TEXTURE = "colour-texture"
TIMM = "timm/"


def build_encoder(params: EncoderParams) -> Encoder:
    """The encoder that the params name, on CPU, in evaluation mode.

    UserError for an unknown name (with the nearest known one), for weights that cannot be had and for a wrong digest.
    """
    if params.name == COLOUR_TEXTURE:
        from derm.encoders.colour_texture_encoder import build

        return build(params.weights, params.model_args)
    if params.name.startswith(TIMM):
        from derm.encoders.timm_encoder import build_from_params

        return build_from_params(
            params.name.removeprefix(TIMM), params.weights, params.weights_sha256, params.model_args, params.seed
        )
    raise UserError(f"encoder.name: unknown encoder {params.name!r}; {_nearest(params.name)}")


def build_for_features(params: EncoderParams, manifest: dict[str, Any]) -> Encoder:
    """The encoder that made the features with this manifest; the params only say where its weights lie.

    UserError if what the params name is another encoder.
    """
    encoder = build_encoder(params)
    if encoder.manifest != manifest["encoder"]:
        raise UserError(f"encoder {params.name} is not the one that made data/features: run `dvc repro featurize`")
    return encoder


def build_as_described(manifest: dict[str, Any], state: dict[str, Any] | None) -> Encoder:
    """The encoder of a manifest, with the weights in `state` (None: it has none, or they come from the hub).

    UserError if the result's fingerprint is not the manifest's.
    """
    if manifest["encoder"] == COLOUR_TEXTURE:
        from derm.encoders.colour_texture_encoder import build

        encoder = build("none", {})
    else:
        from derm.encoders.timm_encoder import build_from_manifest

        encoder = build_from_manifest(manifest, state)
    if encoder.manifest != manifest:
        differing = [key for key in manifest if encoder.manifest.get(key) != manifest[key]]
        raise UserError(
            f"encoder {manifest['encoder']} is not the one that made these features: {', '.join(differing)} differ; "
            "install the versions in requirements.lock, or run `dvc repro` to embed anew"
        )
    return encoder


def _nearest(name: str) -> str:
    import timm

    known = [COLOUR_TEXTURE, *(TIMM + model for model in timm.list_models())]
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0)
    return f"the nearest known name is {nearest[0]!r} (colour-texture, or timm/<any model of timm>)"
