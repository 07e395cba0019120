"""timm models as encoders: their own preprocessing and pooling, strict weights, and errors in one line.

Weights are random: nothing here needs the network. The `test_*` models are tiny ones that timm ships for tests.
"""

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data.config import resolve_model_data_config
from timm.data.transforms_factory import create_transform

from derm.encoders.encoder import Encoder, fingerprint, weights_digest
from derm.encoders.registry import build_as_described, build_encoder, build_for_features
from derm.errors import UserError
from tests.derm.encoders.params import params

REPOSITORY = Path(__file__).resolve().parents[3]
MODELS = ["test_resnet", "test_efficientnet", "test_convnext", "test_vit", "test_vit2", "mobilenetv3_small_050"]


def refusal(**changes: Any) -> str:
    with pytest.raises(UserError) as caught:
        build_encoder(params(**changes))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def photograph(width: int = 600, height: int = 450) -> Image.Image:
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([across, down, (across + 2 * down) % 255], axis=2).astype(np.uint8))


def test_an_unknown_name_tells_the_nearest() -> None:
    assert "'timm/test_resnet'" in refusal(name="timm/test_resnett")
    assert "'timm/resnet50'" in refusal(name="timm/resnet_50")
    assert "'colour-texture'" in refusal(name="color-texture", weights="none")
    assert "'timm/test_resnet'" in refusal(name="test_resnet")


def test_the_seed_decides_random_weights() -> None:
    one, again, other = (build_encoder(params(seed=seed)) for seed in (0, 0, 1))
    torch.rand(7)
    assert one.fingerprint == again.fingerprint != other.fingerprint
    assert weights_digest(one.weights) == weights_digest(again.weights)
    assert build_encoder(params(seed=0)).fingerprint == one.fingerprint


def test_the_fingerprint_tells_models_and_arguments_apart() -> None:
    prints = {
        build_encoder(params(**changes)).fingerprint
        for changes in (
            {},
            {"name": "timm/test_resnet2" if timm.is_model("test_resnet2") else "timm/test_convnext"},
            {"model_args": {"global_pool": "max"}},
            {"model_args": {"pretrained_cfg_overlay": {"crop_pct": 0.5}}},
            {"model_args": {"pretrained_cfg_overlay": {"mean": [0.1, 0.2, 0.3]}}},
        )
    }
    assert len(prints) == 5


def test_one_bit_of_one_weight_changes_the_digest() -> None:
    state = {"a": torch.zeros(3), "b": torch.arange(4)}
    changed = {"a": torch.tensor([0.0, 0.0, 1e-45]), "b": torch.arange(4)}
    reshaped = {"a": torch.zeros(3, 1), "b": torch.arange(4)}
    renamed = {"c": torch.zeros(3), "b": torch.arange(4)}
    digests = {weights_digest(given) for given in (state, changed, reshaped, renamed)}
    assert len(digests) == 4
    assert weights_digest(dict(reversed(state.items()))) == weights_digest(state)
    assert weights_digest({"a": torch.ones(2, 3).T}) == weights_digest({"a": torch.ones(3, 2)})


def test_the_manifest_is_json_and_says_what_was_used() -> None:
    encoder = build_encoder(params(model_args={"pretrained_cfg_overlay": {"crop_pct": 0.8, "mean": [0.1, 0.2, 0.3]}}))
    assert json.loads(json.dumps(encoder.manifest)) == encoder.manifest
    assert encoder.manifest["encoder"] == "timm/test_resnet"
    assert encoder.manifest["transform"]["crop_pct"] == 0.8
    assert encoder.manifest["transform"]["mean"] == [0.1, 0.2, 0.3]
    assert encoder.manifest["transform"]["input_size"] == [3, 160, 160]
    assert fingerprint(dict(reversed(encoder.manifest.items()))) == encoder.fingerprint


@pytest.mark.parametrize("name", MODELS)
def test_the_transform_and_pooled_features_are_those_of_timm(name: str) -> None:
    """The oracle is timm's own recipe: create_transform, and model(x) of a model without classifier."""
    encoder = build_encoder(params(name=f"timm/{name}", seed=5))
    torch.manual_seed(5)
    model = timm.create_model(name, num_classes=0).eval()
    with torch.inference_mode():
        transform: Any = create_transform(**resolve_model_data_config(model), is_training=False)
        image = transform(photograph())
        torch.testing.assert_close(encoder.transform(photograph()), image)
        torch.testing.assert_close(encoder.embed(image[None]), model(image[None]))
        assert encoder.embed(image[None]).dtype == torch.float32


@pytest.mark.parametrize("name", MODELS)
def test_the_encoder_is_frozen_and_in_evaluation_mode(name: str) -> None:
    encoder = build_encoder(params(name=f"timm/{name}"))
    assert not any(module.training for module in list(encoder.maps.modules())[1:])
    assert not any(weight.requires_grad for weight in encoder.maps.parameters())
    images = torch.rand(2, 3, *encoder.manifest["transform"]["input_size"][1:])
    with torch.inference_mode():
        assert torch.equal(encoder.embed(images), encoder.embed(images))


@pytest.mark.parametrize("name", MODELS)
def test_the_layer_for_grad_cam_is_laid_out_as_a_grid(name: str) -> None:
    encoder = build_encoder(params(name=f"timm/{name}"))
    seen = []
    hook = encoder.cam_layer.register_forward_hook(lambda module, given, output: seen.append(output))
    with torch.inference_mode():
        encoder.embed(torch.rand(2, 3, *encoder.manifest["transform"]["input_size"][1:]))
    hook.remove()
    grid = encoder.to_grid(seen[0])
    assert grid.ndim == 4 and grid.shape[0] == 2 and grid.shape[2] == grid.shape[3] > 1


def test_tokens_are_laid_out_row_by_row() -> None:
    """A vision transformer without its blocks: a bright patch is at its own place of the grid."""
    encoder = build_encoder(params(name="timm/test_vit"))
    rows, columns = 10, 10
    tokens = torch.zeros(1, 1 + rows * columns, 4)
    tokens[0, 0] = 9.0  # the class token, to be left out
    tokens[0, 1 + 3 * columns + 7] = 1.0
    grid = encoder.to_grid(tokens)
    assert grid.shape == (1, 4, rows, columns)
    assert grid[0, 0].nonzero().tolist() == [[3, 7]]


@pytest.mark.parametrize("size", [(600, 450), (450, 600), (500, 500)])
@pytest.mark.parametrize(("mode", "share"), [("center", 0.8), ("center", 1.0), ("squash", 0.8), ("squash", 1.0)])
def test_the_covered_box_is_what_the_transform_keeps(size: tuple[int, int], mode: str, share: float) -> None:
    """White inside the box and black outside: no black is seen; a little smaller, black is on every side."""
    overlay = {"crop_mode": mode, "crop_pct": share, "mean": [0.0] * 3, "std": [1.0] * 3}
    encoder = build_encoder(params(model_args={"pretrained_cfg_overlay": overlay}))
    left, top, right, bottom = encoder.covered(*size)
    assert 0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]

    def seen(margin: int) -> torch.Tensor:
        image = Image.new("RGB", size)
        box = (round(left) + margin, round(top) + margin, round(right) - margin, round(bottom) - margin)
        image.paste((255, 255, 255), box)
        return encoder.transform(image)[0]

    assert seen(-3).min() > 0.9
    inner = seen(12)
    assert inner[80, 80] > 0.99
    for edge in (inner[0], inner[-1], inner[:, 0], inner[:, -1]):
        assert edge.max() < 0.1


def test_the_covered_box_reaches_over_the_edge_where_the_transform_pads() -> None:
    """600 by 450 in a square of 600: of 160 rows, 20 above and 20 below are padding."""
    overlay = {"crop_mode": "border", "crop_pct": 1.0, "mean": [0.0] * 3, "std": [1.0] * 3}
    encoder = build_encoder(params(model_args={"pretrained_cfg_overlay": overlay}))
    assert encoder.covered(600, 450) == (0, -75, 600, 525)
    seen = encoder.transform(Image.new("RGB", (600, 450), "white"))[0]
    assert seen[22:138].min() > 0.9 and seen[:18].max() < 0.9 and seen[142:].max() < 0.9


def weights_file(folder: Path, change: Any = None) -> tuple[str, str]:
    """A weights file of test_resnet, with its classifier of 1000 classes as publishers ship it; path and digest."""
    torch.manual_seed(11)
    state = dict(timm.create_model("test_resnet").state_dict())
    if change:
        change(state)
    path = folder / "weights.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return str(path), sha256(path.read_bytes()).hexdigest()


def test_weights_from_a_file_without_its_classifier(tmp_path: Path) -> None:
    path, digest = weights_file(tmp_path)
    encoder = build_encoder(params(weights=path, weights_sha256=digest))
    torch.manual_seed(11)
    model: Any = timm.create_model("test_resnet").eval()
    model.reset_classifier(0)
    image = torch.rand(1, 3, 160, 160)
    with torch.inference_mode():
        torch.testing.assert_close(encoder.embed(image), model(image))
    assert not any(name.startswith("fc.") for name in encoder.weights)
    # where the file lies is no part of what it is
    (tmp_path / "elsewhere").mkdir()
    moved, _ = weights_file(tmp_path / "elsewhere")
    assert build_encoder(params(weights=moved, weights_sha256=digest)).fingerprint == encoder.fingerprint


def test_weights_without_a_digest_or_with_a_wrong_one(tmp_path: Path) -> None:
    path, digest = weights_file(tmp_path)
    assert digest in refusal(weights=path)
    assert "weights_sha256 is empty" in refusal(weights=path)
    wrong = refusal(weights=path, weights_sha256="0" * 64)
    assert digest in wrong and "0" * 64 in wrong


def _shorter(state: dict[str, torch.Tensor]) -> None:
    state["conv1.0.weight"] = state["conv1.0.weight"][:-1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda state: state.pop("bn1.weight"), "bn1.weight is missing"),
        (lambda state: state.update({"extra.weight": torch.zeros(1)}), "extra.weight is unknown"),
        (_shorter, "conv1.0.weight is ("),
        (lambda state: [state.pop(name) for name in list(state)[:20]], "and 17 more"),
    ],
)
def test_weights_that_do_not_fit_are_told(tmp_path: Path, change: Any, told: str) -> None:
    path, digest = weights_file(tmp_path, change)
    assert told in refusal(weights=path, weights_sha256=digest)


def test_weights_that_are_no_safetensors_file(tmp_path: Path) -> None:
    assert "run code" in refusal(weights="model.pt", weights_sha256="0" * 64)
    assert "run code" in refusal(weights="pretraned")
    assert "no file" in refusal(weights=str(tmp_path / "gone.safetensors"), weights_sha256="0" * 64)
    (tmp_path / "text.safetensors").write_text("not tensors")
    digest = sha256(b"not tensors").hexdigest()
    assert "not a safetensors" in refusal(weights=str(tmp_path / "text.safetensors"), weights_sha256=digest)


def test_an_encoder_that_needs_weights_must_be_given_some_and_the_other_way_round() -> None:
    assert "encoder.weights is 'none'" in refusal(weights="none")
    assert "has no weights" in refusal(name="colour-texture", weights="random")
    assert "takes none" in refusal(name="colour-texture", weights="none", model_args={"a": 1})


@pytest.mark.parametrize(
    "changes",
    [
        {"model_args": {"no_such_argument": 1}},
        {"model_args": {"global_pool": "no_such_pool"}},
        {"model_args": {"num_classes": 3}},
        pytest.param({"name": "timm/test_resnet.no_such_tag"}),
        pytest.param({"model_args": {"act_layer": "no_such_layer"}}),
        pytest.param({"name": "timm/test_vit", "model_args": {"patch_size": 0}}),
    ],
)
def test_arguments_that_timm_does_not_take_are_told(changes: dict[str, Any]) -> None:
    assert "timm/" in refusal(**changes)


@pytest.mark.parametrize("arguments", [{"in_chans": 1}, {"features_only": True}])
def test_arguments_that_make_no_encoder_of_rgb_images_are_told(arguments: dict[str, Any]) -> None:
    assert "model_args" in refusal(model_args=arguments)


def test_pretrained_weights_without_a_network_end_in_one_line(tmp_path: Path) -> None:
    """In a process of its own: huggingface_hub reads its environment when it is imported."""
    code = (
        "from derm.errors import UserError\n"
        "from derm.encoders.timm_encoder import build_from_params\n"
        "try: build_from_params('test_resnet', 'pretrained', '', {}, 0)\n"
        "except UserError as error: print(error)\n"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "pretrained weights of timm/test_resnet cannot be had" in done.stdout
    assert "encoder.weights=<file>.safetensors" in done.stdout


def test_an_encoder_is_built_anew_from_its_manifest_and_weights() -> None:
    encoder = build_encoder(params(seed=4))
    again = build_as_described(json.loads(json.dumps(encoder.manifest)), encoder.weights)
    assert again.fingerprint == encoder.fingerprint
    image = torch.rand(1, 3, 160, 160)
    with torch.inference_mode():
        assert torch.equal(again.embed(image), encoder.embed(image))


def test_an_encoder_that_is_not_the_described_one_is_refused() -> None:
    encoder = build_encoder(params(seed=4))
    other: Encoder = build_encoder(params(seed=5))
    with pytest.raises(UserError, match="weights_digest differ"):
        build_as_described(encoder.manifest, other.weights)
    manifest = encoder.manifest | {"transform": encoder.manifest["transform"] | {"crop_pct": 0.5}}
    with pytest.raises(UserError, match="transform differ"):
        build_as_described(manifest, encoder.weights)
    texture = build_encoder(params(name="colour-texture", weights="none"))
    with pytest.raises(UserError, match="version differ"):
        build_as_described(texture.manifest | {"version": -1}, None)
    with pytest.raises(UserError, match="is not the one that made data/features"):
        build_for_features(params(seed=5), {"encoder": encoder.manifest})
    assert build_for_features(params(seed=4), {"encoder": encoder.manifest}).fingerprint == encoder.fingerprint
