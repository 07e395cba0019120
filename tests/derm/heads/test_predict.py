"""From images to logits: views, members, and draws of dropout against every mask there is."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax

from derm.errors import UserError
from derm.heads import inputs as module
from derm.heads.head import Head, Member
from derm.heads.inputs import Inputs
from derm.heads.predict import dropout_logits, image_logits, member_logits, val_logits
from tests.derm.heads.data import inputs, random_head, shape, table

SMALL: dict[str, Any] = {"hidden": [5], "convolution": 5, "lstm": 4, "attention": 3, "queries": 2, "query_width": 3}
ALL = {"linear": {}, "mlp": {}, "knn": {"bank": 9}, "acrnn": {}, "attention_pool": {}}


def given_to(kind: str, count: int = 9, views: int = 3, seed: int = 4) -> Inputs:
    patches = (4,) if kind in ("acrnn", "attention_pool") else ()
    return inputs(np.random.default_rng(seed).normal(size=(count, views, *patches, 8)))


@pytest.mark.parametrize("kind", ALL)
def test_an_images_logits_are_the_mean_over_its_views_for_each_member(kind: str) -> None:
    head, given = random_head(shape(8, 3, type=kind, members=2, **SMALL, **ALL[kind])), given_to(kind)
    views = [member_logits(head, Inputs(given.source[:, [view]], given.rows)) for view in range(3)]
    actual = member_logits(head, given)
    assert actual.shape == (2, 9, 3) and actual.dtype == np.float64
    np.testing.assert_allclose(actual, np.mean(views, axis=0), rtol=1e-9)
    # the members' probabilities are averaged after the views' logits, not before
    probabilities = softmax(actual, axis=2).mean(axis=0)
    np.testing.assert_allclose(softmax(image_logits(head, given), axis=1), probabilities, rtol=1e-9)
    of_views = np.mean([image_logits(head, Inputs(given.source[:, [view]], given.rows)) for view in range(3)], axis=0)
    assert np.abs(softmax(of_views, axis=1) - probabilities).max() > 1e-4


@pytest.mark.parametrize("kind", ALL)
def test_chunks_and_company_change_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch norm included, in evaluation mode."""
    head, given = random_head(shape(8, 3, type=kind, batch_norm=True, **SMALL, **ALL[kind])), given_to(kind)
    whole = image_logits(head.train(), given)
    monkeypatch.setattr(module, "CHUNK", 4)
    np.testing.assert_allclose(image_logits(head, given), whole, rtol=1e-9)
    np.testing.assert_allclose(image_logits(head, Inputs(given.source, np.array([7, 2]))), whole[[7, 2]], rtol=1e-9)


def test_dropout_is_off_when_logits_are_asked_for() -> None:
    head = random_head(shape(8, 3, type="mlp", hidden=[32], dropout=0.9)).train()
    given = inputs(table(10, 1)[0][:, None])
    np.testing.assert_array_equal(image_logits(head, given), image_logits(head, given))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["mlp", "acrnn"])
def test_a_member_in_training_is_judged_by_the_same_mean(kind: str, dtype: torch.dtype) -> None:
    head, given = random_head(shape(8, 3, type=kind, **SMALL)), given_to(kind)
    expected = image_logits(head, given) + head.logit_offset.numpy()
    member = head.members[0]
    assert isinstance(member, Member)
    with torch.no_grad():
        logits = val_logits(member.to(dtype), given)
    assert logits.dtype == dtype
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


# Of the monte carlo draws.


def network(share: float = 0.5, inputs_: int = 4, hidden: int = 3) -> Head:
    """Dropout on the input and on the hidden layer; large weights, so that draws differ."""
    head = random_head(shape(inputs_, 3, type="mlp", hidden=[hidden], dropout=share, input_dropout=share), seed=2)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.mul_(4)
    return head


def of_every_mask(head: Head, rows: np.ndarray) -> dict[tuple[bool, ...], np.ndarray]:
    """Logits [n, 3] for each of the masks of input and hidden units, all equally likely at a share of 0.5; numpy."""
    of = {name: tensor.double().numpy() for name, tensor in head.state_dict().items()}
    one = "members.0."
    standard = (rows - of[one + "mean"]) / of[one + "scale"]
    width, hidden = standard.shape[1], of[one + "body.layers.1.bias"].shape[0]
    told = {}
    for mask in product((False, True), repeat=width + hidden):
        kept = 2.0 * np.array(mask)
        units = (standard * kept[:width]) @ of[one + "body.layers.1.weight"].T + of[one + "body.layers.1.bias"]
        logits = (np.maximum(units, 0) * kept[width:]) @ of[one + "output.weight"].T + of[one + "output.bias"]
        told[mask] = logits - of["logit_offset"]
    return told


ROWS = np.random.default_rng(1).normal(size=(6, 4))


def test_a_pass_is_one_network_of_all_there_are_for_all_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pass is told apart as one mask, the same for six images in three chunks and both views; over many passes
    each unit is dropped as often as it should."""
    monkeypatch.setattr(module, "CHUNK", 2)
    head, views = network(), np.stack([ROWS, 0.5 * ROWS], axis=1)
    every = [of_every_mask(head, views[:, view]) for view in range(2)]
    means = {mask: (every[0][mask] + every[1][mask]) / 2 for mask in every[0]}
    samples = dropout_logits(head, inputs(views), 400, seed=5)
    assert samples.shape == (400, 6, 3) and samples.dtype == np.float64
    candidates, masks = np.stack(list(means.values())), np.array(list(means))
    kept = []
    for sample in samples:
        matching = np.abs(candidates - sample).max(axis=(1, 2)) < 1e-5
        assert matching.any(), "no one network gives these logits for all images"
        kept.append(masks[matching].mean(axis=0))
    # the input's units: of the hidden ones a mask may not be seen, where they are off by themselves
    np.testing.assert_allclose(np.mean(kept, axis=0)[:4], 0.5, atol=0.12)
    assert len(np.unique(samples.round(6), axis=0)) > 30


@pytest.mark.parametrize("kind", ["mlp", "acrnn", "attention_pool"])
def test_an_image_alone_gets_what_it_got_among_others(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = SMALL | {"dropout": 0.5, "input_dropout": 0.3, "batch_norm": True}
    head, given = random_head(shape(8, 3, type=kind, members=2, **changes)), given_to(kind)
    among = dropout_logits(head, given, 5, seed=1)
    assert among.shape == (10, 9, 3)
    assert len(np.unique(among[:, 0].round(9), axis=0)) > 6
    alone = dropout_logits(head, Inputs(given.source, np.array([7])), 5, seed=1)
    np.testing.assert_allclose(alone[:, 0], among[:, 7], rtol=1e-9)
    monkeypatch.setattr(module, "CHUNK", 2)
    np.testing.assert_allclose(dropout_logits(head, given, 5, seed=1), among, rtol=1e-9)
    # fewer passes are the first of them, another seed gives others, and afterwards dropout is off
    np.testing.assert_allclose(dropout_logits(head, given, 3, seed=1), among[:6], rtol=1e-9)
    assert np.abs(dropout_logits(head, given, 5, seed=2) - among).max() > 0.01
    before = image_logits(random_head(shape(8, 3, type=kind, members=2, **changes)), given)
    np.testing.assert_allclose(image_logits(head, given), before, rtol=1e-9)


def test_members_draw_masks_of_their_own() -> None:
    """Two members of the same weights differ by their masks alone."""
    head = random_head(shape(4, 3, type="mlp", members=2, hidden=[16], dropout=0.5))
    head.members[1].load_state_dict(head.members[0].state_dict())
    samples = dropout_logits(head, inputs(ROWS[:, None]), 1, seed=0)
    assert np.abs(samples[0] - samples[1]).max() > 0.01


def test_the_error_of_the_mean_falls_as_one_over_the_square_root_of_the_passes() -> None:
    """Against the exact mean probability over all 128 masks; the slope over 4 to 256 passes and 30 seeds."""
    head, given = network(), inputs(ROWS[:, None])
    exact = np.mean([softmax(logits, axis=1) for logits in of_every_mask(head, ROWS).values()], axis=0)
    passes = [4, 16, 64, 256]
    errors = []
    for count in passes:
        means = [softmax(dropout_logits(head, given, count, seed), axis=2).mean(axis=0) for seed in range(30)]
        errors.append(np.sqrt(np.mean(np.square(np.array(means) - exact))))
    slope = np.polyfit(np.log(passes), np.log(errors), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.1)
    assert errors[-1] < 0.03


@pytest.mark.parametrize(
    "changes",
    [{"type": "linear"}, {"type": "knn", "bank": 5}, {"type": "mlp", "dropout": 0.0}, {"type": "mlp", "hidden": []}],
)
def test_without_dropout_there_is_nothing_to_draw(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"head\.dropout above 0.*uncertainty\.passes=0") as refused:
        dropout_logits(random_head(shape(8, 3, **changes)), given_to("mlp"), 3, seed=0)
    assert "\n" not in str(refused.value)
