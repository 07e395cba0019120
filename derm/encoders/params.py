"""Section `encoder`, and what it says about each of several encoders joined by `+`."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, field_validator

from derm.encoders.preprocessing import Resize
from derm.errors import UserError
from derm.params import Section

COLOUR_TEXTURE = "colour-texture"
SIMPLE_CNN = "simple-cnn"
AUTO = "auto"


def _hex(digits: int, what: str) -> Any:
    """Text that is empty or so many hex digits."""

    def check(value: str) -> str:
        if value and not re.fullmatch(f"[0-9a-f]{{{digits}}}", value):
            raise ValueError(f"{what}, {digits} hex digits, or ''")
        return value

    return AfterValidator(check)


def _pixels(value: Any) -> Any:
    if value != AUTO and not (type(value) is int and 16 <= value <= 4096):
        raise ValueError("auto, or a whole number of pixels from 16 to 4096")
    return value


Given = TypeVar("Given")
# Told apart before it is checked, so that an error speaks of the one that was meant.
OneOrEach = Annotated[
    Annotated[Given, Tag("<one>")] | Annotated[list[Given], Tag("<each>")],
    Discriminator(lambda value: "<each>" if isinstance(value, list) else "<one>"),
]
Digest = Annotated[str, _hex(64, "a SHA-256 digest")]
Revision = Annotated[str, _hex(40, "a commit of the repository")]
Size = Annotated[Literal["auto"] | int, BeforeValidator(_pixels)]
ResizeOrAuto = Literal["auto", "squash", "pad", "crop"]
Interpolation = Literal["auto", "nearest", "bilinear", "bicubic", "lanczos"]
Pooling = Literal["auto", "cls", "mean", "map"]


class EncoderParams(Section):
    """Section `encoder`: which frozen network or networks, which weights, which input and output.

    Of every key but name, seed and precision, one value is for all joined encoders that take it, and a list has one
    entry for each. `colour-texture` takes none of them.
    """

    name: str = Field(min_length=1)
    weights: OneOrEach[Annotated[str, Field(min_length=1)]]
    weights_sha256: OneOrEach[Digest]
    revision: OneOrEach[Revision]
    model_args: OneOrEach[dict[str, Any]]
    seed: int = Field(ge=0, lt=2**63)
    image_size: OneOrEach[Size]
    resize: OneOrEach[ResizeOrAuto]
    interpolation: OneOrEach[Interpolation]
    pooling: OneOrEach[Pooling]
    precision: Literal["float32", "bfloat16"]

    @field_validator("precision", mode="before")
    @classmethod
    def _no_float16(cls, value: Any) -> Any:
        if value == "float16":
            raise ValueError(
                "float32 or bfloat16: SigLIP and MedGemma overflow in float16, whose largest number is 65504"
            )
        return value


@dataclass(frozen=True)
class PartParams:
    """What is asked of one encoder. None: as its own recipe says.

    weights: `none`, `pretrained`, `random`, or the path of a file or folder, then with its digest.
    revision: commit of the hub repository; '' for its newest.
    """

    name: str
    weights: str
    weights_sha256: str
    revision: str
    model_args: dict[str, Any]
    seed: int
    image_size: int | None
    resize: Resize | None
    interpolation: str | None
    pooling: Literal["cls", "mean", "map"] | None
    precision: Literal["float32", "bfloat16"]


# Keys that may hold one entry for each joined encoder, and what `colour-texture` is given instead of a common value.
_NOT_FOR_COLOUR_TEXTURE: dict[str, Any] = {
    "weights": "none",
    "weights_sha256": "",
    "revision": "",
    "model_args": {},
    "image_size": AUTO,
    "resize": AUTO,
    "interpolation": AUTO,
    "pooling": AUTO,
}
_OF_ONE_FILE = ("weights_sha256", "revision", "model_args")


def parts_of(params: EncoderParams) -> list[PartParams]:
    """What is asked of each encoder in `name`, in its order.

    UserError for a list of another length, and for one value that cannot be meant for several encoders.
    """
    names = params.name.split("+")
    if "" in names or len(set(names)) != len(names):
        raise UserError(f"encoder.name is {params.name!r}: expected one encoder, or different ones joined by +")
    given = {key: _for_each(key, getattr(params, key), names) for key in _NOT_FOR_COLOUR_TEXTURE}
    weighted = [place for place, name in enumerate(names) if name != COLOUR_TEXTURE]
    files = [place for place in weighted if given["weights"][place] not in ("none", "pretrained", "random")]
    if len(weighted) > 1:
        common = [key for key in _OF_ONE_FILE if not isinstance(getattr(params, key), list) and getattr(params, key)]
        if files and not isinstance(params.weights, list):
            common.insert(0, "weights")
        if common:
            raise UserError(
                f"encoder.{common[0]}: {len(weighted)} of the joined encoders have weights, and one value cannot be "
                f"meant for all: give a list in params.yaml with an entry for each of {', '.join(names)}"
            )
    return [
        PartParams(
            name=name,
            seed=params.seed,
            # A lone colour-texture refuses what it does not take; beside others the value is meant for the others.
            precision="float32" if name == COLOUR_TEXTURE and len(names) > 1 else params.precision,
            **cast(dict[str, Any], {key: _meant(key, given[key][place]) for key in given}),
        )
        for place, name in enumerate(names)
    ]


def _meant(key: str, value: Any) -> Any:
    return None if _NOT_FOR_COLOUR_TEXTURE[key] == AUTO == value else value


def _for_each(key: str, value: Any, names: list[str]) -> list[Any]:
    if isinstance(value, list):
        if len(value) != len(names):
            raise UserError(
                f"encoder.{key} has {len(value)} entries, expected one for each of the {len(names)} encoders in "
                f"encoder.name ({', '.join(names)})"
            )
        return value
    alone = len(names) == 1
    return [_NOT_FOR_COLOUR_TEXTURE[key] if name == COLOUR_TEXTURE and not alone else value for name in names]
