"""The numbers of the catalogue are those of the architectures, built without weights."""

from typing import Any

import pytest
import timm
import torch
from transformers import SiglipVisionConfig, SiglipVisionModel
from typer.testing import CliRunner

from derm.__main__ import app
from derm.encoders.catalogue import CATALOGUE, known, listing, timm_models
from derm.encoders.params import COLOUR_TEXTURE, SIMPLE_CNN
from derm.encoders.registry import build_encoder
from tests.derm.encoders.params import params

# The same architectures, as timm knows them.
TWINS = {
    "hf/facebook/dinov2-small": "vit_small_patch14_dinov2",
    "hf/facebook/dinov2-base": "vit_base_patch14_dinov2",
    "hf/facebook/dinov2-large": "vit_large_patch14_dinov2",
    "hf/facebook/dinov3-vits16-pretrain-lvd1689m": "vit_small_patch16_dinov3",
    "hf/facebook/dinov3-vitb16-pretrain-lvd1689m": "vit_base_patch16_dinov3",
    "hf/facebook/dinov3-vitl16-pretrain-lvd1689m": "vit_large_patch16_dinov3",
    "hf/google/siglip2-so400m-patch14-384": "vit_so400m_patch14_siglip_384",
    "hf/openai/clip-vit-large-patch14": "vit_large_patch14_clip_224",
    "hf/google/vit-base-patch16-224-in21k": "vit_base_patch16_224",
}
SO400M: dict[str, Any] = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "patch_size": 14,
}


def architecture(name: str) -> Any:
    if name in ("medgemma-4b", "medsiglip-448"):
        is_medgemma = name == "medgemma-4b"
        config = SiglipVisionConfig(**SO400M, image_size=896 if is_medgemma else 448, vision_use_head=not is_medgemma)
        with torch.device("meta"):
            return SiglipVisionModel(config)
    if name == SIMPLE_CNN:
        return build_encoder(params(name=name)).model
    return timm.create_model(TWINS.get(name, name.removeprefix("timm/")), num_classes=0, device="meta")


@pytest.mark.parametrize("name", [entry.name for entry in CATALOGUE if entry.name != COLOUR_TEXTURE])
def test_sizes_and_dimensions_are_those_of_the_architecture(name: str) -> None:
    entry, model = known(name), architecture(name)
    assert entry is not None
    assert entry.parameters == round(sum(weight.numel() for weight in model.parameters()) / 1e6, 1)
    if name == SIMPLE_CNN:
        assert entry.dimension == model.dense.out_features
    else:
        width = model.head_hidden_size if hasattr(model, "head_hidden_size") else model.config.hidden_size
        assert entry.dimension == width
    if name.startswith("timm/"):
        assert entry.pixels == model.default_cfg["input_size"][1]


def test_the_numbers_of_colour_texture() -> None:
    entry, encoder = known(COLOUR_TEXTURE), build_encoder(params(name=COLOUR_TEXTURE, weights="none"))
    assert entry is not None and entry.parameters == 0
    assert encoder.embed(torch.rand(2, 3, entry.pixels, entry.pixels)).shape == (2, entry.dimension)
    assert encoder.manifest["transform"]["size"] == [entry.pixels, entry.pixels]


def test_the_listing_tells_terms_and_overlap() -> None:
    told = CliRunner().invoke(app, ["encoders"]).stdout
    assert listing() in told
    lines = told.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("medsiglip-448"))
    assert "to be accepted first" in lines[place] and "has SEEN PAD-UFES-20" in " ".join(lines[place : place + 6])
    assert all(len(line) <= 120 or "terms of use" in line for line in lines)


def test_models_of_timm_are_found_by_a_pattern() -> None:
    assert "timm/mobilenetv2_100.ra_in1k" in timm_models("mobilenetv2_1*")
    assert timm_models("no_such_model*") == []
