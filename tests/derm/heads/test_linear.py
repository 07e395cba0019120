"""The linear head against scikit-learn's logistic regression."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from derm.heads.head import Head, head_logits, image_logits
from derm.heads.linear import fit_linear
from derm.heads.training import Curves, TrainingData
from tests.derm.heads.data import data, loss_of, params


def fitted(given: TrainingData, **changes) -> tuple[Head, Curves, dict]:
    head = Head(given.train_features.shape[-1], [], 3, 0.0)
    head.fit_standardisation(given.train_features)
    return fit_linear(head, given, params(**changes))


def coefficients(head: Head) -> np.ndarray:
    """[classes, dim]: what one standard deviation more of each feature adds to the logits."""
    mean, scale = head.mean.numpy().astype(float), head.scale.numpy().astype(float)
    return (head_logits(head, mean + np.diag(scale)) - head_logits(head, mean[None])).T


def oracle(
    given: TrainingData, l2: float, weights: np.ndarray | None = None
) -> tuple[StandardScaler, LogisticRegression]:
    """scikit-learn minimises C * sum(w * loss) + ||W||^2 / 2; ours is the mean of w * loss plus l2 / 2 ||W||^2."""
    train = given.train_features[:, 0]
    scaler = StandardScaler().fit(train)
    rows = np.ones(len(given.train_targets)) if weights is None else weights[given.train_targets]
    model = LogisticRegression(C=1 / (l2 * rows.sum()), tol=1e-8, max_iter=20_000)
    return scaler, model.fit(scaler.transform(train), given.train_targets, sample_weight=rows)


def val_loss(given: TrainingData, l2: float) -> float:
    scaler, model = oracle(given, l2)
    return log_loss(given.val_targets, model.predict_proba(scaler.transform(given.val_features[:, 0])))


@pytest.mark.parametrize("l2", [1.0, 0.03, 0.001])
def test_coefficients_and_probabilities_are_those_of_scikit_learn(l2: float) -> None:
    given = data()
    head, _, chosen = fitted(given, l2=[l2])
    scaler, model = oracle(given, l2)
    assert chosen["converged"] and chosen["l2"] == l2
    ours = softmax(image_logits(head, given.val_features), axis=1)
    np.testing.assert_allclose(ours, model.predict_proba(scaler.transform(given.val_features[:, 0])), atol=2e-3)
    np.testing.assert_allclose(coefficients(head), model.coef_, atol=2e-3 * np.abs(model.coef_).max())


def test_class_weights_are_those_of_scikit_learn() -> None:
    weights = [0.5, 1.0, 4.0]
    given = data(loss_of(weights))
    head, _, _ = fitted(given, l2=[0.05])
    scaler, model = oracle(given, 0.05, np.array(weights))
    ours = softmax(image_logits(head, given.val_features), axis=1)
    np.testing.assert_allclose(ours, model.predict_proba(scaler.transform(given.val_features[:, 0])), atol=2e-3)


def test_the_penalty_with_the_lowest_val_loss_is_kept() -> None:
    """The whole sweep is done with scikit-learn too, and the best in the middle is the one chosen."""
    given = data()
    tried = [30.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.001, 0.0001]
    losses = {l2: val_loss(given, l2) for l2 in tried}
    best = min(losses, key=lambda l2: losses[l2])
    head, curves, chosen = fitted(given, l2=tried[::-1])
    assert chosen["l2"] == best and not chosen["l2_at_edge"]
    told = curves.rows[chosen["best_step"]]
    assert told["l2"] == best
    assert told["val_loss"] == pytest.approx(losses[best], abs=1e-4)
    ours = softmax(image_logits(head, given.val_features), axis=1)
    assert log_loss(given.val_targets, ours) == pytest.approx(told["val_loss"], rel=1e-9)
    assert told["val_loss"] == min(row["val_loss"] for row in curves.rows if row["step"] in last_steps(curves))


def last_steps(curves: Curves) -> set[int]:
    """The last step of each penalty: where its fit ended."""
    return set({row["l2"]: row["step"] for row in curves.rows}.values())


def test_the_best_at_the_edge_of_the_list_is_told() -> None:
    assert fitted(data(), l2=[30.0, 3.0])[2]["l2_at_edge"]


def test_train_loss_of_the_curves_is_the_loss_without_penalty() -> None:
    given = data()
    head, curves, chosen = fitted(given, l2=[0.1])
    told = curves.rows[chosen["best_step"]]["train_loss"]
    ours = softmax(image_logits(head, given.train_features), axis=1)
    assert told == pytest.approx(log_loss(given.train_targets, ours), abs=1e-5)


def test_a_constant_feature_and_a_doubled_one_do_no_harm() -> None:
    """With a copied column the weight is shared; a constant one gets none."""
    given = data()

    def widened(features: np.ndarray) -> np.ndarray:
        return np.concatenate([features, np.full((len(features), 1, 1), 7.0), features[..., :1]], axis=-1)

    wide = TrainingData(
        widened(given.train_features), given.train_targets, widened(given.val_features), given.val_targets, given.loss
    )
    head, _, chosen = fitted(wide, l2=[0.03])
    weight = coefficients(head)
    assert chosen["converged"] and np.isfinite(weight).all()
    np.testing.assert_allclose(weight[:, 8], 0, atol=1e-6)
    np.testing.assert_allclose(weight[:, 0], weight[:, 9], atol=1e-3)


def test_views_are_taken_as_images_of_their_own_in_training_and_averaged_on_val() -> None:
    """scikit-learn on all views as rows; on val the mean of the views' decision functions."""
    generator = np.random.default_rng(4)
    given = data()

    def viewed(features: np.ndarray) -> np.ndarray:
        return features + 0.3 * features.std(axis=0) * generator.normal(size=(len(features), 3, features.shape[-1]))

    views = TrainingData(
        viewed(given.train_features), given.train_targets, viewed(given.val_features), given.val_targets, given.loss
    )
    head, curves, chosen = fitted(views, l2=[0.03])
    rows = views.train_features.reshape(-1, 8)
    scaler = StandardScaler().fit(rows)
    model = LogisticRegression(C=1 / (0.03 * len(rows)), tol=1e-8, max_iter=20_000)
    model.fit(scaler.transform(rows), np.repeat(given.train_targets, 3))
    told = [model.decision_function(scaler.transform(views.val_features[:, view])) for view in range(3)]
    expected = softmax(np.mean(told, axis=0), axis=1)
    np.testing.assert_allclose(softmax(image_logits(head, views.val_features), axis=1), expected, atol=2e-3)
    loss = log_loss(given.val_targets, expected)
    assert curves.rows[chosen["best_step"]]["val_loss"] == pytest.approx(loss, abs=1e-4)


def test_the_same_data_give_the_same_bits() -> None:
    one, two = fitted(data())[0], fitted(data())[0]
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
