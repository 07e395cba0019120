"""Methods against pytorch-grad-cam used in its own way, attention against what it pools, layers by name."""

from typing import Any

import numpy as np
import pytest
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from derm.encoders.attention import pool_attention
from derm.encoders.layers import layer, layers
from derm.encoders.registry import build_encoder
from derm.errors import UserError
from derm.explanation.maps import explain
from derm.explanation.methods import first_component, weigh
from derm.explanation.model import EncodersWithHead, Explained, prepared
from derm.explanation.words import NAMES
from tests.derm.encoders.params import params
from tests.derm.encoders.tiny import write_siglip
from tests.derm.explanation.test_maps import CPU, coloured, encoder_of, explained_of, pooled
from tests.derm.heads.data import random_head, shape

LIBRARY = {
    "gradcam": pytorch_grad_cam.GradCAM,
    "gradcam++": pytorch_grad_cam.GradCAMPlusPlus,
    "hirescam": pytorch_grad_cam.HiResCAM,
    "layercam": pytorch_grad_cam.LayerCAM,
}


class OneInput(nn.Module):
    """The network as the library wants it: a batch of images in, logits out."""

    def __init__(self, explained: Explained) -> None:
        super().__init__()
        self.network = EncodersWithHead(explained, None)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network([images])


@pytest.mark.parametrize("name", ["timm/test_resnet", "timm/test_vit"])
@pytest.mark.parametrize("method", LIBRARY)
def test_a_map_is_the_librarys(name: str, method: str) -> None:
    """From its own hooks and its own backward pass. Photographs are as large as the grid: nothing is resized."""
    encoder = encoder_of(name, image_size=128, resize="squash")
    with torch.no_grad():
        rows, columns = encoder.to_grid(encoder.maps(torch.zeros(1, 3, 128, 128))).shape[2:]
    images = [image.resize((columns, rows)) for image in coloured(3)]
    head = random_head(shape(pooled(encoder, images).shape[1], 3))
    explained = Explained([encoder], head)
    ours = explain(explained, images, [0, 1, 2], [method], CPU)[method]
    (given,) = prepared([encoder], images, CPU)
    kind: Any = LIBRARY[method]
    with kind(OneInput(explained).eval(), [encoder.cam_layer], reshape_transform=encoder.to_grid) as cam:
        targets: Any = [ClassifierOutputTarget(target) for target in (0, 1, 2)]
        cam(given.requires_grad_(True), targets)
        seen = cam.activations_and_grads
        theirs = cam.get_cam_image(
            given, None, targets, seen.activations[0].numpy(), seen.gradients[0].numpy(), eigen_smooth=False
        ).clip(0)
    assert (theirs.max(axis=(1, 2)) > 0).any()
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other / (other.max() or 1), atol=1e-4)


def test_eigencam_is_the_librarys_but_for_the_sign() -> None:
    for size in ((2, 6, 5, 4), (2, 40, 5, 4)):
        activations = np.random.default_rng(0).normal(size=size).astype(np.float32)
        cam: Any = pytorch_grad_cam.EigenCAM(nn.Linear(1, 1), [])
        theirs = cam.get_cam_image(None, None, None, activations, None, False)
        ours = first_component(activations)
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one * np.sign((one * other).sum()), other, atol=1e-4)
            assert one.max() >= -one.min()
    assert (first_component(np.ones((1, 3, 4, 4), dtype=np.float32)) == 0).all()


def test_randomcam_is_drawn_by_seed_and_for_each_image() -> None:
    activations = np.random.default_rng(0).random((2, 7, 3, 3)).astype(np.float32)
    activations[1] = activations[0]
    first = weigh("randomcam", nn.Linear(1, 1), 1)(activations, activations)
    np.testing.assert_array_equal(first, weigh("randomcam", nn.Linear(1, 1), 1)(activations, activations))
    assert not np.allclose(first[0], first[1])
    assert not np.allclose(first, weigh("randomcam", nn.Linear(1, 1), 2)(activations, activations))


@pytest.mark.parametrize("names", [["timm/test_resnet"], ["timm/test_vit"], ["colour-texture", "timm/test_resnet"]])
def test_all_methods_come_from_one_pass_and_are_those_of_each_alone(names: list[str]) -> None:
    explained, images = explained_of("linear", names, 1), coloured(2)
    methods = [method for method in NAMES if method != "attention"]
    passes = []
    handle = explained.encoders[0].maps.register_forward_hook(lambda *_: passes.append(1))
    together = explain(explained, images, [0, 1], methods, CPU, seed=3)
    assert len(passes) == 1 and list(together) == methods
    handle.remove()
    for method in methods:
        alone = explain(explained, images, [0, 1], [method], CPU, seed=3)[method]
        np.testing.assert_allclose(alone, together[method], atol=1e-6)
        for heat in alone:
            assert heat.shape == (64, 96) and heat.min() >= 0 and heat.max() in (0, pytest.approx(1))


def test_nothing_is_left_hooked_also_after_an_error() -> None:
    explained = explained_of("linear", ["timm/test_resnet"], 1)
    for targets in ([0], [99]):
        try:
            explain(explained, coloured(1), targets, ["gradcam"], CPU)
        except IndexError:
            assert targets == [99]
    hooks = [module._forward_hooks for module in explained.encoders[0].maps.modules()]
    assert not any(hooks) and not any(tensor.requires_grad for tensor in explained.encoders[0].maps.parameters())


@pytest.mark.parametrize("name", ["timm/test_resnet", "timm/test_convnext", "timm/test_vit", "colour-texture"])
def test_every_layer_that_is_listed_gives_a_map(name: str) -> None:
    encoder, images = encoder_of(name, **({} if name == "colour-texture" else {"image_size": 128})), coloured(1)
    head = random_head(shape(pooled(encoder, images).shape[1], 3))
    known = layers(encoder)
    assert layer(encoder).name in known
    lit = 0
    for one in known:
        explained = Explained([encoder], head).at([one])
        (heat,) = explain(explained, images, [0], ["layercam"], CPU)["layercam"]
        assert heat.shape == (64, 96)
        lit += heat.max() > 0
    assert lit > len(known) / 2  # of a class token the last patches have no part in the answer


def test_a_wrong_layer_lists_the_right_ones() -> None:
    explained = explained_of("linear", ["timm/test_resnet"], 1)
    with pytest.raises(UserError, match=r"has no layer 'layer9'.*model\.layer3, .*maps; auto takes maps"):
        explained.at(["layer9"])
    with pytest.raises(UserError, match="names 2 layers, and there are 1 encoders"):
        explained.at(["maps", "maps"])


def test_the_attention_of_a_siglip_pool_is_what_it_pools_with(tmp_path) -> None:
    """With one head, values of the tokens themselves and nothing after it, the pool gives the attended mean."""
    encoder = build_encoder(params(name="hf/tiny", weights=str(write_siglip(tmp_path)), image_size=112), False)
    (given,) = prepared([encoder], coloured(2), CPU)
    pool: Any = encoder.pooling
    attention = pool.head.attention
    attention.num_heads, attention.head_dim = 1, attention.embed_dim
    width = attention.embed_dim
    with torch.no_grad():
        attention.in_proj_weight[2 * width :] = torch.eye(width)
        attention.in_proj_bias[2 * width :] = 0
        attention.out_proj.weight.copy_(torch.eye(width))
        attention.out_proj.bias.zero_()
        maps = encoder.maps(given)
        grid = pool_attention(encoder)(maps)
        probe = pool.head.probe.repeat(2, 1, 1)
        expected = attention(probe, maps, maps)[0][:, 0]
    assert grid.shape == (2, 1, 8, 8)
    weights = grid.flatten(1)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(torch.einsum("nk,nkc->nc", weights, maps), expected, atol=1e-5)


def test_the_attention_of_timms_pool_is_what_it_pools_with() -> None:
    """The same, of `vit_*_siglip`, made small."""
    small = {"depth": 1, "embed_dim": 32, "num_heads": 2}
    encoder = encoder_of("timm/vit_base_patch16_siglip_224", model_args=small)
    (given,) = prepared([encoder], coloured(2), CPU)
    model: Any = encoder.pooling.model  # pyright: ignore[reportAttributeAccessIssue]
    pool = model.attn_pool
    pool.num_heads, pool.head_dim, pool.scale, pool.mlp = 1, 32, 32**-0.5, None
    with torch.no_grad():
        pool.kv.weight[32:] = torch.eye(32)
        pool.kv.bias[32:] = 0
        pool.proj.weight.copy_(torch.eye(32))
        pool.proj.bias.zero_()
        pool.latent.normal_()
        maps = encoder.maps(given)
        weights = pool_attention(encoder)(maps).flatten(1)
        np.testing.assert_allclose(torch.einsum("nk,nkc->nc", weights, maps), pool(maps), atol=1e-5)
    assert weights.max() > 1.01 * weights.min()


def test_without_attention_pooling_there_is_no_such_map() -> None:
    with pytest.raises(UserError, match="timm/test_resnet is not pooled by attention: choose another method"):
        explain(explained_of("linear", ["timm/test_resnet"], 1), coloured(1), [0], ["attention"], CPU)
