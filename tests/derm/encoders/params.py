"""Encoder params for tests."""

from typing import Any

from derm.encoders.params import EncoderParams, PartParams, parts_of

DEFAULT: dict[str, Any] = {
    "name": "timm/test_resnet",
    "weights": "random",
    "weights_sha256": "",
    "revision": "",
    "model_args": {},
    "seed": 0,
    "image_size": "auto",
    "resize": "auto",
    "interpolation": "auto",
    "pooling": "auto",
    "precision": "float32",
}


def section(**changes: Any) -> EncoderParams:
    """A tiny convolutional network of timm with random weights, unless told otherwise."""
    return EncoderParams.model_validate(DEFAULT | changes)


def params(**changes: Any) -> PartParams:
    """The same, of one encoder."""
    (part,) = parts_of(section(**changes))
    return part
