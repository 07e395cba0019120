"""The linear head against scikit-learn's logistic regression."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from derm.errors import UserError
from derm.heads.head import Member
from derm.heads.predict import val_logits
from derm.losses import training_loss
from derm.training.convex import FINE, LinearProblem, _BothWays, _LinearLogits, fit_linear
from derm.training.curves import Curves
from derm.training.data import TrainingData
from derm.training.fitted import Fitted
from derm.training.sampling import sampling_factors
from tests.derm.heads.data import table
from tests.derm.training.data import loss_params, params, parts, standardised_member, training_data

SWEEP = {"l2": [1.0, 0.1, 0.01, 0.001], "max_iterations": 500}


def fitted(given: TrainingData, **changes: Any) -> Fitted:
    return fit_linear(standardised_member(given, type="linear"), given, params(**(SWEEP | changes)))


def val_probabilities(member: Member, given: TrainingData) -> np.ndarray:
    with torch.no_grad():
        return softmax(val_logits(member, given.val).numpy(), axis=1)


def coefficients(member: Member) -> np.ndarray:
    """[classes, dim]: what one standard deviation more of each feature adds to the logits."""
    with torch.no_grad():
        return (member(member.mean + torch.diag(member.scale)) - member(member.mean[None])).T.numpy()


def oracle(
    given: TrainingData, l2: float, weights: np.ndarray | None = None
) -> tuple[StandardScaler, LogisticRegression]:
    """scikit-learn minimises C * sum(w * loss) + ||W||^2 / 2; ours is the mean of w * loss plus l2 / 2 ||W||^2."""
    train = given.train.source[:, 0]
    scaler = StandardScaler().fit(train)
    rows = np.ones(len(given.train_targets)) if weights is None else weights[given.train_targets]
    model = LogisticRegression(C=1 / (l2 * rows.sum()), tol=1e-8, max_iter=20_000)
    return scaler, model.fit(scaler.transform(train), given.train_targets, sample_weight=rows)


def expected(given: TrainingData, l2: float, weights: np.ndarray | None = None) -> np.ndarray:
    """Probabilities on val, by scikit-learn."""
    scaler, model = oracle(given, l2, weights)
    return model.predict_proba(scaler.transform(given.val.source[:, 0]))


@pytest.mark.parametrize("l2", [1.0, 0.03, 0.001])
def test_coefficients_and_probabilities_are_those_of_scikit_learn(l2: float) -> None:
    given = training_data()
    fit = fitted(given, l2=[l2])
    model = oracle(given, l2)[1]
    assert fit.facts == {"l2": l2, "converged": True, "l2_at_edge": True}
    assert not fit.member.training
    np.testing.assert_allclose(val_probabilities(fit.member, given), expected(given, l2), atol=2e-4)
    np.testing.assert_allclose(coefficients(fit.member), model.coef_, atol=5e-4 * np.abs(model.coef_).max())


def test_the_loss_on_val_is_that_of_scikit_learn_to_four_decimals() -> None:
    given = training_data()
    for l2 in (1.0, 0.1, 0.01, 0.001):
        told = log_loss(given.val_targets, val_probabilities(fitted(given, l2=[l2]).member, given))
        assert told == pytest.approx(log_loss(given.val_targets, expected(given, l2)), abs=1e-4)


def test_class_weights_are_those_of_scikit_learn() -> None:
    given = training_data()
    weights = np.array([0.5, 1.0, 4.0])
    weights /= weights[given.train_targets].mean()
    weighted = training_data(replace(given.loss, weights=torch.from_numpy(weights)))
    member = fitted(weighted, l2=[0.05]).member
    np.testing.assert_allclose(val_probabilities(member, given), expected(given, 0.05, weights), atol=2e-4)


def test_balanced_sampling_is_scikit_learns_balanced_class_weight() -> None:
    """As `fit_head` gives it: what cannot be drawn more often counts more."""
    features, targets = table(400, 1)
    kept = np.flatnonzero((targets != 1) | (np.arange(400) % 6 == 0))
    features, targets = features[kept], targets[kept]
    assert np.bincount(targets).min() < 0.25 * np.bincount(targets).max()
    plain = parts((features, targets), table(120, 2), training_loss(loss_params(), targets, 3, positive=None))
    factors = sampling_factors(targets, 3, "balanced")
    given = parts((features, targets), table(120, 2), plain.loss.times(factors))
    member = fitted(given, l2=[0.02]).member
    scaler = StandardScaler().fit(features)
    model = LogisticRegression(C=1 / (0.02 * len(targets)), class_weight="balanced", tol=1e-8, max_iter=20_000)
    model.fit(scaler.transform(features), targets)
    told = model.predict_proba(scaler.transform(given.val.source[:, 0]))
    np.testing.assert_allclose(val_probabilities(member, given), told, atol=2e-4)
    # And that is another answer than without.
    assert np.abs(val_probabilities(fitted(plain, l2=[0.02]).member, given) - told).max() > 0.1


def test_the_penalty_with_the_lowest_val_loss_is_kept() -> None:
    """The whole sweep is done with scikit-learn too, and the best in the middle is the one chosen."""
    given = training_data()
    tried = [30.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.001, 0.0001]
    losses = {l2: log_loss(given.val_targets, expected(given, l2)) for l2 in tried}
    best = min(losses, key=lambda l2: losses[l2])
    fit = fitted(given, l2=tried[::-1])
    assert fit.facts["l2"] == best and not fit.facts["l2_at_edge"]
    told = fit.curves.rows[fit.best_step]
    assert told["l2"] == best
    assert told["val_loss"] == pytest.approx(losses[best], abs=1e-4)
    ours = val_probabilities(fit.member, given)
    assert log_loss(given.val_targets, ours) == pytest.approx(told["val_loss"], rel=1e-9)
    assert told["val_loss"] == min(row["val_loss"] for row in ends(fit.curves))
    # Strongest first, and no further than the first that was worse.
    assert [row["l2"] for row in ends(fit.curves)] == tried[: tried.index(best) + 2]


def ends(curves: Curves) -> list[dict[str, Any]]:
    """The last step of each penalty: where its fit ended."""
    return list({row["l2"]: row for row in curves.rows}.values())


def test_the_path_has_a_fit_for_every_penalty_and_each_is_that_of_scikit_learn() -> None:
    """Also those beyond the best on val; each starts where the one before it ended, and ends where it would alone."""
    given = training_data()
    tried = [0.0001, 3.0, 0.3, 0.03, 0.003]
    curves, made = Curves(), standardised_member(given, type="linear").double()
    path = list(LinearProblem(made, given, 500).path(tried, FINE, curves))
    assert [one.l2 for one in path] == sorted(tried, reverse=True)
    assert [row["l2"] for row in ends(curves)] == sorted(tried, reverse=True)
    for one in path:
        scaler, model = oracle(given, one.l2)
        assert one.converged
        logits = made.standardise(torch.from_numpy(given.val.source[:, 0])) @ one.weight.T + one.bias
        told = model.predict_proba(scaler.transform(given.val.source[:, 0]))
        np.testing.assert_allclose(softmax(logits.numpy(), axis=1), told, atol=4e-3)
        assert one.val_loss == pytest.approx(log_loss(given.val_targets, softmax(logits.numpy(), axis=1)))


def test_the_best_at_the_edge_of_the_list_is_told() -> None:
    assert fitted(training_data(), l2=[30.0, 3.0]).facts["l2_at_edge"]


def test_too_few_iterations_are_told() -> None:
    assert not fitted(training_data(), l2=[0.001], max_iterations=2).facts["converged"]


def test_train_loss_of_the_curves_is_the_loss_without_penalty() -> None:
    given = training_data()
    fit = fitted(given, l2=[0.1])
    with torch.no_grad():
        ours = softmax(val_logits(fit.member, given.train).numpy(), axis=1)
    told = fit.curves.rows[fit.best_step]["train_loss"]
    assert told == pytest.approx(log_loss(given.train_targets, ours), abs=1e-5)


def test_a_constant_feature_and_a_doubled_one_do_no_harm() -> None:
    """With a copied column the weight is shared; a constant one gets none."""

    def widened(rows: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        return np.column_stack([rows[0], np.full(len(rows[0]), 7.0), rows[0][:, 0]]), rows[1]

    fit = fitted(parts(widened(table(240, 1)), widened(table(120, 2))), l2=[0.03])
    weight = coefficients(fit.member)
    assert fit.facts["converged"] and np.isfinite(weight).all()
    np.testing.assert_allclose(weight[:, 8], 0, atol=1e-6)
    np.testing.assert_allclose(weight[:, 0], weight[:, 9], atol=1e-3)


def test_views_are_taken_as_images_of_their_own_in_training_and_averaged_on_val() -> None:
    """scikit-learn on all views as rows; on val the mean of the views' decision functions."""
    generator = np.random.default_rng(4)

    def turned(rows: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        noise = rows[0].std(axis=0) * generator.normal(size=(len(rows[0]), 3, 8))
        return rows[0][:, None] + 0.3 * noise, rows[1]

    given = parts(turned(table(240, 1)), turned(table(120, 2)))
    fit = fitted(given, l2=[0.03])
    rows = given.train.source.reshape(-1, 8)
    scaler = StandardScaler().fit(rows)
    model = LogisticRegression(C=1 / (0.03 * len(rows)), tol=1e-8, max_iter=20_000)
    model.fit(scaler.transform(rows), np.repeat(given.train_targets, 3))
    told = [model.decision_function(scaler.transform(given.val.source[:, view])) for view in range(3)]
    probabilities = softmax(np.mean(told, axis=0), axis=1)
    np.testing.assert_allclose(val_probabilities(fit.member, given), probabilities, atol=2e-4)
    loss = log_loss(given.val_targets, probabilities)
    assert fit.curves.rows[fit.best_step]["val_loss"] == pytest.approx(loss, abs=1e-4)


def test_the_same_data_give_the_same_bits() -> None:
    one, two = (fitted(training_data()).member.state_dict() for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.values(), two.values(), strict=True))


def test_a_val_loss_that_is_no_number_is_refused() -> None:
    given = parts(table(60, 1), (np.full((9, 8), np.nan), np.arange(9) % 3))
    with pytest.raises(UserError, match=r"^the val loss .*train\.l2$"):
        fitted(given)


def test_the_gradient_is_that_of_torchs_own_linear_layer() -> None:
    drawn = torch.Generator().manual_seed(0)
    features, weight = (torch.randn(rows, 4, dtype=torch.float64, generator=drawn) for rows in (9, 3))
    bias, toward = (torch.randn(shape, dtype=torch.float64, generator=drawn) for shape in ((3,), (9, 3)))
    found = []
    for logits in (
        lambda w, b: _LinearLogits.apply(w, b, _BothWays.of(features)),
        lambda w, b: torch.nn.functional.linear(features, w, b),
    ):
        at = weight.clone().requires_grad_(), bias.clone().requires_grad_()
        found.append([(logits(*at) * toward).sum(), *torch.autograd.grad((logits(*at) ** 2 * toward).sum(), at)])
    for ours, torchs in zip(*found, strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-12, atol=1e-12)
