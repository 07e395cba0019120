"""The perceptron against a forward pass in numpy, and the shapes of the seed systems counted by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from derm.heads.mlp import Perceptron, linear, mlp
from tests.derm.heads.data import head_params, random_head, shape


def drawn(perceptron: Perceptron, seed: int = 0) -> Perceptron:
    """Float64, in evaluation mode, with every number drawn, those of batch norm included."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in perceptron.double().state_dict().items():
        if tensor.is_floating_point():
            numbers = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            tensor.copy_(0.5 + numbers.abs() if name.endswith("running_var") else numbers)
    return perceptron.eval()


def by_hand(perceptron: Perceptron, rows: np.ndarray) -> np.ndarray:
    """Linear, batch norm (Ioffe and Szegedy 2015), ReLU; dropout does nothing."""
    layers = [layer for layer in perceptron.layers if isinstance(layer, nn.Linear | nn.BatchNorm1d)]
    for position, layer in enumerate(layers):
        numbers = {name: tensor.numpy() for name, tensor in layer.state_dict().items()}
        if isinstance(layer, nn.Linear):
            rows = np.einsum("ni,oi->no", rows, numbers["weight"]) + numbers["bias"]
        else:
            rows = (rows - numbers["running_mean"]) / np.sqrt(numbers["running_var"] + 1e-5)
            rows = rows * numbers["weight"] + numbers["bias"]
        if position + 1 == len(layers) or isinstance(layers[position + 1], nn.Linear):
            rows = np.maximum(rows, 0)
    return rows


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("hidden", [[5], [6, 4], [3, 7, 2]])
def test_forward_is_that_of_numpy(hidden: list[int], batch_norm: bool) -> None:
    perceptron = drawn(mlp(head_params(hidden=hidden, batch_norm=batch_norm, dropout=0.4, input_dropout=0.2), 9))
    kinds = [type(layer).__name__ for layer in perceptron.layers]
    block = ["Linear", *(["BatchNorm1d"] if batch_norm else []), "ReLU", "HeldDropout"]
    assert kinds == ["HeldDropout", *block * len(hidden)]
    rows = np.random.default_rng(1).normal(size=(11, 9))
    actual = perceptron(torch.from_numpy(rows)).detach()
    assert actual.shape == (11, perceptron.width) == (11, hidden[-1])
    np.testing.assert_allclose(actual, by_hand(perceptron, rows), rtol=1e-12, atol=1e-12)
    assert (actual > 0).any()


def test_dropout_stands_before_the_first_layer_and_after_each_hidden_one() -> None:
    layers = mlp(head_params(hidden=[6, 4], dropout=0.4, input_dropout=0.2), 9).layers
    shares = [(layer.share, layer.width) for layer in layers if type(layer).__name__ == "HeldDropout"]
    assert shares == [(0.2, 9), (0.4, 6), (0.4, 4)]


def test_without_a_hidden_layer_it_is_the_input() -> None:
    rows = torch.randn(4, 9)
    for perceptron in (linear(head_params(hidden=[3], input_dropout=0.5), 9), mlp(head_params(hidden=[]), 9)):
        assert perceptron.width == 9 and not list(perceptron.parameters())
        torch.testing.assert_close(perceptron.train()(rows), rows)


def trained_numbers(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_shapes_of_the_seeds_have_the_parameters_counted_by_hand() -> None:
    """Over 1280 features and to 7 classes: weights and biases, and two numbers for each unit of a batch norm."""
    first = random_head(shape(1280, 7, type="mlp", hidden=[512, 256], batch_norm=True, dropout=0.3, input_dropout=0.2))
    assert trained_numbers(first) == 1280 * 512 + 512 + 2 * 512 + 512 * 256 + 256 + 2 * 256 + 256 * 7 + 7 == 790_535
    third = random_head(shape(1280, 7, type="mlp", hidden=[256, 128]))
    assert trained_numbers(third) == 1280 * 256 + 256 + 256 * 128 + 128 + 128 * 7 + 7 == 361_735
    assert trained_numbers(random_head(shape(1280, 7))) == 1280 * 7 + 7
