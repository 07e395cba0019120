"""Each family of vision models against transformers itself, from a folder with the network cut off, and from a hub."""

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from derm.encoders.encoder import Encoder, weights_digest
from derm.encoders.quiet import quiet_transformers
from derm.encoders.transformers_encoder import build, rebuild
from derm.errors import UserError
from derm.folder_digest import folder_digest
from tests.derm.encoders.fake_hub import COMMIT, fake_hub, point_to
from tests.derm.encoders.params import params
from tests.derm.encoders.tiny import FAMILIES, SIDE, write_gemma3, write_gemma3_old, write_siglip, write_vit

POOLINGS = {
    "gemma3": ["mean"],
    "gemma3-old": ["mean"],
    "siglip": ["map", "mean"],
    "siglip-vision": ["map", "mean"],
    "dinov2": ["cls", "mean"],
    "dinov2-registers": ["cls", "mean"],
    "dinov3": ["cls", "mean"],
    "vit": ["cls", "mean"],
    "clip": ["cls", "mean"],
    "convnext": ["mean"],
    "resnet": ["mean"],
}
BEFORE_PATCHES = {"dinov2": 1, "dinov2-registers": 5, "dinov3": 5, "vit": 1, "clip": 1}
EVERY = [(family, pooling) for family, poolings in POOLINGS.items() for pooling in poolings]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {family: write(tmp_path_factory.mktemp(family)) for family, write in FAMILIES.items()}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Nothing but the tests with a hub of their own may open a connection."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a connection was opened")

    if "cache" not in request.fixturenames:
        monkeypatch.setattr(socket.socket, "connect", refuse)


def read(folder: Path, **changes: Any) -> Encoder:
    return build(params(**{"name": "hf/owner/model", "weights": str(folder), **changes}), compare_digest=False)


def photograph(width: int = 60, height: int = 45) -> Image.Image:
    return Image.fromarray(np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8))


def own_model(family: str, folder: Path) -> Any:
    """The model as its own class loads it."""
    import transformers

    kinds = {
        "siglip": "SiglipModel",
        "siglip-vision": "SiglipVisionModel",
        "dinov2": "Dinov2Model",
        "dinov2-registers": "Dinov2WithRegistersModel",
        "dinov3": "DINOv3ViTModel",
        "vit": "ViTForImageClassification",
        "clip": "CLIPModel",
        "convnext": "ConvNextModel",
        "resnet": "ResNetModel",
    }
    with quiet_transformers():
        model: Any = getattr(transformers, kinds[family]).from_pretrained(folder).eval()
    return getattr(model, {"siglip": "vision_model", "clip": "vision_model", "vit": "vit"}.get(family, ""), model)


@pytest.mark.parametrize("family", [family for family in FAMILIES if not family.startswith("gemma3")])
def test_features_are_those_of_the_models_own_class(family: str, folders: dict[str, Path]):
    encoder, model = read(folders[family]), own_model(family, folders[family])
    images = torch.stack([encoder.transform(photograph()), encoder.transform(photograph(45, 60))])
    with torch.no_grad():
        answer = model(images)
        last, before = answer.last_hidden_state, BEFORE_PATCHES.get(family, 0)
        if family in ("siglip", "siglip-vision"):
            expected = answer.pooler_output / answer.pooler_output.norm(dim=1, keepdim=True)
        elif family in ("convnext", "resnet"):
            expected = last.mean((2, 3))
        else:
            expected = answer.pooler_output if family == "clip" else last[:, 0]
        pooled, grid = encoder.embed_with_grid(images)
        torch.testing.assert_close(pooled, expected, atol=1e-5, rtol=1e-5)
        if family == "clip":
            last = model.post_layernorm(last)
        if last.ndim == 3:
            rows = [last[:, before + 4 * row : before + 4 * row + 4].transpose(1, 2) for row in range(4)]
            last, mean = torch.stack(rows, 2), last[:, before:].mean(1)
        else:
            mean = last.mean((2, 3))
        torch.testing.assert_close(grid, last, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(read(folders[family], pooling="mean").embed(images), mean, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("family", "pooling"), EVERY)
def test_what_grad_cam_needs(family: str, pooling: str, folders: dict[str, Path]):
    encoder = read(folders[family], pooling=pooling)
    seen: dict[str, torch.Tensor] = {}

    def keep(module: Any, given: Any, answer: torch.Tensor) -> None:
        answer.retain_grad()
        seen["output"] = answer

    handle = encoder.cam_layer.register_forward_hook(keep)
    images = encoder.transform(photograph())[None].requires_grad_(True)
    weights = torch.randn(32, generator=torch.Generator().manual_seed(2))
    (encoder.pooling(encoder.maps(images)) @ weights).sum().backward()
    handle.remove()
    gradient = seen["output"].grad
    assert images.grad is not None and images.grad.isfinite().all() and images.grad.abs().max() > 0
    assert gradient is not None and gradient.isfinite().all()
    # Every patch acts on the answer, and is where its pixels are.
    side = 2 if family in ("convnext", "resnet") else 4
    acts = encoder.to_grid(gradient)
    assert acts.shape[2:] == (side, side) and acts.dtype == torch.float32
    assert (acts.abs().amax(1) > 0).all()
    assert all(not parameter.requires_grad for parameter in encoder.maps.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_grid_has_patches_where_they_are_in_the_image(family: str, folders: dict[str, Path]):
    """At its very input the model says of each patch only what stands there: rows before columns."""
    encoder = read(folders[family])
    if family in ("convnext", "resnet"):
        return
    patches: list[torch.Tensor] = []

    def keep(module: Any, given: Any, answer: torch.Tensor) -> None:
        patches.append(answer)

    projection = next(module for module in encoder.maps.modules() if isinstance(module, torch.nn.Conv2d))
    handle = projection.register_forward_hook(keep)
    image = torch.zeros(1, 3, SIDE, SIDE)
    image[:, :, 14:28, 42:56] = 3.0
    encoder.embed(image)
    handle.remove()
    tokens = patches[0].flatten(2).transpose(1, 2)
    before = torch.zeros(1, BEFORE_PATCHES.get(family, 0), tokens.shape[2])
    grid = encoder.to_grid(torch.cat([before, tokens], 1))
    differs = (grid - grid[:, :, :1, :1]).abs().sum(1)[0] > 1e-3
    assert differs.nonzero().tolist() == [[1, 3]]


@pytest.mark.parametrize("family", FAMILIES)
def test_built_again_from_manifest_and_weights_alone(family: str, folders: dict[str, Path]):
    for changes in ({}, {"image_size": 70 if family not in ("convnext", "resnet") else 96, "resize": "pad"}):
        encoder = read(folders[family], **changes)
        # As safetensors stores them: each by itself, its numbers in a row.
        assert all(tensor.is_contiguous() for tensor in encoder.weights.values())
        places = [tensor.data_ptr() for tensor in encoder.weights.values()]
        assert len(set(places)) == len(places)
        again = rebuild(encoder.manifest, {name: tensor.clone() for name, tensor in encoder.weights.items()}, "")
        assert again.manifest == encoder.manifest and again.fingerprint == encoder.fingerprint
        assert encoder.manifest["weights_digest"] == weights_digest(encoder.weights)
        images = encoder.transform(photograph())[None]
        with torch.no_grad():
            assert torch.equal(again.embed(images), encoder.embed(images))
            assert encoder.embed_with_grid(images)[1].isfinite().all()


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_is_close_and_has_the_same_weights(family: str, folders: dict[str, Path]):
    exact, short = read(folders[family]), read(folders[family], precision="bfloat16")
    images = exact.transform(photograph())[None]
    with torch.no_grad():
        pooled, grid = short.embed_with_grid(images)
        torch.testing.assert_close(pooled, exact.embed(images), atol=0.05, rtol=0.05)
    assert short.dtype == torch.bfloat16 and pooled.dtype == grid.dtype == torch.float32
    assert short.maps(images.to(short.dtype)).dtype == torch.bfloat16
    assert short.manifest["weights_digest"] == exact.manifest["weights_digest"]
    assert {tensor.dtype for tensor in short.weights.values()} <= {torch.float32, torch.int64}
    assert short.fingerprint != exact.fingerprint


def test_rotary_tables_stay_exact_in_bfloat16(folders: dict[str, Path]):
    tables = [dict(read(folders["dinov3"], precision=kind).maps.named_buffers()) for kind in ("float32", "bfloat16")]
    assert tables[0].keys() == tables[1].keys() and len(tables[0]) == 1
    for name, table in tables[0].items():
        assert tables[1][name].dtype == torch.float32 and torch.equal(tables[1][name], table)


@pytest.mark.parametrize("family", FAMILIES)
def test_another_image_size(family: str, folders: dict[str, Path]):
    wanted = 96 if family in ("convnext", "resnet") else 84
    encoder = read(folders[family], image_size=wanted)
    images = encoder.transform(photograph())[None]
    side = {"convnext": 3, "resnet": 3}.get(family, 6)
    assert images.shape == (1, 3, wanted, wanted)
    assert encoder.embed_with_grid(images)[1].shape == (1, 32, side, side)
    if family not in ("convnext", "resnet"):
        with pytest.raises(
            UserError, match=r"encoder\.image_size is 90, but .* patches of 14 pixels: .* multiple, as 84"
        ):
            read(folders[family], image_size=90)


@pytest.mark.parametrize("family", FAMILIES)
def test_pooling_that_a_model_has_not_got(family: str, folders: dict[str, Path]):
    has = POOLINGS[family]
    assert read(folders[family]).manifest["pooling"] == has[0]
    for pooling in {"map", "cls", "mean"} - set(has):
        with pytest.raises(UserError, match=f"encoder.pooling is '{pooling}', but .* has {' and '.join(has)};"):
            read(folders[family], pooling=pooling)


def test_map_pooling_has_length_one(folders: dict[str, Path]):
    encoder = read(folders["siglip"], name="medsiglip-448")
    pooled = encoder.embed(encoder.transform(photograph())[None])
    torch.testing.assert_close(pooled.norm(dim=1), torch.ones(1))
    assert encoder.manifest["pooling"] == "map" and encoder.manifest["l2_normalised"] is True


def test_manifest_names_no_place_and_no_version(folders: dict[str, Path]):
    encoder = read(folders["vit"])
    text = str(encoder.manifest)
    assert str(folders["vit"]) not in text and "transformers_version" not in text and "LABEL_" not in text
    keys = {
        "encoder",
        "weights",
        "weights_digest",
        "config",
        "transform",
        "pooling",
        "l2_normalised",
        "precision",
        "code",
    }
    assert set(encoder.manifest) == keys
    assert encoder.manifest["weights"] == "trained" and encoder.manifest["config"]["model_type"] == "vit"


def test_random_weights_follow_the_seed_alone(monkeypatch: pytest.MonkeyPatch, folders: dict[str, Path]):
    from derm.encoders import transformers_encoder

    small = {**transformers_encoder.ARCHITECTURES["medsiglip-448"], "num_hidden_layers": 1, "hidden_size": 32}
    small |= {"intermediate_size": 64, "num_attention_heads": 2}
    monkeypatch.setitem(transformers_encoder.ARCHITECTURES, "medsiglip-448", small)
    asked = {"name": "medsiglip-448", "weights": "random"}
    first = build(params(**asked), compare_digest=True)
    torch.randn(3)
    before = torch.random.get_rng_state()
    second, other = build(params(**asked), True), build(params(**asked, seed=1), True)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first.manifest == second.manifest and first.fingerprint != other.fingerprint
    assert first.manifest["weights"] == "random"
    assert first.transform(photograph()).shape == (3, 448, 448)
    assert rebuild(first.manifest, first.weights, "").manifest == first.manifest
    with pytest.raises(UserError, match="cannot be built again"):
        rebuild(first.manifest, None, "")


def test_built_in_architectures_are_so400m():
    from derm.encoders.transformers_encoder import ARCHITECTURES
    from derm.encoders.transformers_tower import config_of, output_shape

    shapes = {"medgemma-4b": (1, 4096, 1152), "medsiglip-448": (1, 1024, 1152)}
    for name, described in ARCHITECTURES.items():
        config = config_of(described)
        assert output_shape(config, (config.image_size,) * 2, {}, name) == shapes[name]


def test_a_single_file_of_a_named_model(monkeypatch: pytest.MonkeyPatch, folders: dict[str, Path]):
    from derm.encoders import transformers_encoder

    described = read(folders["siglip"]).manifest["config"]
    monkeypatch.setitem(transformers_encoder.ARCHITECTURES, "medsiglip-448", described)
    file = folders["siglip"] / "model.safetensors"
    encoder = read(file, name="medsiglip-448")
    assert encoder.manifest == read(folders["siglip"], name="medsiglip-448").manifest
    with pytest.raises(UserError, match="but hf/owner/model needs the folder"):
        read(file)


def test_the_folders_digest_is_compared(folders: dict[str, Path]):
    asked = {"name": "hf/owner/model", "weights": str(folders["vit"])}
    digest = folder_digest(folders["vit"])
    with pytest.raises(UserError, match=f"weights_sha256 is empty.*{digest}"):
        build(params(**asked), compare_digest=True)
    with pytest.raises(UserError, match=f"has digest {digest}"):
        build(params(**asked, weights_sha256=64 * "0"), compare_digest=True)
    build(params(**asked, weights_sha256=digest), compare_digest=True)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model_args": {"drop_rate": 0.1}}, "it is for timm"),
        ({"weights": "none"}, "needs some"),
        ({"weights": "random", "name": "medgemma-4b", "revision": 40 * "a"}, "encoder.revision: random weights"),
        ({"weights": "/no/such/folder"}, "encoder.weights"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], expected: str, folders: dict[str, Path]):
    with pytest.raises(UserError) as caught:
        read(folders["vit"], **changes)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_folders_that_lack_something(tmp_path: Path):
    folder = write_vit(tmp_path)
    (folder / "preprocessor_config.json").rename(folder / "kept.json")
    with pytest.raises(UserError, match=r"has no preprocessor_config\.json or processor_config\.json"):
        read(folder)
    (folder / "kept.json").rename(folder / "preprocessor_config.json")
    config = (folder / "config.json").read_text()
    for content, expected in (
        ("{", "without foreign code"),
        ('{"model_type": "no-such-model"}', "without foreign code"),
        ('{"model_type": "bert"}', "'bert', which transformers does not load as a vision model"),
        ('{"model_type": "siglip2_vision_model"}', "needs more than an image: pixel_attention_mask, spatial_shapes"),
    ):
        (folder / "config.json").write_text(content)
        with pytest.raises(UserError) as caught:
            read(folder)
        assert expected in str(caught.value) and "\n" not in str(caught.value)
    (folder / "config.json").write_text(config)
    read(folder)
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match=r"has no config\.json"):
        read(folder)


def test_code_in_a_repository_is_never_run(tmp_path: Path):
    folder = write_vit(tmp_path)
    (folder / "evil.py").write_text("raise SystemExit('run')")
    (folder / "config.json").write_text('{"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config"}}')
    with pytest.raises(UserError, match="without foreign code"):
        read(folder)


def test_built_in_preprocessing_where_a_named_model_comes_without(tmp_path: Path):
    folder = write_siglip(tmp_path)
    theirs = read(folder, name="medsiglip-448").manifest["transform"]
    (folder / "preprocessor_config.json").unlink()
    assert read(folder, name="medsiglip-448").manifest["transform"] == theirs


def test_nothing_is_printed(folders: dict[str, Path], capfd: pytest.CaptureFixture[str]):
    for family in ("gemma3", "vit", "clip"):
        read(folders[family])
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.mark.parametrize("write", [write_gemma3, write_gemma3_old])
def test_only_what_the_vision_tower_needs_is_fetched(
    write: Any, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = write(tmp_path / "files")
    asked = params(name="medgemma-4b", weights="pretrained")
    with fake_hub() as hub:
        hub.folders["google/medgemma-4b-it"] = folder
        point_to(monkeypatch, hub.address, cache)
        encoder = build(asked, compare_digest=True)
        assert hub.files("google/medgemma-4b-it") == [
            "config.json",
            "model-00001-of-00003.safetensors",
            "model-00002-of-00003.safetensors",
            "model.safetensors.index.json",
            "preprocessor_config.json",
        ]
        # The newest commit is asked for once: all else is of the commit that this was.
        assert {line.rsplit("/", maxsplit=1)[-1] for line in hub.requests if "/main/" in line} == {"config.json"}
        fetched = len(hub.requests)
        pinned = build(params(name="medgemma-4b", weights="pretrained", revision=COMMIT), compare_digest=True)
        assert pinned.manifest == encoder.manifest and len(hub.requests) == fetched
    # The hub is gone.
    point_to(monkeypatch, hub.address, cache, offline=True)
    assert build(asked, compare_digest=True).manifest == encoder.manifest
    assert rebuild(encoder.manifest, None, COMMIT).manifest == encoder.manifest
    assert encoder.manifest == read(folder, name="medgemma-4b").manifest


def test_any_repository_with_trained_and_with_random_weights(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = write_vit(tmp_path / "files")
    with fake_hub() as hub:
        hub.folders["owner/vit"] = folder
        point_to(monkeypatch, hub.address, cache)
        random = build(params(name="hf/owner/vit", weights="random"), compare_digest=True)
        assert hub.files("owner/vit") == ["config.json", "preprocessor_config.json"]
        trained = build(params(name="hf/owner/vit", weights="pretrained"), compare_digest=True)
        assert trained.manifest == read(folder, name="hf/owner/vit").manifest
        assert trained.manifest["weights_digest"] != random.manifest["weights_digest"]
        hub.refused["google/medsiglip-448"] = (401, "GatedRepo")
        with pytest.raises(UserError, match="google/medsiglip-448 has terms to accept: open https://"):
            build(params(name="medsiglip-448", weights="pretrained"), compare_digest=True)


def test_a_model_that_hides_patches_at_random_is_refused(tmp_path: Path) -> None:
    """ViT-MAE does so in evaluation mode too: the same image would never give the same numbers."""
    from transformers import ViTMAEConfig, ViTMAEModel

    shape: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    with quiet_transformers():
        ViTMAEModel(ViTMAEConfig(**shape, image_size=SIDE, patch_size=14)).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="hides patches at random"):
        read(tmp_path)
