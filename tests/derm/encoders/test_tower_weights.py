"""The vision tower out of a MedGemma-like checkpoint: equal to the full model's own, and nothing passes unseen."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from derm.encoders.encoder import Encoder
from derm.encoders.quiet import quiet_transformers
from derm.encoders.tower_weights import INDEX, tower_prefix
from derm.encoders.transformers_encoder import build
from derm.errors import UserError
from tests.derm.encoders.params import params
from tests.derm.encoders.tiny import SIDE, write_dinov2, write_gemma3, write_gemma3_old, write_siglip, write_vit

PREFIXES = {"vision_tower.": write_gemma3, "vision_tower.vision_model.": write_gemma3_old}


def read(folder: Path) -> Encoder:
    return build(params(name="medgemma-4b", weights=str(folder)), compare_digest=False)


def tensors_of(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {path.name: load_file(path) for path in sorted(folder.glob("*.safetensors"))}


def write(folder: Path, files: dict[str, dict[str, torch.Tensor]], names: set[str]) -> None:
    """`names`: the files that changed."""
    for file in names:
        save_file(files[file], folder / file)
    if len(files) > 1:
        weight_map = {name: file for file, tensors in files.items() for name in tensors}
        (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))


@pytest.mark.parametrize("prefix", PREFIXES)
def test_equals_the_full_models_own_tower_bit_for_bit(prefix: str, tmp_path: Path):
    from transformers import Gemma3ForConditionalGeneration

    folder = PREFIXES[prefix](tmp_path)
    stored = {name: tensor for tensors in tensors_of(folder).values() for name, tensor in tensors.items()}
    assert any(name.startswith(prefix + "encoder") for name in stored)
    with quiet_transformers():
        full: Any = Gemma3ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    tower = full.model.vision_tower
    encoder = read(folder)
    assert encoder.weights.keys() == tower.state_dict().keys()
    for name, tensor in tower.state_dict().items():
        assert torch.equal(encoder.weights[name], tensor) and torch.equal(tensor, stored[prefix + name].float())
        assert encoder.weights[name].dtype == torch.float32
    images = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        assert torch.equal(encoder.maps(images), tower(images).last_hidden_state)
        torch.testing.assert_close(encoder.embed(images), tower(images).last_hidden_state.mean(1))


def test_from_pretrained_of_the_towers_class_loads_nothing(tmp_path: Path):
    """Why this module is there: transformers leaves every weight random, and only reports it."""
    from transformers import SiglipVisionModel

    folder = write_gemma3_old(tmp_path)
    with quiet_transformers():
        loaded: Any = SiglipVisionModel.from_pretrained(folder, output_loading_info=True)
    model, report = loaded
    encoder = read(folder)
    assert report["missing_keys"] == set(encoder.weights)
    drawn = [name for name, tensor in model.state_dict().items() if tensor.ndim > 1]
    assert not any(torch.equal(model.state_dict()[name], encoder.weights[name]) for name in drawn)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_no_tensor_can_be_missing_renamed_or_of_another_shape(prefix: str, tmp_path: Path):
    folder = PREFIXES[prefix](tmp_path)
    whole = tensors_of(folder)
    places = [(file, name) for file in whole for name in whole[file] if name.startswith(prefix)]
    assert len(places) == len(read(folder).weights)
    for file, name in places:
        own, tensor = name.removeprefix(prefix), whole[file][name]
        others = {key: value for key, value in whole[file].items() if key != name}
        wider = torch.cat([tensor, tensor])
        changes = {
            f"{own} is missing": others,
            f"{own}_ is unknown": others | {f"{name}_": tensor},
            f"{own} is {tuple(wider.shape)}, expected {tuple(tensor.shape)}": others | {name: wider},
        }
        for expected, changed in changes.items():
            write(folder, whole | {file: changed}, {file})
            with pytest.raises(UserError) as caught:
                read(folder)
            assert expected in str(caught.value) and "\n" not in str(caught.value)
        write(folder, whole, {file})
    read(folder)


def test_an_index_that_promises_too_much(tmp_path: Path):
    folder = write_gemma3(tmp_path)
    whole = tensors_of(folder)
    file, name = next((file, name) for file in whole for name in whole[file] if name.startswith("vision_tower."))
    save_file({key: value for key, value in whole[file].items() if key != name}, folder / file)
    with pytest.raises(UserError, match=f"{name.removeprefix('vision_tower.')} is missing"):
        read(folder)
    (folder / file).unlink()
    with pytest.raises(UserError, match=f"has no file '{file}', which {INDEX} names"):
        read(folder)


def test_files_without_vision_tensors_are_not_opened(tmp_path: Path):
    folder = write_gemma3(tmp_path)
    (folder / "model-00003-of-00003.safetensors").write_bytes(b"no tensors here")
    read(folder)


@pytest.mark.parametrize("write_family", [write_vit, write_dinov2, write_siglip])
def test_other_families_are_read_as_strictly(write_family: Any, tmp_path: Path):
    folder = write_family(tmp_path)
    asked = params(name="hf/owner/model", weights=str(folder))
    whole = tensors_of(folder)["model.safetensors"]
    reads = [name for name in whole if not name.startswith(("classifier", "text_model", "logit"))]
    used = [reads[0], reads[len(reads) // 2], reads[-1]]
    for name in used:
        others = {key: value for key, value in whole.items() if key != name}
        for changed in (others, others | {f"{name}_": whole[name]}, others | {name: torch.cat([whole[name]] * 2)}):
            save_file(changed, folder / "model.safetensors")
            with pytest.raises(UserError, match=r"weights in .* do not fit the model"):
                build(asked, compare_digest=False)
    save_file(whole | {"surplus.weight": torch.zeros(2)}, folder / "model.safetensors")
    if write_family is not write_siglip:  # in which all but the vision tower is nobody's business
        with pytest.raises(UserError, match=r"surplus\.weight is unknown"):
            build(asked, compare_digest=False)


def test_half_precision_becomes_float32(tmp_path: Path):
    folder = write_vit(tmp_path)
    file = folder / "model.safetensors"
    half = {name: tensor.half() for name, tensor in load_file(file).items()}
    save_file(half, file)
    encoder = build(params(name="hf/owner/model", weights=str(folder)), compare_digest=False)
    assert {tensor.dtype for tensor in encoder.weights.values()} == {torch.float32}
    assert torch.equal(encoder.weights["embeddings.cls_token"], half["vit.embeddings.cls_token"].float())


def test_damaged_and_foreign_files_are_told_in_one_line(tmp_path: Path):
    folder = write_gemma3(tmp_path)
    index = (folder / INDEX).read_text()
    for content, expected in (
        ("{", "is damaged"),
        ('{"weight_map": {"vision_tower.x": "../../secret.safetensors"}}', "expected a file beside it"),
        ('{"weight_map": {"language_model.x": "model-00001-of-00003.safetensors"}}', "holds 0 of the 37 tensors"),
    ):
        (folder / INDEX).write_text(content)
        with pytest.raises(UserError, match=expected):
            read(folder)
    (folder / INDEX).write_text(index)
    (folder / "model-00001-of-00003.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="is not a safetensors file"):
        read(folder)
    (folder / INDEX).unlink()
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(UserError, match=r"has neither model\.safetensors nor"):
        read(folder)


def test_prefix_is_the_vision_towers_even_if_the_text_tower_is_deeper():
    own = ["embeddings.patch.weight", "encoder.layers.0.norm.weight", "encoder.layers.1.norm.weight", "post.weight"]
    names = [f"text_model.encoder.layers.{layer}.norm.weight" for layer in range(24)]
    names += [f"model.vision_tower.vision_model.{name}" for name in own]
    assert tower_prefix(names, own, "x") == "model.vision_tower.vision_model."
    assert tower_prefix(own, own, "x") == ""
