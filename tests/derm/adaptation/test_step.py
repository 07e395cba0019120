"""One step: its gradient is the whole batch's, whatever it is cut into; every method can learn a batch by heart."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from derm.adaptation.network import AdaptedNetwork
from derm.adaptation.step import Batch, NotFiniteError, Stepper, mixed
from derm.errors import UserError
from derm.losses import TrainingLoss, training_loss
from tests.derm.adaptation.data import encoder, input_of, params

CPU = torch.device("cpu")
FAMILIES = ["timm/test_vit", "timm/test_resnet", "siglip", "gemma3", "simple-cnn"]


def loss_of(**changes: Any) -> TrainingLoss:
    return training_loss(params(loss=changes).loss, np.array([0, 0, 0, 1, 1, 2]), 3, 1)


def made(family: str, **changes: Any) -> tuple[AdaptedNetwork, Batch]:
    """A network, and a batch of six."""
    small = {"image_size": 32} if family == "simple-cnn" else {}
    one = encoder(family, **small)
    network = AdaptedNetwork(one, 3, params(**changes))
    targets = torch.arange(6) % 3
    return network.train(), Batch(input_of(one), targets, targets.flip(0), 0.7)


def gradients(network: AdaptedNetwork, batch: Batch, parts: int, loss: TrainingLoss) -> tuple[float, torch.Tensor]:
    """The loss, and the gradient of all that is trained, in one row."""
    told = Stepper(network, loss, network.params, CPU, parts).gradients(batch)
    rows = [p.grad.reshape(-1) for p in network.parameters() if p.grad is not None]
    return told, torch.cat(rows).clone()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("parts", [2, 4, 6])
def test_parts_add_up_to_the_whole_batch(family: str, parts: int) -> None:
    network, batch = made(family, method="full")
    loss = loss_of(gamma=2.0, class_weights="inverse")
    whole, expected = gradients(network, batch, 1, loss)
    told, found = gradients(network, batch, parts, loss)
    assert told == pytest.approx(whole, rel=1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))


def test_the_gradient_is_that_of_the_loss_written_out() -> None:
    """Against torch's own weighted cross-entropy, image by image."""
    network, batch = made("timm/test_vit", method="full")
    loss = loss_of(class_weights="inverse")
    _, found = gradients(network, batch, 3, loss)
    network.zero_grad()
    logits = network(batch.images)
    each = [nn.functional.cross_entropy(logits, of, reduction="none") for of in (batch.targets, batch.others)]
    weights = torch.tensor([6 / 9, 6 / 6, 6 / 3])  # 1/n, scaled so that the six images' mean is 1
    mean = (0.7 * weights[batch.targets] * each[0] + 0.3 * weights[batch.others] * each[1]).mean()
    mean.backward()
    expected = torch.cat([p.grad.reshape(-1) for p in network.parameters() if p.grad is not None])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("family", FAMILIES)
def test_mixed_precision_gives_the_gradient_to_bfloat16s_tolerance(family: str) -> None:
    """bfloat16 has eight bits: a per cent or so of the gradient's length."""
    network, batch = made(family, method="full")
    _, expected = gradients(network, batch, 1, loss_of())
    network.params = network.params.model_copy(update={"precision": "bfloat16"})
    _, found = gradients(network, batch, 2, loss_of())
    assert found.dtype == torch.float32
    assert float((found - expected).norm() / expected.norm()) < 0.06
    assert not torch.equal(found, expected)


@pytest.mark.parametrize("family", ["timm/test_vit", "siglip", "gemma3", "timm/test_resnet"])
def test_checkpointing_gives_the_same_gradient(family: str) -> None:
    _, expected = gradients(*made(family, method="full"), 1, loss_of())
    _, found = gradients(*made(family, method="full", gradient_checkpointing=True), 1, loss_of())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))


def test_what_cannot_checkpoint_says_so() -> None:
    with pytest.raises(UserError, match=r"adapt.gradient_checkpointing is true, and simple-cnn cannot"):
        made("simple-cnn", method="scratch", gradient_checkpointing=True)


@pytest.mark.parametrize(
    ("method", "family"),
    [
        *(("full", family) for family in FAMILIES),
        *(("lora", family) for family in ("timm/test_vit", "timm/test_resnet", "siglip", "gemma3")),
        ("scratch", "simple-cnn"),
        ("scratch", "timm/test_resnet"),
        ("scratch", "timm/test_vit"),
    ],
)
def test_one_batch_is_learnt_by_heart(method: str, family: str) -> None:
    rate = 0.02 if method == "lora" else 0.003
    changes: dict[str, Any] = {
        "method": method,
        "learning_rate": rate,
        "classifier_learning_rate": 0.02,
        "weight_decay": 0.0,
    }
    if family == "timm/test_resnet":  # with random weights nothing comes through, but for a batch's own means
        changes["batch_norm"] = "train"
    network, batch = made(family, **changes)
    # labels that no colour tells
    batch = replace(batch, targets=torch.tensor([0, 2, 1, 1, 0, 2]), share=1.0)
    optimiser = torch.optim.AdamW(network.parameter_groups())
    stepper = Stepper(network, loss_of(), network.params, CPU, 1)
    told = []
    for _ in range(120):
        told.append(stepper.gradients(batch))
        optimiser.step()
        if told[-1] < 0.05:
            break
    assert told[-1] < 0.05 < told[0], told[-1]


def test_short_memory_cuts_the_batch_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    network, batch = made("timm/test_vit", method="full")
    _, expected = gradients(network, batch, 1, loss_of())
    network.register_forward_pre_hook(_no_more_than(2))
    stepper = Stepper(network, loss_of(), network.params, CPU, 1)
    stepper.gradients(batch)
    found = torch.cat([p.grad.reshape(-1) for p in network.parameters() if p.grad is not None])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))
    assert stepper.parts == 4
    told = capsys.readouterr().err
    assert "no memory on cpu for 6 images at once: going on with the same batches in 2 parts" in told
    assert "no memory on cpu for 3 images at once: going on with the same batches in 4 parts" in told


def test_no_memory_for_one_image_is_one_line() -> None:
    network, batch = made("timm/test_vit", method="full")
    network.register_forward_pre_hook(_no_more_than(0))
    with pytest.raises(
        UserError, match=r"no memory on cpu for 1 images at once: set adapt.gradient_checkpointing=true"
    ):
        Stepper(network, loss_of(), network.params, CPU, 1).gradients(batch)


def _no_more_than(most: int) -> Any:
    def refuse(_module: nn.Module, given: tuple[torch.Tensor]) -> None:
        if len(given[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")

    return refuse


def test_a_loss_that_is_no_number_is_noticed() -> None:
    network, batch = made("timm/test_vit", method="full")
    with pytest.raises(NotFiniteError):
        Stepper(network, loss_of(), network.params, CPU, 2).gradients(replace(batch, images=batch.images * np.nan))


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_the_share_is_that_of_the_pixels(kind: str) -> None:
    """Image k is filled with k: what is mixed tells the partner and the share by itself."""
    images = torch.arange(8.0)[:, None, None, None].expand(8, 3, 40, 40).clone()
    targets = torch.arange(8)
    batch = mixed(images.clone(), targets, params(**{kind: 1.0}), seed=5)
    assert torch.equal(batch.others, targets.flip(0))
    assert 0 < batch.share < 1
    expected = batch.share * targets + (1 - batch.share) * batch.others
    torch.testing.assert_close(batch.images.mean((1, 2, 3)), expected.float(), rtol=1e-4, atol=1e-4)
    again = mixed(images.clone(), targets, params(**{kind: 1.0}), seed=5)
    assert torch.equal(batch.images, again.images)
    assert mixed(images.clone(), targets, params(**{kind: 1.0}), seed=6).share != batch.share


def test_an_odd_batch_loses_its_last_image_to_mixup() -> None:
    batch = mixed(torch.randn(5, 3, 8, 8), torch.arange(5), params(mixup=0.4), seed=1)
    assert batch.targets.tolist() == [0, 1, 2, 3] and batch.others.tolist() == [3, 2, 1, 0]


def test_without_mixup_nothing_is_mixed() -> None:
    images = torch.randn(5, 3, 8, 8)
    batch = mixed(images, torch.arange(5), params(), seed=1)
    assert torch.equal(batch.images, images) and batch.share == 1.0
