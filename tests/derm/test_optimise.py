"""Full-batch L-BFGS on problems with a known answer."""

import numpy as np
import pytest
import torch

from derm.optimise import minimise_lbfgs


def test_it_finds_the_bottom_of_a_bowl() -> None:
    """||A x - b||^2 + (c - 3)^2 over two parameters: the least-squares solution of numpy, and 3."""
    generator = np.random.default_rng(1)
    matrix, wanted = generator.normal(size=(8, 4)), generator.normal(size=8)
    x, c = torch.nn.Parameter(torch.zeros(2, 2).double()), torch.nn.Parameter(torch.zeros(1).double())
    a, b = torch.from_numpy(matrix), torch.from_numpy(wanted)
    steps = []
    converged = minimise_lbfgs(
        [x, c],
        lambda: (a @ x.reshape(-1) - b).square().sum() + (c - 3).square().sum(),
        200,
        1e-8,
        lambda: steps.append(1),
    )
    assert converged and 1 < len(steps) <= 200
    np.testing.assert_allclose(x.detach().reshape(-1), np.linalg.lstsq(matrix, wanted)[0], atol=1e-4)
    assert c.item() == pytest.approx(3, abs=1e-4)


def test_it_says_when_it_had_too_few_iterations() -> None:
    """Rosenbrock's valley takes some thirty."""
    x = torch.nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))

    def valley() -> torch.Tensor:
        return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2

    assert not minimise_lbfgs([x], valley, 3, 1e-8, lambda: None)
    assert minimise_lbfgs([x], valley, 300, 1e-8, lambda: None)
    assert torch.allclose(x.detach(), torch.ones(2).double(), atol=1e-2)
