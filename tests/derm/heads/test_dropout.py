"""Dropout whose mask can be held."""

import pytest
import torch
from torch import nn

from derm.heads.dropout import HeldDropout

ROWS = torch.full((4000, 5), 3.0)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_in_training_it_is_torchs_dropout(share: float) -> None:
    layer, oracle = HeldDropout(share, 5).train(), nn.Dropout(share).train()
    torch.manual_seed(0)
    actual = layer(ROWS)
    torch.manual_seed(0)
    torch.testing.assert_close(actual, oracle(ROWS))
    dropped = (actual == 0).float()
    assert dropped.mean().item() == pytest.approx(share, abs=5 * (share * (1 - share) / 20_000) ** 0.5)
    assert actual[actual != 0].unique().tolist() == pytest.approx([3 / (1 - share)])
    # every number for itself: rows are not dropped together
    assert share == 0 or len(dropped.unique(dim=0)) > 10


def test_otherwise_everything_passes() -> None:
    assert torch.equal(HeldDropout(0.8, 5).eval()(ROWS), ROWS)


@pytest.mark.parametrize("training", [False, True])
def test_a_held_mask_is_the_same_for_every_row_and_patch_until_released(training: bool) -> None:
    layer = HeldDropout(0.5, 5).train(training)
    generator = torch.Generator().manual_seed(1)
    layer.hold(generator)
    once, again = layer(ROWS), layer(ROWS[:7].double()[:, None].expand(7, 6, 5))
    assert len(once.unique(dim=0)) == len(again.flatten(0, 1).unique(dim=0)) == 1
    assert once[0].tolist() == again[0, 0].tolist()
    assert again.dtype == torch.float64 and set(once[0].tolist()) == {0.0, 6.0}
    layer.release()
    assert torch.equal(layer.eval()(ROWS), ROWS)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_over_many_masks_it_is_the_input_in_the_mean_and_drops_its_share(share: float) -> None:
    layer, generator, held = HeldDropout(share, 5), torch.Generator().manual_seed(0), []
    for _ in range(4000):
        layer.hold(generator)
        held.append(layer(torch.ones(1, 5))[0])
    masks = torch.stack(held)
    deviation = (share / (1 - share) / 4000) ** 0.5
    assert (masks.mean(0) - 1).abs().max() < 5 * deviation
    assert masks.unique().tolist() == pytest.approx([0, 1 / (1 - share)])
    # units are dropped independently of each other
    assert (torch.corrcoef(masks.T) - torch.eye(5)).abs().max() < 5 / 4000**0.5


def test_the_same_generator_state_draws_the_same_mask() -> None:
    masks = []
    for seed in (1, 1, 2):
        layer = HeldDropout(0.5, 64)
        layer.hold(torch.Generator().manual_seed(seed))
        masks.append(layer.held)
    assert masks[0] is not None and torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])
