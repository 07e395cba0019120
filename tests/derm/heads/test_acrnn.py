"""The attention-based convolutional recurrent network against loops in numpy."""

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

from derm.heads.acrnn import Acrnn, acrnn
from tests.derm.heads.data import head_params, random_head, shape

WIDTHS = {"convolution": 6, "lstm": 4, "attention": 3}


def drawn(seed: int = 0, channels: int = 5) -> Acrnn:
    torch.manual_seed(seed)
    network = acrnn(head_params(**WIDTHS, dropout=0.5, input_dropout=0.5), channels).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return network


def by_hand(network: Acrnn, tokens: np.ndarray) -> np.ndarray:
    """One image [patches, channels] -> [attention], step by step."""
    of = {name: parameter.detach().numpy() for name, parameter in network.named_parameters()}
    padded = np.concatenate([np.zeros((1, tokens.shape[1])), tokens, np.zeros((1, tokens.shape[1]))])
    state, cell, projected = np.zeros(4), np.zeros(4), []
    for step in range(len(tokens)):
        convolved = of["convolution.bias"].copy()
        for unit in range(6):
            for place in range(3):
                convolved[unit] += of["convolution.weight"][unit, :, place] @ padded[step + place]
        convolved = np.maximum(convolved, 0)
        gates = of["lstm.weight_ih_l0"] @ convolved + of["lstm.bias_ih_l0"]
        gates += of["lstm.weight_hh_l0"] @ state + of["lstm.bias_hh_l0"]
        enter, forget, candidate, leave = gates.reshape(4, 4)
        cell = expit(forget) * cell + expit(enter) * np.tanh(candidate)
        state = expit(leave) * np.tanh(cell)
        projected.append(np.tanh(of["projection.weight"] @ state + of["projection.bias"]))
    weights = softmax([of["score.weight"][0] @ one for one in projected])
    return (weights[:, None] * np.array(projected)).sum(axis=0)


@pytest.mark.parametrize("patches", [1, 2, 7])
def test_forward_is_that_of_loops_in_numpy(patches: int) -> None:
    network = drawn()
    tokens = np.random.default_rng(patches).normal(size=(4, patches, 5))
    actual = network(torch.from_numpy(tokens)).detach()
    assert actual.shape == (4, network.width) == (4, 3)
    np.testing.assert_allclose(actual, [by_hand(network, image) for image in tokens], rtol=1e-10, atol=1e-12)


def test_dropout_is_on_the_patches_channels_and_on_what_comes_out() -> None:
    network, generator = drawn(), torch.Generator().manual_seed(1)
    for layer in (network.input_dropout, network.dropout):
        layer.hold(generator)
    entering, leaving = network.input_dropout.held, network.dropout.held
    assert entering is not None and leaving is not None and 0 < entering.count_nonzero() < 5
    tokens = np.random.default_rng(0).normal(size=(4, 7, 5))
    expected = [by_hand(network, image * entering.numpy()) * leaving.numpy() for image in tokens]
    np.testing.assert_allclose(network(torch.from_numpy(tokens)).detach(), expected, rtol=1e-6, atol=1e-9)


def test_the_order_of_the_patches_counts() -> None:
    tokens = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 7, 5)))
    network = drawn()
    assert (network(tokens) - network(tokens.flip(1))).abs().max() > 0.01


def test_the_seeds_shape_has_the_parameters_counted_by_hand() -> None:
    """1280 channels -> convolution of 128 -> LSTM of 64 (four gates, two biases each) -> attention of 16 -> 7."""
    head = random_head(shape(1280, 7, type="acrnn"))
    convolution, lstm = 128 * 1280 * 3 + 128, 4 * (64 * 128 + 64 * 64 + 64 + 64)
    attention, output = 16 * 64 + 16 + 16, 7 * 16 + 7
    expected = convolution + lstm + attention + output
    assert sum(parameter.numel() for parameter in head.parameters()) == expected == 542_487
