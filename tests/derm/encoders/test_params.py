"""What section `encoder` says about each of several joined encoders."""

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from derm.encoders.params import Interpolation, parts_of
from derm.encoders.preprocessing import INTERPOLATIONS
from derm.errors import UserError
from tests.derm.encoders.params import section

PAIR = "colour-texture+timm/test_resnet"
THREE = "timm/a+colour-texture+hf/owner/b"


def test_one_encoder_gets_every_key_and_none_for_auto():
    (part,) = parts_of(
        section(name="hf/owner/b", weights="pretrained", revision=40 * "a", image_size=224, pooling="cls")
    )
    assert (part.name, part.weights, part.revision, part.image_size) == ("hf/owner/b", "pretrained", 40 * "a", 224)
    assert (part.pooling, part.resize, part.interpolation, part.precision) == ("cls", None, None, "float32")


def test_a_single_value_is_meant_for_the_encoder_that_takes_it():
    texture, network = parts_of(section(name=PAIR, weights="random", image_size=96, precision="bfloat16", seed=3))
    assert (texture.weights, texture.image_size, texture.precision) == ("none", None, "float32")
    assert (network.weights, network.image_size, network.precision) == ("random", 96, "bfloat16")
    assert texture.seed == network.seed == 3
    (alone,) = parts_of(section(name="colour-texture", weights="random", precision="bfloat16"))
    assert (alone.weights, alone.precision) == ("random", "bfloat16")  # which it then refuses itself


def test_a_list_has_one_entry_for_each():
    lists: dict[str, Any] = {
        "weights": ["/a.safetensors", "none", "pretrained"],
        "weights_sha256": [64 * "1", "", ""],
        "revision": ["", "", 40 * "2"],
        "pooling": ["auto", "auto", "map"],
        "model_args": [{"drop": 1}, {}, {}],
    }
    first, texture, last = parts_of(section(name=THREE, **lists))
    assert (first.weights, first.weights_sha256, first.model_args) == ("/a.safetensors", 64 * "1", {"drop": 1})
    assert (texture.weights, texture.weights_sha256, texture.pooling) == ("none", "", None)
    assert (last.weights, last.revision, last.pooling) == ("pretrained", 40 * "2", "map")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": PAIR, "weights": ["none"]}, "encoder.weights has 1 entries, expected one for each of the 2 encoders"),
        ({"name": "timm/a+"}, "encoder.name is 'timm/a+'"),
        ({"name": "timm/a+timm/a"}, "expected one encoder, or different ones joined by +"),
        ({"name": THREE, "weights": "/a.safetensors"}, "encoder.weights: 2 of the joined encoders have weights"),
        ({"name": THREE, "weights": "pretrained", "revision": 40 * "a"}, "encoder.revision: 2 of the joined encoders"),
        ({"name": THREE, "model_args": {"x": 1}}, "encoder.model_args: 2 of the joined encoders"),
    ],
)
def test_what_cannot_be_meant_for_several_is_refused(changes: dict[str, Any], expected: str):
    with pytest.raises(UserError) as caught:
        parts_of(section(**changes))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("precision", "float16", "65504"),
        ("revision", "main", "revision"),
        ("weights_sha256", "abc", "weights_sha256"),
        ("image_size", 8, "image_size"),
        ("resize", "stretch", "resize"),
        ("pooling", "max", "pooling"),
        ("name", "", "name"),
    ],
)
def test_values_that_no_encoder_takes_are_refused(key: str, value: Any, expected: str):
    with pytest.raises(ValidationError, match=expected):
        section(**{key: value})


def test_every_interpolation_there_is_can_be_asked_for():
    assert set(get_args(Interpolation)) == {"auto", *INTERPOLATIONS}
