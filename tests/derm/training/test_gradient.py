"""Heads trained by gradient steps: they learn, repeat themselves and keep their best epoch, and each knob
does what it says."""

import copy
import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, log_loss
from torch import nn

from derm.errors import UserError
from derm.heads.head import Member
from derm.heads.predict import val_logits
from derm.losses import TrainingLoss
from derm.training import gradient
from derm.training.data import TrainingData
from derm.training.fitted import Fitted
from derm.training.gradient import Batches, adamw, fit_by_gradient
from tests.derm.heads.data import head_params, inputs, table
from tests.derm.training.data import params, parts, plain_loss, standardised_member, training_data

HEAD = {"type": "mlp", "hidden": [16]}
TRAIN = {"seed": 3, "epochs": 40, "batch_size": 16, "learning_rate": 0.01, "weight_decay": 0.0, "patience": 40}
SEED = 3


def fitted(given: TrainingData, seed: int = SEED, **changes: Any) -> Fitted:
    """Changes: keys of section `head` or of section `train`."""
    of_head = {key: changes.pop(key) for key in list(changes) if key in type(head_params()).model_fields}
    member = standardised_member(given, **(HEAD | of_head))
    return fit_by_gradient(member, given, params(**(TRAIN | changes)), seed, "test")


def state(fit: Fitted) -> dict[str, torch.Tensor]:
    return fit.member.state_dict()


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def logits(member: Member, given: TrainingData) -> np.ndarray:
    with torch.no_grad():
        return val_logits(member, given.val).numpy().astype(np.float64)


def val_loss(member: Member, given: TrainingData) -> float:
    return log_loss(given.val_targets, softmax(logits(member, given), axis=1))


class Flat(TrainingLoss):
    """Nothing to learn from."""

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return 0 * logits.sum()


class Steep(TrainingLoss):
    """A learning signal a thousand times as large."""

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return 1000 * super().__call__(logits, targets)


class Nothing(TrainingLoss):
    """No number."""

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return logits.sum() * float("nan")


def of_kind(kind: type[TrainingLoss]) -> TrainingLoss:
    plain = plain_loss()
    return kind(plain.params, plain.weights, plain.log_priors)


def test_it_overfits_a_tiny_set_with_random_labels() -> None:
    generator = np.random.default_rng(0)
    tiny = generator.normal(size=(24, 8)), generator.integers(0, 3, 24)
    given = parts(tiny, tiny)
    fit = fitted(given, dropout=0.0, epochs=150, learning_rate=0.03, patience=150)
    assert (logits(fit.member, given).argmax(axis=1) == tiny[1]).all()
    assert not fit.member.training


def test_each_epoch_draws_among_the_views() -> None:
    """Two views: only the second tells the classes apart; a head that saw but the first could not learn them."""
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 3, 90)
    told = np.eye(3)[targets] * 4 + 0.1 * generator.normal(size=(90, 3))
    views = np.stack([np.zeros_like(told), told], axis=1)
    given = parts((views, targets), (views, targets))
    fit = fitted(given, dropout=0.0, epochs=60, learning_rate=0.03, patience=60)
    assert (logits(fit.member, given).argmax(axis=1) == targets).all()
    assert fit.curves.rows[fit.best_step]["val_loss"] == pytest.approx(val_loss(fit.member, given), rel=1e-4)


EVERYTHING = {
    "batch_norm": True,
    "input_dropout": 0.1,
    "clip_norm": 1.0,
    "mixup": 0.4,
    "noise": 0.1,
    "averaging": 0.9,
    "sampling": "balanced",
    "schedule": "one_cycle",
}


@pytest.mark.parametrize("changes", [{}, EVERYTHING])
def test_the_same_seed_gives_the_same_tensors_and_another_seed_others(changes: dict[str, Any]) -> None:
    fits = []
    for seed in (3, 3, 4):
        torch.rand(seed)  # whatever was drawn before does not matter
        np.random.default_rng().random(3)
        fits.append(state(fitted(training_data(), seed, epochs=4, **changes)))
    assert same(fits[0], fits[1])
    assert all(not torch.equal(fits[0][name], fits[2][name]) for name in fits[0] if name.endswith(".weight"))


@pytest.mark.parametrize(
    "changes", [{}, EVERYTHING, {"schedule": "warm_restarts", "restart_epochs": 2}, {"epochs": 1, "warmup_epochs": 9}]
)
def test_no_warning_is_raised(changes: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(training_data(), **({"epochs": 4} | changes))


def shuffled_val() -> TrainingData:
    """Learning makes the val loss worse and worse."""
    targets = table(120, 2)[1]
    return parts(table(240, 1), (table(120, 2)[0], np.random.default_rng(0).permutation(targets)))


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_the_epoch_with_the_lowest_val_loss_is_kept_and_training_stops_after_patience(averaging: float) -> None:
    given = shuffled_val()
    fit = fitted(given, epochs=40, patience=5, averaging=averaging)
    losses = [row["val_loss"] for row in fit.curves.rows]
    assert fit.best_step == int(np.argmin(losses)) < 34
    assert fit.facts["stopped_early"] and len(losses) == fit.best_step + 1 + 5
    assert val_loss(fit.member, given) == pytest.approx(min(losses), rel=1e-4)


def test_without_anything_better_to_wait_for_all_epochs_are_trained() -> None:
    fit = fitted(training_data(), epochs=6, patience=6)
    assert len(fit.curves.rows) == 6 and not fit.facts["stopped_early"]


def test_the_epoch_with_the_best_balanced_accuracy_is_kept_where_that_is_watched() -> None:
    given = training_data()
    fit = fitted(given, epochs=30, patience=8, monitor="balanced_accuracy")
    accuracies = [row["val_balanced_accuracy"] for row in fit.curves.rows]
    assert fit.best_step == int(np.argmax(accuracies))  # of equal ones the first
    assert len(accuracies) == min(30, fit.best_step + 1 + 8)
    told = balanced_accuracy_score(given.val_targets, logits(fit.member, given).argmax(axis=1))
    assert told == pytest.approx(max(accuracies))
    assert fit.best_step != np.argmin([row["val_loss"] for row in fit.curves.rows])


def test_the_hybrid_is_watched_and_needs_a_positive_class() -> None:
    given = training_data(positive=1)
    fit = fitted(given, epochs=12, monitor="hybrid")
    hybrids = [row["val_sensitivity"] * row["val_macro_f1"] for row in fit.curves.rows]
    assert fit.best_step == int(np.argmax(hybrids))
    with pytest.raises(UserError, match="hybrid"):
        fitted(training_data(), epochs=2, monitor="hybrid")


def test_while_no_image_of_the_positive_class_is_found_the_lower_val_loss_counts() -> None:
    given = training_data(positive=1)
    train, val = (np.where(targets == 1, 0, targets) for targets in (given.train_targets, given.val_targets))
    val[np.flatnonzero(given.val_targets == 1)[0]] = 1
    rare = TrainingData(
        train=given.train, train_targets=train, val=given.val, val_targets=val, loss=plain_loss(3), positive=1
    )
    fit = fitted(rare, epochs=12, monitor="hybrid", patience=2)
    assert {row["val_sensitivity"] for row in fit.curves.rows} == {0.0}
    losses = [row["val_loss"] for row in fit.curves.rows]
    assert fit.best_step == int(np.argmin(losses)) > 0


@pytest.mark.parametrize("patience", [2, 50])
def test_training_that_diverges_is_not_taken_for_a_head(patience: int) -> None:
    with pytest.raises(UserError, match=r"^the val loss .*train\.learning_rate$"):
        fitted(training_data(of_kind(Nothing)), epochs=3, patience=patience)


def test_weight_decay_shrinks_weights_and_spares_biases_and_scales() -> None:
    """One step without anything to learn: weights lose learning rate times decay, a tenth; nothing else changes."""
    given, changes = training_data(of_kind(Flat)), {"epochs": 1, "batch_size": 240, "batch_norm": True}
    free, decayed = (fitted(given, warmup_epochs=0, weight_decay=decay, **changes) for decay in (0.0, 10.0))
    kinds = set()
    for (name, one), two in zip(free.member.named_parameters(), decayed.member.parameters(), strict=True):
        kinds.add(one.ndim)
        torch.testing.assert_close(two, 0.9 * one if one.ndim == 2 else one, msg=name)
    assert kinds == {1, 2}


def test_the_decayed_are_the_matrices() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Conv1d(1, 2, 3), nn.LSTM(4, 2))
    decayed, free = adamw(model, 0.1, 0.7).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.7, 0.0)
    of = {id(parameter): name for name, parameter in model.named_parameters()}
    assert {of[id(one)] for one in decayed["params"]} == {"0.weight", "2.weight", "3.weight_ih_l0", "3.weight_hh_l0"}
    assert len(decayed["params"]) + len(free["params"]) == len(of)


def steps_of(monkeypatch: pytest.MonkeyPatch, before: bool) -> list[dict[str, torch.Tensor]]:
    """What each step of the optimiser is given as gradients, or what stands in the member after it."""
    seen: list[dict[str, torch.Tensor]] = []

    def watched(model: nn.Module, *args: float) -> torch.optim.AdamW:
        optimiser = adamw(model, *args)

        def gradients(*_: Any) -> None:
            named = model.named_parameters()
            seen.append({name: one.grad.clone() for name, one in named if one.grad is not None})

        def tensors(*_: Any) -> None:
            seen.append(copy.deepcopy(model.state_dict()))

        if before:
            optimiser.register_step_pre_hook(gradients)
        else:
            optimiser.register_step_post_hook(tensors)
        return optimiser

    monkeypatch.setattr(gradient, "adamw", watched)
    return seen


@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
def test_clipping_bounds_the_length_of_the_gradient(clip_norm: float, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = steps_of(monkeypatch, before=True)
    fitted(training_data(of_kind(Steep)), epochs=2, clip_norm=clip_norm)
    lengths = [math.sqrt(sum(float(one.double().square().sum()) for one in step.values())) for step in seen]
    assert len(lengths) == 2 * 15
    if clip_norm:
        assert lengths == pytest.approx([clip_norm] * len(lengths), rel=1e-4)
    else:
        assert min(lengths) > 10


@pytest.mark.parametrize("batch_norm", [False, True])
def test_averaging_is_an_exponential_moving_average(batch_norm: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first step on: a = s_1, then 0.8 a + 0.2 s; the running statistics of batch norm too."""
    seen = steps_of(monkeypatch, before=False)
    fit = fitted(training_data(), epochs=1, batch_size=48, averaging=0.8, batch_norm=batch_norm)
    assert len(seen) == 5
    names = [name for name, tensor in seen[0].items() if tensor.is_floating_point()]
    expected = {name: seen[0][name].double() for name in names}
    for step in seen[1:]:
        expected = {name: 0.8 * expected[name] + 0.2 * step[name].double() for name in names}
    assert any(name.endswith("running_var") for name in names) == batch_norm
    for name in names:
        torch.testing.assert_close(state(fit)[name].double(), expected[name], rtol=1e-5, atol=1e-6)
    moved = [name for name in names if not torch.allclose(state(fit)[name], seen[-1][name], rtol=1e-3)]
    assert len(moved) >= 4


def test_the_average_is_what_is_judged_on_val() -> None:
    given = training_data()
    fit = fitted(given, epochs=8, averaging=0.9, batch_norm=True)
    assert fit.curves.rows[fit.best_step]["val_loss"] == pytest.approx(val_loss(fit.member, given), rel=1e-4)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_a_last_batch_of_one_image_is_left_out(
    batch_norm: bool, averaging: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = steps_of(monkeypatch, before=False)
    given = parts(table(33, 1), table(20, 2))
    fit = fitted(given, epochs=3, batch_norm=batch_norm, averaging=averaging)
    assert len(seen) == 3 * 2
    # The schedule counts with those that are trained.
    assert fit.curves.rows[-1]["learning_rate"] == pytest.approx(0, abs=1e-9)
    assert all(tensor.isfinite().all() for tensor in state(fit).values())


def test_a_batch_of_one_image_cannot_be_asked_for() -> None:
    with pytest.raises(ValueError, match="batch_size"):
        params(batch_size=1)


def test_the_learning_rate_of_the_curves_rises_and_falls() -> None:
    rates = [row["learning_rate"] for row in fitted(training_data(), epochs=20, warmup_epochs=5).curves.rows]
    assert np.argmax(rates) in (3, 4)
    assert max(rates) == pytest.approx(0.01, rel=0.02)
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_the_train_loss_of_the_curves_is_that_of_the_batches() -> None:
    """Two batches of 160 and 80: the mean over images, not over batches."""
    given = training_data()
    fit = fitted(given, epochs=1, batch_size=160, learning_rate=1e-12, dropout=0.0)
    with torch.no_grad():
        told = softmax(val_logits(fit.member, given.train).double().numpy(), axis=1)
    assert fit.curves.rows[0]["train_loss"] == pytest.approx(log_loss(given.train_targets, told), rel=1e-5)


def test_mixup_with_all_of_the_first_image_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    without = fitted(training_data(), epochs=3)
    order = torch.Generator().manual_seed(0)
    monkeypatch.setattr(Batches, "_mixture", lambda self, count: (1.0, torch.randperm(count, generator=order)))
    assert same(state(fitted(training_data(), epochs=3, mixup=0.4)), state(without))


def test_the_loss_of_mixup_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.3 of each image and 0.7 of the one before it in the batch: the cross-entropies in the same shares."""
    given = training_data()
    monkeypatch.setattr(Batches, "_mixture", lambda self, count: (0.3, torch.arange(count).roll(1)))
    fit = fitted(given, epochs=1, batch_size=240, learning_rate=1e-12, dropout=0.0, mixup=1.0)
    rows = torch.randperm(240, generator=torch.Generator().manual_seed(SEED)).numpy()
    moments = given.train.moments()
    features = ((given.train.source[:, 0] - moments[0]) / moments[1])[rows]
    mixed = torch.from_numpy(0.3 * features + 0.7 * np.roll(features, 1, axis=0)).float()
    with torch.no_grad():
        told = softmax(fit.member.from_standardised(mixed).double().numpy(), axis=1)
    targets = given.train_targets[rows]
    expected = 0.3 * log_loss(targets, told) + 0.7 * log_loss(np.roll(targets, 1), told)
    assert fit.curves.rows[0]["train_loss"] == pytest.approx(expected, rel=1e-5)


def test_tokens_are_trained_on_too() -> None:
    """One bright patch and two half as dark, or the other way round: the mean of all three tells nothing."""
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 2, 80)
    tokens = 0.2 * generator.normal(size=(80, 1, 3, 4))
    tokens[..., 0] += np.where(targets == 1, -1, 1)[:, None, None] * np.array([2.0, -1.0, -1.0])
    given = TrainingData(
        train=inputs(tokens),
        train_targets=targets,
        val=inputs(tokens),
        val_targets=targets,
        loss=plain_loss(2),
        positive=None,
    )
    fit = fitted(given, type="attention_pool", queries=2, query_width=8, dropout=0.0, learning_rate=0.03)
    assert (logits(fit.member, given).argmax(axis=1) == targets).mean() > 0.9
