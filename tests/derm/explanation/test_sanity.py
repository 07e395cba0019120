"""What is shuffled, that it is put back, and what makes two maps alike."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from derm.explanation.maps import explain
from derm.explanation.model import Explained
from derm.explanation.sanity import alike, coarse, has_learned, head_of_shuffled_labels, shuffled_weights
from derm.heads.predict import image_logits
from tests.derm.explanation.test_maps import CPU, coloured, encoder_of, pooled
from tests.derm.heads.data import inputs, random_head, shape


@pytest.mark.parametrize("name", ["timm/test_resnet", "timm/test_vit"])
def test_shuffling_goes_from_the_top_down_keeps_the_numbers_and_is_taken_back(name: str) -> None:
    encoder = encoder_of(name, image_size=128)
    head = random_head(shape(pooled(encoder, coloured(1)).shape[1], 3))
    before = {key: tensor.clone() for key, tensor in encoder.maps.state_dict().items()}
    member: Any = head.members[0]
    output = member.output.weight.clone()
    changed = {}
    for share in (0.0, 0.25, 1.0):
        with shuffled_weights(head, [encoder], share, seed=1):
            now = encoder.maps.state_dict()
            changed[share] = [key for key in before if not torch.equal(now[key], before[key])]
            for key, tensor in before.items():
                assert torch.equal(now[key].flatten().sort().values, tensor.flatten().sort().values)
            assert not torch.equal(member.output.weight, output)
    assert all(torch.equal(tensor, before[key]) for key, tensor in encoder.maps.state_dict().items())
    assert torch.equal(member.output.weight, output)
    parameters = [key for key, _ in encoder.maps.named_parameters()]
    assert changed[0.0] == [] and 0 < len(changed[0.25]) < len(changed[1.0])
    first = parameters[0]
    top = [parameters.index(key) for key in changed[0.25] if key in parameters]
    assert min(top) >= len(parameters) // 2 and first in changed[1.0] and first not in changed[0.25]
    assert max(top) >= 0.9 * len(parameters)


def test_weights_are_put_back_after_an_error() -> None:
    encoder = encoder_of("timm/test_resnet")
    head = random_head(shape(pooled(encoder, coloured(1)).shape[1], 3))
    before = [parameter.clone() for parameter in encoder.maps.parameters()]
    with pytest.raises(RuntimeError, match="half-way"), shuffled_weights(head, [encoder], 1.0, 1):
        raise RuntimeError("half-way")
    assert all(torch.equal(*pair) for pair in zip(before, encoder.maps.parameters(), strict=True))


def test_what_has_learned_weights() -> None:
    assert has_learned([encoder_of("colour-texture"), encoder_of("timm/test_resnet")])
    assert not has_learned([encoder_of("colour-texture")])


def test_maps_of_a_network_change_with_its_weights() -> None:
    encoder, images = encoder_of("timm/test_resnet", image_size=128), coloured(6)
    head = random_head(shape(pooled(encoder, images).shape[1], 3))
    explained = Explained([encoder], head)
    maps = explain(explained, images, [0] * 6, ["gradcam"], CPU)["gradcam"]
    with shuffled_weights(head, [encoder], 1.0, 1):
        other = explain(explained, images, [0] * 6, ["gradcam"], CPU)["gradcam"]
    again = explain(explained, images, [0] * 6, ["gradcam"], CPU)["gradcam"]
    np.testing.assert_array_equal(maps, again)
    assert np.nanmean([alike(coarse(one), coarse(two)) for one, two in zip(maps, other, strict=True)]) < 0.6


def test_alike_is_the_rank_correlation_of_the_coarse_maps() -> None:
    generator = np.random.default_rng(0)
    small = [generator.random((12, 16)).astype(np.float32) for _ in range(2)]
    large = [np.kron(one, np.ones((5, 5), dtype=np.float32)) for one in small]
    np.testing.assert_allclose(coarse(large[0]), small[0], rtol=1e-6)
    one, other = (coarse(heat) for heat in large)
    expected: Any = spearmanr(small[0].ravel(), small[1].ravel())
    assert alike(one, other) == pytest.approx(expected.statistic)
    assert alike(one, one**3) == pytest.approx(1.0)
    assert alike(one, 1 - one) == pytest.approx(-1.0)
    assert alike(one, np.zeros_like(one)) == 0 and np.isnan(alike(np.ones_like(one), np.zeros_like(one)))


def test_the_labels_of_neighbours_are_shuffled() -> None:
    """They learn no weights; else nothing would be shuffled, and every map would stay as it is."""
    encoder = encoder_of("colour-texture")
    head = random_head(shape(pooled(encoder, coloured(1)).shape[1], 3, type="knn", bank=30))
    member: Any = head.members[0]
    labels = member.output.labels
    before = labels.clone()
    with shuffled_weights(head, [encoder], 0.0, 1):
        assert not torch.equal(labels, before) and torch.equal(labels.sort().values, before.sort().values)
    assert torch.equal(labels, before)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_head_of_shuffled_labels_knows_nothing_and_one_of_right_ones_would(classes: int) -> None:
    """The same fit on labels that are not shuffled (a permutation is undone by sorting them beforehand) separates."""
    generator = np.random.default_rng(0)
    targets = np.repeat(np.arange(classes), 200)
    values = generator.normal(size=(len(targets), 6)) + 4 * np.eye(6)[targets]
    like = random_head(shape(6, classes, type="mlp", hidden=[4]))
    blind = head_of_shuffled_labels(like, values, targets, seed=1)
    told = image_logits(blind, inputs(values[:, None])).argmax(axis=1)
    assert abs((told == targets).mean() - 1 / classes) < 0.25
    order = np.random.default_rng(1).permutation(len(targets))
    undone = np.empty_like(targets)
    undone[order] = targets  # so that shuffling gives the right ones
    sighted = head_of_shuffled_labels(like, values, undone, seed=1)
    assert (image_logits(sighted, inputs(values[:, None])).argmax(axis=1) == targets).mean() > 0.95
