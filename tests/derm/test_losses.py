"""The focal family against torch's cross-entropy, a hand-computed number and finite differences."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from derm.losses import focal_loss


def example(rows: int = 7, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, targets and class weights."""
    generator = torch.Generator().manual_seed(2)
    logits = 3 * torch.randn(rows, classes, dtype=torch.float64, generator=generator)
    targets = torch.randint(classes, (rows,), generator=generator)
    return logits, targets, torch.rand(classes, dtype=torch.float64, generator=generator) + 0.1


def test_gamma_0_is_weighted_cross_entropy() -> None:
    logits, targets, weights = example()
    torch.testing.assert_close(focal_loss(logits, targets, weights, 0.0, 0.0), cross_entropy(logits, targets, weights))


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_gamma_0_with_smoothing_is_cross_entropy_with_smoothing(smoothing: float) -> None:
    """Without class weights: torch weighs the smoothed share by each class, we weigh the row by its true class."""
    logits, targets, _ = example()
    expected = cross_entropy(logits, targets, label_smoothing=smoothing)
    torch.testing.assert_close(focal_loss(logits, targets, torch.ones(4).double(), 0.0, smoothing), expected)


def test_gamma_2_by_hand() -> None:
    """p = (3/4, 1/4): 1/16 * log(4/3) for the first class, 9/16 * log 4 for the second."""
    logits = torch.tensor([[math.log(3.0), 0.0], [math.log(3.0), 0.0]], dtype=torch.float64)
    easy, hard = math.log(4 / 3) / 16, 9 * math.log(4) / 16
    targets = torch.tensor([0, 1])
    ones, uneven = torch.ones(2, dtype=torch.float64), torch.tensor([1.0, 3.0], dtype=torch.float64)
    assert focal_loss(logits, targets, ones, 2.0, 0.0).item() == pytest.approx((easy + hard) / 2, rel=1e-12)
    assert focal_loss(logits, targets, uneven, 2.0, 0.0).item() == pytest.approx((easy + 3 * hard) / 4, rel=1e-12)
    # smoothing 0.2 of two classes: 0.9 of the true one and 0.1 of the other
    expected = (0.9 * easy + 0.1 * hard + 0.9 * hard + 0.1 * easy) / 2
    assert focal_loss(logits, targets, ones, 2.0, 0.2).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradients_are_those_of_finite_differences(gamma: float, smoothing: float) -> None:
    logits, targets, weights = example()
    assert torch.autograd.gradcheck(
        lambda given: focal_loss(given, targets, weights, gamma, smoothing), (logits.requires_grad_(),)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_sure_rows_have_finite_loss_and_gradient(gamma: float, smoothing: float, dtype: torch.dtype) -> None:
    """Probability of the true class 1, and 0, to the last bit."""
    logits = torch.tensor(
        [[200.0, 0.0, -200.0], [0.0, -300.0, 300.0], [17.0, 0.0, 0.0]], dtype=dtype, requires_grad=True
    )
    loss = focal_loss(logits, torch.tensor([0, 1, 0]), torch.ones(3, dtype=dtype), gamma, smoothing)
    loss.backward()
    assert logits.grad is not None
    assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()
    assert logits.grad[1, 1] < 0  # the one that is wrong is still pulled up


def test_a_larger_gamma_counts_easy_rows_less() -> None:
    logits = torch.tensor([[2.0, 0.0], [-2.0, 0.0]], dtype=torch.float64)
    easy, hard = torch.tensor([0]), torch.tensor([0])
    ones = torch.ones(2, dtype=torch.float64)
    shares = [
        (focal_loss(logits[:1], easy, ones, gamma, 0.0) / focal_loss(logits[1:], hard, ones, gamma, 0.0)).item()
        for gamma in (0.0, 1.0, 2.0, 5.0)
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.01 * shares[0]
