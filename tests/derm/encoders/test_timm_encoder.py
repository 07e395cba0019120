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
from timm.models import save_for_hf

from derm.encoders.adapted import write_adapted
from derm.encoders.encoder import Encoder, fingerprint, weights_digest
from derm.encoders.registry import build_as_described, build_encoder, build_for_features, read_state
from derm.errors import UserError
from derm.folder_digest import folder_digest
from tests.derm.encoders.params import params, section

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
    assert encoder.manifest["transform"]["scaled"] == [200, 200]
    assert encoder.manifest["transform"]["mean"] == [0.1, 0.2, 0.3]
    assert encoder.manifest["transform"]["size"] == [160, 160]
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
        assert torch.equal(encoder.transform(photograph()), image)
        torch.testing.assert_close(encoder.embed(image[None]), model(image[None]))
        assert encoder.embed(image[None]).dtype == torch.float32


@pytest.mark.parametrize("name", MODELS)
def test_the_encoder_is_frozen_and_in_evaluation_mode(name: str) -> None:
    encoder = build_encoder(params(name=f"timm/{name}"))
    assert not any(module.training for module in list(encoder.maps.modules())[1:])
    assert not any(weight.requires_grad for weight in encoder.maps.parameters())
    images = torch.rand(2, 3, *encoder.manifest["transform"]["size"])
    with torch.inference_mode():
        assert torch.equal(encoder.embed(images), encoder.embed(images))


@pytest.mark.parametrize("name", MODELS)
def test_the_layer_for_grad_cam_is_laid_out_as_a_grid(name: str) -> None:
    encoder = build_encoder(params(name=f"timm/{name}"))
    seen = []
    hook = encoder.cam_layer.register_forward_hook(lambda module, given, output: seen.append(output))
    with torch.inference_mode():
        encoder.embed(torch.rand(2, 3, *encoder.manifest["transform"]["size"]))
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
        "from derm.encoders.timm_encoder import build\n"
        "from tests.derm.encoders.params import params\n"
        "try: build(params(weights='pretrained'))\n"
        "except UserError as error: print(error)\n"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "pretrained weights of timm/test_resnet: timm/test_resnet.r160_in1k is not in the hub's cache" in done.stdout
    assert "encoder.weights=<file>.safetensors" in done.stdout


def hub_with(monkeypatch: pytest.MonkeyPatch, change: Any = None, name: str = "test_vit3") -> list[str]:
    """A hub that answers every question for weights with those of seed 7, changed; returns what it was asked for."""
    torch.manual_seed(7)
    state = dict(timm.create_model(name).state_dict())
    if change:
        change(state)
    asked = []

    def answer(repository: Any, *given: Any, **named: Any) -> dict[str, torch.Tensor]:
        asked.append(repository)
        return dict(state)

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", answer)
    return asked


def test_pretrained_weights_are_those_of_the_hub_at_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = hub_with(monkeypatch)
    encoder = build_encoder(params(name="timm/test_vit3", weights="pretrained", revision="a" * 40))
    assert asked == [f"timm/test_vit3.r160_in1k@{'a' * 40}"]
    torch.manual_seed(7)
    expected: Any = timm.create_model("test_vit3").eval()
    expected.reset_classifier(0)
    image = torch.rand(2, 3, 160, 160)
    with torch.inference_mode():
        torch.testing.assert_close(encoder.embed(image), expected(image))
    again = build_as_described(encoder.manifest, None, "b" * 40)
    assert again.fingerprint == encoder.fingerprint and asked[1].endswith("b" * 40)


@pytest.mark.parametrize(
    ("change", "arguments", "told"),
    [
        (lambda state: state.pop("blocks.1.norm1.weight"), {}, "blocks.1.norm1.weight is missing"),
        (lambda state: state.update({"extra.weight": torch.zeros(1)}), {}, "extra.weight is unknown"),
        (None, {"global_pool": "map"}, "attn_pool.latent is missing"),
        (None, {"embed_dim": 32}, "do not fit {'embed_dim': 32}"),
    ],
)
def test_pretrained_weights_that_do_not_fit_are_told(
    monkeypatch: pytest.MonkeyPatch, change: Any, arguments: dict[str, Any], told: str
) -> None:
    """timm itself would leave at random what its file has not got."""
    hub_with(monkeypatch, change, "test_vit")
    assert told in refusal(name="timm/test_vit", weights="pretrained", model_args=arguments)


def test_random_weights_in_a_package_that_only_names_them_are_gone() -> None:
    with pytest.raises(UserError, match="random weights cannot be built again"):
        build_as_described(build_encoder(params()).manifest, None)


def test_a_size_that_patches_do_not_fill_is_told() -> None:
    assert "expected a multiple, as 240" in refusal(name="timm/test_vit", image_size=239)


def test_arguments_of_another_kind_are_told(tmp_path: Path) -> None:
    assert "pretrained_cfg_overlay" in refusal(model_args={"pretrained_cfg_overlay": None})
    assert "encoder.revision" in refusal(revision="a" * 40)
    assert "expected none, pretrained" in refusal(weights="auto")
    path, _ = saved_folder(tmp_path / "saved")
    (tmp_path / "saved/config.json").write_text('{"architecture": "test_resnet", "pretrained_cfg": null}')
    told = refusal(weights=path, weights_sha256=folder_digest(tmp_path / "saved"))
    assert "config.json is not as timm writes it" in told


def test_an_encoder_is_built_anew_from_its_manifest_and_weights() -> None:
    encoder = build_encoder(params(seed=4))
    again = build_as_described(json.loads(json.dumps(encoder.manifest)), encoder.weights)
    assert again.fingerprint == encoder.fingerprint
    image = torch.rand(1, 3, 160, 160)
    with torch.inference_mode():
        assert torch.equal(again.embed(image), encoder.embed(image))


def test_an_encoder_that_is_not_the_described_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_adapted({})
    encoder = build_encoder(params(seed=4))
    other: Encoder = build_encoder(params(seed=5))
    with pytest.raises(UserError, match="weights_digest differ"):
        build_as_described(encoder.manifest, other.weights)
    texture = build_encoder(params(name="colour-texture", weights="none"))
    with pytest.raises(UserError, match="pooling differ"):
        build_as_described(texture.manifest | {"pooling": "mean"}, None)
    with pytest.raises(UserError, match="is not the one that made data/features"):
        build_for_features(section(seed=5), [encoder.manifest])
    (same,) = build_for_features(section(seed=4), [encoder.manifest])
    assert same.fingerprint == encoder.fingerprint


def test_a_package_made_by_older_code_is_used_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    encoder = build_encoder(params())
    build_as_described(encoder.manifest | {"code": "0" * 64}, encoder.weights)
    assert "code of encoder timm/test_resnet has changed" in capsys.readouterr().err


def embedded(encoder: Encoder, image: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return encoder.embed(image)


def test_pooling_is_what_its_name_says() -> None:
    """By hand, on the model's unpooled tokens: one class token, then 100 patches."""
    torch.manual_seed(0)
    model: Any = timm.create_model("test_vit", num_classes=0).eval()
    image = torch.rand(2, 3, 160, 160)
    with torch.inference_mode():
        tokens = model.forward_features(image)
    for pooling, expected in (("cls", tokens[:, 0]), ("mean", tokens[:, 1:].mean(1))):
        encoder = build_encoder(params(name="timm/test_vit", pooling=pooling))
        torch.testing.assert_close(embedded(encoder, image), expected)
        assert encoder.manifest["pooling"] == pooling
    torch.manual_seed(0)
    mapped: Any = timm.create_model("test_vit3", num_classes=0, global_pool="map").eval()
    with torch.inference_mode():
        expected = mapped.attn_pool(mapped.forward_features(image))
    given = params(name="timm/test_vit3", pooling="map", model_args={"global_pool": "map"})
    torch.testing.assert_close(embedded(build_encoder(given), image), expected)
    convolutional = build_encoder(params(pooling="mean"))
    maps = convolutional.maps(image)
    torch.testing.assert_close(embedded(convolutional, image), maps.mean((2, 3)))


def test_a_pooling_that_the_model_has_not_got_is_told() -> None:
    assert "expected one of auto, mean" in refusal(pooling="cls")
    assert "expected one of auto, mean, cls" in refusal(name="timm/test_vit", pooling="map")


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_convnext"])
def test_another_image_size(name: str) -> None:
    """192 px: the oracle is timm's own model built for that size (its positions interpolated from the same weights)."""
    encoder = build_encoder(params(name=f"timm/{name}", seed=2, image_size=192))
    torch.manual_seed(2)
    model: Any = timm.create_model(name, num_classes=0).eval()
    if hasattr(model, "set_input_size"):
        model.set_input_size(img_size=192)
    image = encoder.transform(photograph())
    assert image.shape == (3, 192, 192)
    with torch.inference_mode():
        torch.testing.assert_close(encoder.embed(image[None]), model(image[None]))
        assert encoder.to_grid(encoder.maps(image[None])).shape[2:] == (192 // 16, 192 // 16) or name != "test_vit"
    again = build_as_described(json.loads(json.dumps(encoder.manifest)), encoder.weights)
    assert torch.equal(embedded(again, image[None]), embedded(encoder, image[None]))
    # what is kept are the weights as they came: the same digest at every size
    assert (
        encoder.manifest["weights_digest"]
        == build_encoder(params(name=f"timm/{name}", seed=2)).manifest["weights_digest"]
    )


def test_a_size_that_the_model_does_not_take_is_told() -> None:
    assert "encoder.image_size is 100" in refusal(name="timm/test_vit", image_size=100)


def test_wishes_for_the_input_are_followed_and_recorded() -> None:
    """600x450 with a red left and blue right tenth: only `crop` cuts them off; only `pad` has borders."""
    image = Image.new("RGB", (600, 450), "white")
    image.paste((255, 0, 0), (0, 0, 60, 450))
    seen = {}
    for resize in ("squash", "pad", "crop"):
        encoder = build_encoder(params(resize=resize, interpolation="nearest"))
        seen[resize] = encoder.transform(image)
        assert encoder.manifest["transform"]["resize"] == resize
        assert encoder.manifest["transform"]["interpolation"] == "nearest"
    red = {resize: bool((pixels[1] < 0).any()) for resize, pixels in seen.items()}
    assert red == {"squash": True, "pad": True, "crop": False}
    # mean 0.5: the border's grey is 0 after normalising, all else is 1 or -1
    grey = {resize: float((pixels.abs().amax(0) < 0.1).float().mean()) for resize, pixels in seen.items()}
    assert grey == {"squash": 0, "pad": pytest.approx(0.25), "crop": 0}
    assert len({build_encoder(params(resize=resize)).fingerprint for resize in seen}) == 3


def test_bfloat16_is_near_float32_and_another_encoder() -> None:
    image = torch.rand(2, 3, 160, 160)
    one, half = (
        build_encoder(params(name="timm/test_vit")),
        build_encoder(params(name="timm/test_vit", precision="bfloat16")),
    )
    features = embedded(half, image)
    assert features.dtype == torch.float32 and half.dtype == torch.bfloat16
    torch.testing.assert_close(features, embedded(one, image), rtol=0.1, atol=0.1)
    assert not torch.equal(features, embedded(one, image))
    assert one.fingerprint != half.fingerprint
    assert one.manifest["weights_digest"] == half.manifest["weights_digest"]
    assert all(tensor.dtype == torch.float32 for tensor in half.weights.values())
    again = build_as_described(half.manifest, half.weights)
    assert torch.equal(embedded(again, image), features)


def saved_folder(folder: Path) -> tuple[str, str]:
    """A folder as timm's `save_for_hf` writes it, its own preprocessing in config.json; path and digest."""
    torch.manual_seed(11)
    model = timm.create_model("test_resnet", pretrained_cfg_overlay={"mean": (0.1, 0.2, 0.3), "crop_pct": 0.8})
    save_for_hf(model, str(folder), safe_serialization=True)
    return str(folder), folder_digest(folder)


def test_weights_from_a_folder_with_their_own_preprocessing(tmp_path: Path) -> None:
    path, digest = saved_folder(tmp_path / "saved")
    encoder = build_encoder(params(weights=path, weights_sha256=digest))
    assert encoder.manifest["transform"]["mean"] == [0.1, 0.2, 0.3]
    assert encoder.manifest["transform"]["scaled"] == [200, 200]
    file, file_digest = weights_file(tmp_path)
    assert weights_digest(encoder.weights) == weights_digest(
        build_encoder(params(weights=file, weights_sha256=file_digest)).weights
    )
    assert digest in refusal(weights=path)
    assert "is of 'test_resnet'" in refusal(name="timm/test_vit", weights=path, weights_sha256=digest)
    again = build_as_described(json.loads(json.dumps(encoder.manifest)), encoder.weights)
    assert again.fingerprint == encoder.fingerprint
    state = read_state(encoder.manifest, Path(path))
    assert weights_digest(state) == encoder.manifest["weights_digest"]


def test_revision_is_for_a_hub_alone(tmp_path: Path) -> None:
    path, digest = weights_file(tmp_path)
    assert "encoder.revision" in refusal(weights=path, weights_sha256=digest, revision="a" * 40)
