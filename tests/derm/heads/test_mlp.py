"""The multi-layer perceptron learns, repeats itself and keeps its best epoch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import log_loss

from derm.heads.head import Head, head_logits, image_logits, write_head
from derm.heads.mlp import fit_mlp
from derm.heads.training import Curves, TrainingData
from tests.derm.heads.data import data, loss_of, one_view, params


def fitted(given: TrainingData, dropout: float = 0.2, **changes) -> tuple[Head, Curves, dict]:
    head = Head(given.train_features.shape[-1], [16], 3, dropout)
    head.fit_standardisation(given.train_features)
    return fit_mlp(head, given, params(**changes))


def test_overfits_a_tiny_set_with_random_labels() -> None:
    generator = np.random.default_rng(0)
    features, targets = generator.normal(size=(24, 8)), generator.integers(0, 3, 24)
    given = one_view(features, targets, features, targets, loss_of([1.0, 1.0, 1.0]))
    head, _, _ = fitted(given, dropout=0.0, epochs=150, learning_rate=0.03, patience=150)
    assert (head_logits(head, features).argmax(axis=1) == targets).all()


def test_each_epoch_draws_among_the_views() -> None:
    """Two views: only the second tells the classes apart; a head that saw but the first could not learn them."""
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 3, 90)
    told = np.eye(3)[targets] * 4 + 0.1 * generator.normal(size=(90, 3))
    views = np.stack([np.zeros_like(told), told], axis=1)
    given = TrainingData(views, targets, views, targets, loss_of([1.0, 1.0, 1.0]))
    head, curves, chosen = fitted(given, dropout=0.0, epochs=60, learning_rate=0.03, patience=60)
    assert (image_logits(head, views).argmax(axis=1) == targets).all()
    told_loss = log_loss(targets, softmax(image_logits(head, views), axis=1))
    assert curves.rows[chosen["best_step"]]["val_loss"] == pytest.approx(told_loss, rel=1e-4)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    contents = []
    for seed in (3, 3, 4):
        torch.rand(seed)  # whatever was drawn before does not matter
        write_head(fitted(data(), epochs=4, seed=seed)[0], tmp_path / "head.safetensors")
        contents.append((tmp_path / "head.safetensors").read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_the_epoch_with_the_lowest_val_loss_is_kept_and_training_stops_after_patience() -> None:
    """Val labels are shuffled, so that learning makes the val loss worse and worse."""
    given = data()
    shuffled = np.random.default_rng(0).permutation(given.val_targets)
    given = TrainingData(given.train_features, given.train_targets, given.val_features, shuffled, given.loss)
    head, curves, chosen = fitted(given, epochs=40, patience=5)
    losses = [row["val_loss"] for row in curves.rows]
    assert chosen["best_step"] == int(np.argmin(losses)) < 39
    assert chosen["stopped_early"] and len(losses) == chosen["best_step"] + 1 + 5
    ours = log_loss(shuffled, softmax(image_logits(head, given.val_features), axis=1))
    assert ours == pytest.approx(min(losses), rel=1e-4)


def test_weight_decay_shrinks_weights_and_spares_biases() -> None:
    """With decay of all of the learning rate's reach and a loss of 0, weights fade and biases stay."""
    given = data(lambda logits, targets: 0 * logits.sum())
    free, decayed = (fitted(given, epochs=1, weight_decay=decay)[0] for decay in (0.0, 10.0))
    for one, two in zip(free.parameters(), decayed.parameters(), strict=True):
        if one.ndim == 2:
            assert two.abs().sum() < 0.9 * one.abs().sum()
        else:
            torch.testing.assert_close(one, two)


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [row["learning_rate"] for row in fitted(data(), epochs=20, warmup_epochs=5)[1].rows]
    assert np.argmax(rates) in (3, 4)
    assert max(rates) == pytest.approx(0.01, rel=0.02)
    assert rates[-1] == pytest.approx(0, abs=1e-4)


def test_training_that_diverges_is_not_taken_for_a_head() -> None:
    given = data(lambda logits, targets: logits.sum() * float("nan"))
    with pytest.raises(Exception, match=r"finite|diverge|nan"):
        fitted(given, epochs=3, patience=3)
