"""Encoder params for tests."""

from typing import Any

from derm.encoders.registry import EncoderParams


def params(**changes: Any) -> EncoderParams:
    """A tiny convolutional network of timm with random weights, unless told otherwise."""
    given = {"name": "timm/test_resnet", "weights": "random", "weights_sha256": "", "model_args": {}, "seed": 0}
    return EncoderParams.model_validate(given | changes)
