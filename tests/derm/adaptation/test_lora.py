"""Low-rank adapters: where they go, what moves, how many numbers they are, and what is left when they are merged."""

import pytest
import torch
from torch import nn

from derm.adaptation.lora import target_modules
from derm.adaptation.network import AdaptedNetwork
from derm.encoders.adapted import adapted_manifest
from derm.encoders.registry import build_as_described
from derm.errors import UserError
from tests.derm.adaptation.data import encoder, input_of, params

# Family -> (layers of the tower, width of a token): as tests/derm/encoders/tiny.py and timm have them.
TOWERS = {"timm/test_vit": (6, 64), "siglip": (2, 32), "gemma3": (2, 32)}


def trained(family: str, **changes: object) -> tuple[AdaptedNetwork, torch.Tensor]:
    """After a few steps, large enough to show; and images."""
    made = encoder(family)
    network = AdaptedNetwork(made, 3, params(method="lora", **changes))
    images, targets = input_of(made), torch.arange(6) % 3
    optimiser = torch.optim.AdamW(network.parameter_groups(), lr=0.01)
    for _ in range(5):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(images), targets).backward()
        optimiser.step()
    return network.eval(), images


@pytest.mark.parametrize("family", TOWERS)
def test_only_adapters_and_the_classifier_move(family: str) -> None:
    made = encoder(family)
    before = {name: tensor.clone() for name, tensor in made.weights.items()}
    network = AdaptedNetwork(made, 3, params(method="lora"))
    assert all(".lora_A." in name or ".lora_B." in name or name.startswith("classifier.") for name in network.trained)
    first = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network, _ = trained(family)
    for name, tensor in network.state_dict().items():
        if "lora" not in name and not name.startswith("classifier."):
            assert torch.equal(tensor, first[name]), name
    moved = [name for name in network.trained if not torch.equal(network.state_dict()[name], first[name])]
    assert set(moved) == set(network.trained)
    # and the tower under them is, name by name, the one that was loaded
    now = {name.replace(".base_layer", ""): tensor for name, tensor in network.model.state_dict().items()}
    assert all(torch.equal(now[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("family", TOWERS)
@pytest.mark.parametrize("rank", [1, 4])
def test_so_many_parameters_as_computed_by_hand(family: str, rank: int) -> None:
    layers, width = TOWERS[family]
    network = AdaptedNetwork(encoder(family), 3, params(method="lora", lora={"rank": rank}))
    count = sum(p.numel() for name, p in network.named_parameters() if name in network.trained and "lora" in name)
    if family.startswith("timm"):  # qkv: width -> 3 width; proj: width -> width
        assert count == layers * rank * ((width + 3 * width) + (width + width))
    else:  # q, k, v, out: width -> width
        assert count == layers * 4 * rank * (width + width)


@pytest.mark.parametrize("family", [*TOWERS, "dinov2", "dinov3", "clip", "convnext", "timm/test_resnet"])
def test_merged_gives_what_unmerged_gave(family: str) -> None:
    network, images = trained(family)
    with torch.no_grad():
        told = network.pooling(network.maps(images)).float()
        untrained = encoder(family).embed(images)
    assert (told - untrained).abs().max() > 1e-3  # training changed something
    made = encoder(family)
    state = network.merged()
    assert set(state) == set(made.weights)
    again = build_as_described(adapted_manifest(made, state, "float32"), state)
    with torch.no_grad():
        torch.testing.assert_close(again.embed(images), told, atol=1e-5, rtol=1e-5)
    assert again.fingerprint != made.fingerprint


def test_the_heads_own_attention_is_left_alone() -> None:
    """`nn.MultiheadAttention` reads its output layer's weight without calling the layer."""
    model = encoder("siglip").model
    assert model is not None
    assert not [name for name in target_modules(model, params().lora) if name.startswith("head")]


def test_a_name_stands_for_all_layers_that_end_in_it() -> None:
    model = encoder("timm/test_vit").model
    assert model is not None
    chosen = target_modules(model, params(lora={"target_modules": ["mlp.fc1"]}).lora)
    assert chosen == [f"blocks.{number}.mlp.fc1" for number in range(6)]


def test_a_layer_that_does_not_exist_lists_those_that_do() -> None:
    model = encoder("timm/test_vit").model
    assert model is not None
    with pytest.raises(UserError) as caught:
        target_modules(model, params(lora={"target_modules": ["attn.qkv", "attn.query"]}).lora)
    assert str(caught.value) == (
        "adapt.lora.target_modules: no layer is called 'attn.query'; there are patch_embed.proj, attn.qkv, attn.proj, "
        "mlp.fc1, mlp.fc2"
    )
