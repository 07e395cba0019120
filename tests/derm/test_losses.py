"""The focal family against torch's cross-entropy, hand-computed numbers, finite differences, and what it is for: the
frequencies of the classes."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from derm.errors import UserError
from derm.losses import LossParams, TrainingLoss, focal_loss, logit_offset, training_loss
from derm.training.sampling import sampling_factors
from tests.derm.training.data import loss_params


def example(rows: int = 7, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, targets and class weights."""
    generator = torch.Generator().manual_seed(2)
    logits = 3 * torch.randn(rows, classes, dtype=torch.float64, generator=generator)
    targets = torch.randint(classes, (rows,), generator=generator)
    return logits, targets, torch.rand(classes, dtype=torch.float64, generator=generator) + 0.1


def test_gamma_0_is_weighted_cross_entropy() -> None:
    """Torch's sum, over the number of rows."""
    logits, targets, weights = example()
    ours = focal_loss(logits, targets, weights, 0.0, 0.0)
    expected = cross_entropy(logits, targets, weights, reduction="sum") / len(targets)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)


def test_small_batches_count_a_class_as_much_as_all_rows_do() -> None:
    """The mean over batches is the loss of all rows, whichever rows stand together; torch's weighted mean is not."""
    logits, targets, weights = example(40)
    batches = torch.randperm(40, generator=torch.Generator().manual_seed(1)).split(4)
    ours = torch.stack([focal_loss(logits[rows], targets[rows], weights, 2.0, 0.1) for rows in batches]).mean()
    torch.testing.assert_close(ours, focal_loss(logits, targets, weights, 2.0, 0.1), rtol=1e-12, atol=0)


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_gamma_0_with_smoothing_is_cross_entropy_with_smoothing(smoothing: float) -> None:
    """Torch weighs the smoothed share by each class, we weigh the row by its true class: row by row they agree."""
    logits, targets, weights = example()
    rows = cross_entropy(logits, targets, label_smoothing=smoothing, reduction="none")
    ones = torch.ones(4, dtype=torch.float64)
    torch.testing.assert_close(focal_loss(logits, targets, ones, 0.0, smoothing), rows.mean(), rtol=0, atol=1e-12)
    expected = (weights[targets] * rows).mean()
    torch.testing.assert_close(focal_loss(logits, targets, weights, 0.0, smoothing), expected, rtol=0, atol=1e-12)


def test_the_plain_member_of_the_family_is_cross_entropy() -> None:
    logits, targets, _ = example(40)
    loss = training_loss(loss_params(), targets.numpy(), 4, positive=None)
    torch.testing.assert_close(loss(logits, targets), cross_entropy(logits, targets), rtol=0, atol=1e-12)


def test_tau_adds_the_logarithm_of_the_shares() -> None:
    """Cross-entropy of logits to which tau log(n_c / n) was added by hand."""
    logits, targets, _ = example(40)
    loss = training_loss(loss_params(tau=1.5), targets.numpy(), 4, positive=None)
    shares = torch.tensor([(targets == index).double().mean().item() for index in range(4)], dtype=torch.float64)
    expected = cross_entropy(logits + 1.5 * shares.log(), targets)
    torch.testing.assert_close(loss(logits, targets), expected, rtol=0, atol=1e-12)


def test_gamma_2_by_hand() -> None:
    """p = (3/4, 1/4): 1/16 * log(4/3) for the first class, 9/16 * log 4 for the second."""
    logits = torch.tensor([[math.log(3.0), 0.0], [math.log(3.0), 0.0]], dtype=torch.float64)
    easy, hard = math.log(4 / 3) / 16, 9 * math.log(4) / 16
    targets = torch.tensor([0, 1])
    ones, uneven = torch.ones(2, dtype=torch.float64), torch.tensor([1.0, 3.0], dtype=torch.float64)
    assert focal_loss(logits[:1], targets[:1], ones, 2.0, 0.0).item() == pytest.approx(easy, rel=1e-12)
    assert focal_loss(logits, targets, ones, 2.0, 0.0).item() == pytest.approx((easy + hard) / 2, rel=1e-12)
    assert focal_loss(logits, targets, uneven, 2.0, 0.0).item() == pytest.approx((easy + 3 * hard) / 2, rel=1e-12)
    # smoothing 0.2 of two classes: 0.9 of the true one and 0.1 of the other
    expected = (0.9 * easy + 0.1 * hard + 0.9 * hard + 0.1 * easy) / 2
    assert focal_loss(logits, targets, ones, 2.0, 0.2).item() == pytest.approx(expected, rel=1e-12)


def test_alpha_is_that_of_lin_for_two_classes() -> None:
    """alpha for the positive class and 1 - alpha for the other; p = (3/4, 1/4) as above. Twice that, since
    the mean weight is 1."""
    logits = torch.tensor([[math.log(3.0), 0.0], [math.log(3.0), 0.0]], dtype=torch.float64)
    easy, hard = math.log(4 / 3) / 16, 9 * math.log(4) / 16
    loss = training_loss(loss_params(gamma=2.0, alpha=0.25), np.array([0, 1]), 2, positive=1)
    expected = 0.75 * easy + 0.25 * hard
    assert loss(logits, torch.tensor([0, 1])).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"label_smoothing": 0.1},
        {"tau": 1.0},
        {"class_weights": "inverse", "melanoma_boost": 4.0},
        {"alpha": 0.8},
        {"label_smoothing": 0.2, "tau": 0.5, "class_weights": "effective", "alpha": 0.3, "melanoma_boost": 2.0},
    ],
)
@pytest.mark.parametrize("size", [1.0, 4.0])
def test_gradients_are_those_of_finite_differences(gamma: float, changes: dict[str, Any], size: float) -> None:
    """size 4: logits of up to thirty, where a probability is 1 but for 1e-12."""
    logits, targets, _ = example(12)
    assert set(targets.tolist()) == {0, 1, 2, 3}
    loss = training_loss(loss_params(gamma=gamma, **changes), targets.numpy(), 4, positive=2)
    given = (size * logits).requires_grad_()
    assert torch.autograd.gradcheck(lambda logits: loss(logits, targets), (given,), atol=1e-8, rtol=1e-5)


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


# Four kinds of images that can be told apart and no more: how many of each kind are of each of three classes.
COUNTS = np.array([[30, 4, 1], [12, 12, 3], [1, 2, 9], [40, 1, 2]])
KINDS, CLASSES = (part.reshape(-1) for part in np.indices(COUNTS.shape))
KIND, TARGET = np.repeat(KINDS, COUNTS.reshape(-1)), np.repeat(CLASSES, COUNTS.reshape(-1))


def free_minimum(loss: TrainingLoss, balanced: bool) -> torch.Tensor:
    """Logits [kinds, classes], each of them free, at which the loss is lowest.

    balanced: the loss that is to be expected of images drawn by class first: each of them weighs one over the size of
    its class. It is put together from one-row losses.
    """
    logits = torch.zeros(COUNTS.shape, dtype=torch.float64, requires_grad=True)
    kinds, targets = torch.from_numpy(KIND), torch.from_numpy(TARGET)
    optimiser = torch.optim.LBFGS(
        [logits], max_iter=2000, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )

    def value() -> torch.Tensor:
        optimiser.zero_grad()
        if balanced:
            cells = [
                COUNTS[kind, one] / COUNTS[:, one].sum() * loss(logits[kind][None], torch.tensor([one]))
                for kind, one in zip(KINDS, CLASSES, strict=True)
            ]
            total = torch.stack(cells).sum()
        else:
            total = loss(logits[kinds], targets)
        total.backward()
        return total

    optimiser.step(value)
    return logits.detach()


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    "changes",
    [
        *({"class_weights": name} for name in ("none", "inverse", "sqrt_inverse", "effective")),
        {"alpha": 0.9},
        {"melanoma_boost": 5.0},
        {"class_weights": "sqrt_inverse", "alpha": 0.7, "melanoma_boost": 3.0},
    ],
)
def test_without_the_offset_the_minimum_tells_the_frequencies(
    changes: dict[str, Any], tau: float, balanced: bool
) -> None:
    loss = training_loss(loss_params(tau=tau, effective_beta=0.97, **changes), TARGET, 3, positive=2)
    factors = sampling_factors(TARGET, 3, "balanced" if balanced else "natural")
    told = torch.softmax(free_minimum(loss, balanced) - logit_offset(loss, factors), dim=1)
    np.testing.assert_allclose(told, COUNTS / COUNTS.sum(axis=1, keepdims=True), atol=1e-6)


def test_times_is_the_expected_loss_of_balanced_sampling() -> None:
    """What the convex heads minimise is what the others draw."""
    loss = training_loss(loss_params(class_weights="sqrt_inverse", tau=0.5), TARGET, 3, positive=None)
    weighted = loss.times(sampling_factors(TARGET, 3, "balanced"))
    difference = free_minimum(weighted, balanced=False) - free_minimum(loss, balanced=True)
    # A constant for each kind is free.
    np.testing.assert_allclose(difference - difference[:, :1], 0, atol=1e-5)


def test_boost_and_alpha_weigh_the_positive_class_by_hand() -> None:
    """Six images of one class and two of the other: weights 1 and 3 come to 12, alpha 0.8 to 0.2 x 6 + 0.8 x 2 = 2.8,
    both together to 0.2 x 6 + 2.4 x 2 = 6; the mean over the eight is to be 1."""
    targets = np.array([0] * 6 + [1] * 2)
    for changes, expected in (
        ({"melanoma_boost": 3.0}, [8 / 12, 24 / 12]),
        ({"alpha": 0.8}, [1.6 / 2.8, 6.4 / 2.8]),
        ({"melanoma_boost": 3.0, "alpha": 0.8}, [1.6 / 6, 19.2 / 6]),
    ):
        told = training_loss(loss_params(**changes), targets, 2, positive=1).weights
        np.testing.assert_allclose(told, expected)


@pytest.mark.parametrize(("key", "value"), [("alpha", 0.25), ("melanoma_boost", 2.0)])
def test_what_weighs_the_positive_class_needs_one(key: str, value: float) -> None:
    changed: LossParams = loss_params(**{key: value})
    with pytest.raises(UserError, match=rf"^loss\.{key} .*task\.positive.*$"):
        training_loss(changed, TARGET, 3, positive=None)
    training_loss(changed, TARGET, 3, positive=0)
