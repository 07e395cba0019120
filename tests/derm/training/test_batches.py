"""What an epoch's batches hold, against the table they were drawn from."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import beta, kstest

from derm.heads.head import Member
from derm.heads.inputs import Inputs
from derm.heads.metadata import fit_metadata
from derm.training.data import TrainingData
from derm.training.gradient import Batch, Batches
from tests.derm.heads.data import inputs, shape
from tests.derm.training.data import params, plain_loss

COUNT = 4000


def table(views: int = 1, dim: int = 5) -> Inputs:
    return inputs(np.random.default_rng(0).normal(size=(COUNT, views, dim)).astype(np.float32))


def numbers() -> np.ndarray:
    """Features [n, 1, 1] that tell an image's number, and are small enough to be left alone."""
    return np.arange(COUNT)[:, None, None] / 1000


def image_of(batch: Batch) -> torch.Tensor:
    """The numbers of a batch's images, int64 [n]."""
    return (1000 * batch.features[:, 0]).round().long()


def drawn(given: Inputs, epochs: int = 1, seed: int = 0, **changes: Any) -> list[Batch]:
    """All batches of some epochs. The features are taken as they are: means 0 and scales 1."""
    of_shape = {key: changes.pop(key) for key in list(changes) if key in ("encoding", "metadata", "metadata_dropout")}
    member = Member(shape(given.channels, 3, type="mlp", hidden=[4], **of_shape))
    targets = np.arange(len(given)) % 3
    data = TrainingData(
        train=given, train_targets=targets, val=given, val_targets=targets, loss=plain_loss(), positive=None
    )
    batches = Batches(member, data, params(**({"batch_size": COUNT} | changes)), torch.Generator().manual_seed(seed))
    return [batch for _ in range(epochs) for batch in batches.epoch()]


def test_every_image_comes_once_an_epoch_with_its_target() -> None:
    """The feature is the image's number, and the target its remainder of three."""
    batches = drawn(inputs(numbers()), batch_size=128)
    assert [len(batch.targets) for batch in batches] == [128] * 31 + [32]
    seen = torch.cat([image_of(batch) for batch in batches])
    assert sorted(seen.tolist()) == list(range(COUNT))
    assert torch.equal(torch.cat([batch.targets for batch in batches]), seen % 3)
    assert all(batch.share == 1 and torch.equal(batch.targets, batch.other_targets) for batch in batches)


def test_views_are_drawn_evenly_and_for_each_image_anew() -> None:
    """The feature is the image's number, and a second one the view's."""
    views = np.broadcast_to(np.arange(4)[None, :, None], (COUNT, 4, 1))
    first, second = drawn(inputs(np.concatenate([np.repeat(numbers(), 4, axis=1), views], axis=2)), epochs=2)
    chosen = []
    for batch in (first, second):
        view = batch.features[:, 1].long().numpy()
        chosen.append(view[np.argsort(image_of(batch).numpy())])
        # A quarter each, within four standard deviations of a binomial number.
        np.testing.assert_allclose(np.bincount(view, minlength=4), 1000, atol=4 * np.sqrt(COUNT * 3 / 16))
    # The two epochs agree by chance alone.
    assert np.mean(chosen[0] == chosen[1]) == pytest.approx(0.25, abs=0.03)


def test_noise_has_the_stated_standard_deviation() -> None:
    plain, noisy = (drawn(table(), noise=noise)[0] for noise in (0.0, 0.3))
    difference = (noisy.features - plain.features).numpy()
    assert kstest(difference.reshape(-1), "norm", args=(0, 0.3)).pvalue > 0.001
    # Each number has its own: neither features nor images share one.
    np.testing.assert_allclose(np.corrcoef(difference.T), np.eye(5), atol=5 / np.sqrt(COUNT))
    assert torch.equal(plain.targets, noisy.targets)


def test_mixup_mixes_features_and_targets_in_the_same_shares() -> None:
    """A second feature is one-hot in the target's place: mixed, it tells the shares of both targets."""
    targets = np.arange(COUNT) % 3
    given = inputs(np.eye(3, dtype=np.float32)[targets][:, None])
    for batch in drawn(given, mixup=0.4, batch_size=500):
        one_hot = torch.nn.functional.one_hot
        expected = batch.share * one_hot(batch.targets, 3) + (1 - batch.share) * one_hot(batch.other_targets, 3)
        torch.testing.assert_close(batch.features, expected.float())
        assert 0.2 < (batch.targets == batch.other_targets).float().mean() < 0.47


def test_shares_of_mixup_are_beta_distributed() -> None:
    shares = [batch.share for batch in drawn(inputs(np.zeros((600, 1, 1))), epochs=8, mixup=0.4, batch_size=8)]
    assert len(shares) == 600
    assert kstest(shares, beta(0.4, 0.4).cdf).pvalue > 0.001


def with_metadata() -> tuple[Inputs, Any]:
    """No image is as one of which nothing is known: all are as old as none, or of the rarer sex."""
    people = pd.DataFrame(
        {"age": ["30", "50", "70"] * 1333 + ["90"], "sex": ["male", "female", "male"] * 1333 + ["female"]}
    )
    people["sex"] = np.where(people["age"] == "50", "female", people["sex"])
    encoding = fit_metadata(people, missing=False)
    known = encoding.encode(people)
    assert not (known == encoding.unknown()).all(axis=1).any()
    return inputs(numbers(), known), encoding


def test_a_share_of_the_images_loses_all_its_metadata() -> None:
    given, encoding = with_metadata()
    batch = drawn(given, metadata=True, metadata_dropout=0.3, encoding=encoding)[0]
    assert batch.metadata is not None and given.metadata is not None
    known = torch.from_numpy(given.metadata[image_of(batch).numpy()]).float()
    lost = (batch.metadata == torch.from_numpy(encoding.unknown()).float()).all(dim=1)
    assert lost.float().mean().item() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / COUNT))
    # An image keeps all of it or nothing.
    assert torch.equal(batch.metadata[~lost], known[~lost])
    assert not (known[lost] == batch.metadata[lost]).all(dim=1).any()


def test_none_is_lost_where_none_is_to_be() -> None:
    given, encoding = with_metadata()
    batch = drawn(given, metadata=True, metadata_dropout=0.0, encoding=encoding)[0]
    assert batch.metadata is not None and given.metadata is not None
    known = given.metadata[image_of(batch).numpy()]
    np.testing.assert_array_equal(batch.metadata.numpy(), known.astype(np.float32))


def test_metadata_is_mixed_with_the_features() -> None:
    given, encoding = with_metadata()
    known = given.metadata
    assert known is not None
    both = Inputs(known[:, None], given.rows, known)
    batch = drawn(both, metadata=True, metadata_dropout=0.0, encoding=encoding, mixup=1.0)[0]
    assert batch.metadata is not None
    torch.testing.assert_close(batch.metadata, batch.features)
    assert 0 < batch.share < 1


def test_balanced_sampling_draws_by_class() -> None:
    targets = np.repeat([0, 1, 2], [3000, 900, 100])
    data = TrainingData(
        train=table(), train_targets=targets, val=table(), val_targets=targets, loss=plain_loss(), positive=None
    )
    member = Member(shape(5, 3, type="mlp", hidden=[4]))
    batches = Batches(member, data, params(sampling="balanced", batch_size=128), torch.Generator().manual_seed(0))
    seen = torch.cat([batch.targets for _ in range(3) for batch in batches.epoch()])
    assert len(seen) == 3 * COUNT
    np.testing.assert_allclose(torch.bincount(seen), COUNT, atol=4 * np.sqrt(3 * COUNT * 2 / 9))
