"""From params, features and a split to a head: what is refused, what is fitted on what, and what is told of it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.preprocessing import StandardScaler

from derm.embedding.features import Features
from derm.errors import UserError
from derm.heads.head import Head
from derm.heads.neighbours import Neighbours
from derm.heads.predict import image_logits, member_logits
from derm.losses import logit_offset, training_loss
from derm.task import Task
from derm.training.fit import Looks, TrainedHead, TrainingSections, fit_head, is_seeded
from derm.training.sampling import sampling_factors
from tests.derm.heads.data import head_params, table
from tests.derm.training.data import loss_params, params

CLASSES = ["bkl", "mel", "nv"]
TASK = Task(CLASSES, {name: name for name in CLASSES}, "mel")
PARTS = {"train": 180, "val": 90, "calibration": 30, "test": 40}
COUNT = sum(PARTS.values())
QUICK = {"epochs": 5, "batch_size": 45, "learning_rate": 0.02, "patience": 5}


def sections(**changes: Any) -> TrainingSections:
    """Keys of sections `head`, `loss` and `train`: no name stands in two of them."""
    given = {"hidden": [8], "metadata_hidden": [8]} | QUICK | changes
    made = head_params(), loss_params(), params()
    of = [{key: value for key, value in given.items() if key in type(one).model_fields} for one in made]
    assert sum(map(len, of)) == len(given)
    return TrainingSections(head=head_params(**of[0]), loss=loss_params(**of[1]), train=params(**of[2]))


def features_of(values: np.ndarray, tokens: np.ndarray | None = None) -> Features:
    """Values [n, dim] or [n, views, dim]. The rows stand in another order than those of the split."""
    ids = [f"i{number:03d}" for number in range(len(values))]
    values = values if values.ndim > 2 else values[:, None]
    return Features(values.astype(np.float16)[::-1], ids[::-1], {}, None if tokens is None else tokens[::-1])


def split_of(targets: np.ndarray) -> pd.DataFrame:
    """The parts take turns, so that no part is one block of rows."""
    part = np.random.default_rng(0).permutation(np.repeat(list(PARTS), list(PARTS.values())))
    ids = [f"i{number:03d}" for number in range(len(targets))]
    return pd.DataFrame({"image_id": ids, "part": part, "target": targets, "group": ids})


def images_of(split: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """The image table in an order of its own; columns: age, sex and body_site."""
    given = {"age": "50", "sex": "male", "body_site": "back", "group": split["group"]} | columns
    return pd.DataFrame({"image_id": split["image_id"]} | given).sample(frac=1, random_state=0).reset_index(drop=True)


def scaled(rows: int = COUNT, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """As `table`, of a size that fits into float16."""
    features, targets = table(rows, seed)
    return StandardScaler().fit_transform(features), targets


FEATURES, TARGETS = scaled()
SPLIT = split_of(TARGETS)
IMAGES = images_of(SPLIT)


def fit(
    features: Features | None = None,
    split: pd.DataFrame = SPLIT,
    images: pd.DataFrame = IMAGES,
    task: Task = TASK,
    looks: Looks = "both",
    **changes: Any,
) -> TrainedHead:
    return fit_head(sections(**changes), features or features_of(FEATURES), split, images, task, looks)


def rows_of(part: str, split: pd.DataFrame = SPLIT) -> np.ndarray:
    return np.flatnonzero(split["part"] == part)


def logits_of(
    head: Head,
    part: str,
    values: np.ndarray = FEATURES,
    split: pd.DataFrame = SPLIT,
    images: pd.DataFrame = IMAGES,
    tokens: np.ndarray | None = None,
) -> np.ndarray:
    """What the head says of a part."""
    chosen = split[split["part"] == part].merge(images, on="image_id", suffixes=("", "_"))
    return image_logits(head, head.inputs(features_of(values, tokens), chosen))


def same(one: Head, two: Head) -> bool:
    pairs = zip(one.state_dict().items(), two.state_dict().items(), strict=True)
    return all(name == other and torch.equal(a, b) for (name, a), (other, b) in pairs)


# What is refused.


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"type": "linear", "members": 2}, r"train\.members is 2.*linear"),
        ({"type": "knn", "members": 3}, r"train\.members is 3.*knn"),
        ({"type": "knn", "metadata": True}, r"head\.metadata.*knn"),
        ({"type": "acrnn"}, r"features\.tokens=true"),
        ({"type": "attention_pool"}, r"features\.tokens=true"),
    ],
)
def test_params_that_contradict_each_other_are_refused_in_one_line(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=rf"^[^\n]*{told}[^\n]*$"):
        fit(**changes)


@pytest.mark.parametrize("changes", [{"alpha": 0.5}, {"melanoma_boost": 2.0}, {"type": "mlp", "monitor": "hybrid"}])
def test_what_needs_a_positive_class_is_refused_without_one(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^[^\n]*task\.positive[^\n]*$"):
        fit(task=Task(CLASSES, TASK.of, None), **changes)


def test_metadata_that_nobody_noted_is_refused() -> None:
    nothing = images_of(SPLIT, age="", sex="", body_site="")
    with pytest.raises(UserError, match=r"^head\.metadata is true[^\n]*$"):
        fit(images=nothing, metadata=True)


def test_which_heads_differ_by_seed() -> None:
    seeded = {"mlp", "acrnn", "attention_pool"}
    for name in ("linear", "mlp", "acrnn", "attention_pool", "knn"):
        assert is_seeded(sections(type=name)) == (name in seeded)
    assert is_seeded(sections(type="linear", metadata=True))


# What is fitted on what.


@pytest.mark.parametrize("changes", [{"type": "linear"}, {"type": "mlp", "metadata": True}, {"type": "knn"}])
def test_nothing_is_fitted_on_calibration_and_test(changes: dict[str, Any]) -> None:
    """With other features, targets and people there, or without them, the head is the same to the bit."""
    people = np.random.default_rng(0).choice(["male", "female"], COUNT)
    away = np.concatenate([rows_of("calibration"), rows_of("test")])
    plain = fit(images=images_of(SPLIT, sex=people), **changes)
    values, targets, others = FEATURES.copy(), TARGETS.copy(), people.astype(object)
    values[away], targets[away], others[away] = 7, 0, "unheard of"
    split = SPLIT.assign(target=targets)
    other = fit(features_of(values), split, images_of(split, sex=others), **changes)
    assert same(plain.head, other.head) and plain.facts == other.facts
    kept = SPLIT[SPLIT["part"].isin(["train", "val"])].reset_index(drop=True)
    fewer = fit(split=kept, images=images_of(SPLIT, sex=people), **changes)
    assert same(plain.head, fewer.head) and plain.facts == fewer.facts


def test_val_changes_neither_means_nor_scales_nor_the_encoding() -> None:
    generator = np.random.default_rng(0)
    people = {
        "age": generator.integers(20, 90, COUNT).astype(str).astype(object),
        "sex": generator.choice(["male", "female"], COUNT).astype(object),
    }
    values, away = FEATURES.copy(), rows_of("val")
    plain = fit(images=images_of(SPLIT, **people), type="mlp", metadata=True)
    values[away] = 5
    changed = {name: column.copy() for name, column in people.items()}
    changed["age"][away], changed["sex"][away] = "85", "unheard of"
    other = fit(features_of(values), images=images_of(SPLIT, **changed), type="mlp", metadata=True)
    assert plain.head.shape == other.head.shape
    assert plain.head.shape.encoding is not None
    ages = people["age"][rows_of("train")].astype(float)
    assert plain.head.shape.encoding.age == pytest.approx((np.median(ages), ages.mean(), ages.std()))
    assert plain.facts["val_loss"] != other.facts["val_loss"]
    for one, two in zip(plain.head.members, other.head.members, strict=True):
        for name in ("mean", "scale"):
            assert torch.equal(one.state_dict()[name], two.state_dict()[name])


@pytest.mark.parametrize("kind", ["linear", "mlp", "knn"])
def test_means_and_scales_are_those_of_the_training_part(kind: str) -> None:
    member = fit(type=kind).head.members[0].state_dict()
    scaler = StandardScaler().fit(FEATURES.astype(np.float16).astype(float)[rows_of("train")])
    np.testing.assert_allclose(member["mean"], np.asarray(scaler.mean_), atol=1e-6)
    np.testing.assert_allclose(member["scale"], np.asarray(scaler.scale_), atol=1e-6)


def test_neighbours_remember_every_view_of_the_training_part() -> None:
    """Looked for by their own features, each finds itself."""
    views = np.stack([FEATURES, FEATURES + 0.5], axis=1)
    head = fit(features_of(views), type="knn", neighbours=1, sharpness=0.01).head
    memory = head.members[0].output  # pyright: ignore[reportAttributeAccessIssue]
    assert isinstance(memory, Neighbours)
    assert len(memory.bank) == 2 * PARTS["train"]
    assert torch.bincount(memory.labels.long()).tolist() == (2 * np.bincount(TARGETS[rows_of("train")])).tolist()
    told = logits_of(head, "train", views)
    assert (told.argmax(axis=1) == TARGETS[rows_of("train")]).all()


# What comes out.


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "linear"},
        {"type": "linear", "class_weights": "inverse", "tau": 0.5},
        {"type": "mlp", "members": 3, "sampling": "balanced"},
        {"type": "knn"},
    ],
)
def test_facts_are_those_of_the_head(changes: dict[str, Any]) -> None:
    trained = fit(**changes)
    for part in ("train", "val"):
        said = logits_of(trained.head, part).argmax(axis=1)
        expected = balanced_accuracy_score(TARGETS[rows_of(part)], said)
        if part == "train" and changes["type"] == "knn":
            assert "train_balanced_accuracy" not in trained.facts and "train_loss" not in trained.facts
        else:
            assert trained.facts[f"{part}_balanced_accuracy"] == pytest.approx(expected)
    if changes.get("members", 1) == 1:  # of an ensemble the facts are those of the whole, the curves of its first
        kept = trained.curves.rows[trained.best_step]
        assert trained.facts["val_loss"] == pytest.approx(kept["val_loss"], rel=1e-5)
    assert trained.facts["best_step"] == trained.best_step < trained.facts["steps"] == len(trained.curves.rows)
    assert trained.facts["fit"] in ("fits", "underfits", "overfits") and trained.why
    assert not trained.head.training


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_where_classes_are_drawn_alike_val_is_judged_as_if_they_were_frequent_alike(kind: str) -> None:
    """Else a head that is trained for balanced classes would be stopped where it does best at natural ones."""
    trained = fit(type=kind, sampling="balanced")
    of_train, targets = TARGETS[rows_of("train")], TARGETS[rows_of("val")]
    weights = len(of_train) / (3 * np.bincount(of_train))[targets]
    logits = logits_of(trained.head, "val") + trained.head.logit_offset.numpy()
    per_row = -np.log(softmax(logits, axis=1)[np.arange(len(targets)), targets])
    assert trained.facts["val_loss"] == pytest.approx((weights * per_row).mean(), rel=1e-5)
    assert abs(trained.facts["val_loss"] / per_row.mean() - 1) > 1e-3
    assert trained.curves.rows[trained.best_step]["val_loss"] == pytest.approx(trained.facts["val_loss"], rel=1e-5)


def test_a_vote_is_judged_by_cross_entropy_whatever_the_loss() -> None:
    plain = fit(type="knn")
    other = fit(type="knn", gamma=2.0, tau=1.0, class_weights="inverse", sampling="balanced")
    assert other.facts["val_loss"] == plain.facts["val_loss"]
    told = softmax(logits_of(plain.head, "val"), axis=1)
    assert plain.facts["val_loss"] == pytest.approx(log_loss(TARGETS[rows_of("val")], told), rel=1e-6)


def test_members_differ_by_seed_and_the_first_is_the_one_that_would_be_alone() -> None:
    alone, trained = fit(type="mlp"), fit(type="mlp", members=3)
    first, second, third = (member.state_dict() for member in trained.head.members)
    assert all(torch.equal(first[name], tensor) for name, tensor in alone.head.members[0].state_dict().items())
    assert trained.curves.rows == alone.curves.rows
    learned = [name for name in first if name.endswith("weight")]
    assert learned and all(
        not torch.equal(one[name], two[name])
        for name in learned
        for one, two in ((first, second), (first, third), (second, third))
    )
    assert same(trained.head, fit(type="mlp", members=3).head)
    assert not same(trained.head, fit(type="mlp", members=3, seed=2).head)


def test_each_member_stands_in_the_table() -> None:
    trained = fit(type="mlp", members=2)
    assert trained.members["member"].tolist() == [0, 1]
    chosen = SPLIT[SPLIT["part"] == "val"].merge(IMAGES, on="image_id", suffixes=("", "_"))
    each = member_logits(trained.head, trained.head.inputs(features_of(FEATURES), chosen))
    losses = [log_loss(TARGETS[rows_of("val")], softmax(one, axis=1)) for one in each]
    np.testing.assert_allclose(trained.members["val_loss"], losses, rtol=1e-4)


def test_an_ensemble_says_the_mean_of_its_members_probabilities() -> None:
    trained = fit(type="mlp", members=3)
    chosen = SPLIT[SPLIT["part"] == "val"].merge(IMAGES, on="image_id", suffixes=("", "_"))
    each = member_logits(trained.head, trained.head.inputs(features_of(FEATURES), chosen))
    assert each.shape == (3, PARTS["val"], 3)
    told = softmax(logits_of(trained.head, "val"), axis=1)
    np.testing.assert_allclose(told, softmax(each, axis=2).mean(axis=0))
    accuracy = balanced_accuracy_score(TARGETS[rows_of("val")], told.argmax(axis=1))
    assert trained.facts["val_balanced_accuracy"] == pytest.approx(accuracy)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"class_weights": "inverse"},
        {"class_weights": "effective", "effective_beta": 0.9},
        {"tau": 1.0},
        {"sampling": "balanced"},
        {"sampling": "balanced", "class_weights": "sqrt_inverse", "tau": 0.5, "melanoma_boost": 3.0, "alpha": 0.7},
    ],
)
def test_a_head_that_sees_nothing_says_the_frequencies_of_the_training_part(changes: dict[str, Any]) -> None:
    """Whatever was weighted, drawn or adjusted; the features are all alike."""
    targets = np.where(np.arange(COUNT) % 10 < 7, 2, np.where(np.arange(COUNT) % 10 < 9, 0, 1))
    split = split_of(targets)
    trained = fit(features_of(np.ones((COUNT, 2))), split, type="linear", l2=[0.1], **changes)
    frequencies = np.bincount(targets[rows_of("train", split)]) / PARTS["train"]
    told = softmax(logits_of(trained.head, "val", np.ones((COUNT, 2)), split), axis=1)
    np.testing.assert_allclose(told, np.tile(frequencies, (PARTS["val"], 1)), atol=2e-3)


def test_heads_that_draw_say_the_frequencies_too() -> None:
    """By gradient steps, with the noise of drawing: no class is off by a tenth, where balanced it would be a third."""
    targets = np.where(np.arange(COUNT) % 10 < 7, 2, np.where(np.arange(COUNT) % 10 < 9, 0, 1))
    split, nothing = split_of(targets), np.ones((COUNT, 2))
    frequencies = np.bincount(targets[rows_of("train", split)]) / PARTS["train"]
    changed: list[dict[str, Any]] = [{"sampling": "balanced"}, {"class_weights": "inverse"}, {"tau": 1.0}]
    for changes in changed:
        trained = fit(features_of(nothing), split, type="mlp", epochs=40, patience=40, batch_size=90, **changes)
        told = softmax(logits_of(trained.head, "val", nothing, split), axis=1)
        np.testing.assert_allclose(told[0], frequencies, atol=0.1)


def test_the_offset_stands_with_the_head_and_a_vote_has_none() -> None:
    changes = {"class_weights": "inverse", "tau": 0.5, "sampling": "balanced"}
    targets = TARGETS[rows_of("train")]
    loss = training_loss(loss_params(class_weights="inverse", tau=0.5), targets, 3, 1)
    expected = logit_offset(loss, sampling_factors(targets, 3, "balanced"))
    for kind in ("linear", "mlp"):
        np.testing.assert_allclose(fit(type=kind, **changes).head.logit_offset, expected, rtol=1e-6)
    assert fit(type="knn", **changes).head.logit_offset.tolist() == [0, 0, 0]


def test_balanced_sampling_of_a_linear_head_is_the_class_weight_that_does_the_same() -> None:
    one, two = fit(type="linear", sampling="balanced"), fit(type="linear", class_weights="inverse")
    np.testing.assert_allclose(logits_of(one.head, "val"), logits_of(two.head, "val"), atol=1e-6)
    plain = logits_of(fit(type="linear").head, "val")
    assert np.abs(logits_of(one.head, "val") - plain).max() > 0.05


# Metadata.


def telling_people() -> tuple[np.ndarray, pd.DataFrame]:
    """Noise for features, and a body site that tells the class nine times in ten."""
    generator = np.random.default_rng(5)
    sites = np.array(["back", "face", "foot"])
    told = np.where(generator.random(COUNT) < 0.9, TARGETS, generator.integers(0, 3, COUNT))
    images = images_of(SPLIT, body_site=sites[told], age=generator.integers(20, 90, COUNT).astype(str))
    return generator.normal(size=(COUNT, 6)), images


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_fusion_learns_from_metadata_and_an_image_only_head_does_not(kind: str) -> None:
    noise, images = telling_people()
    given = {"type": kind, "metadata": True, "epochs": 30, "patience": 30}
    accuracies = {
        looks: fit(features_of(noise), images=images, looks=looks, **given).facts["val_balanced_accuracy"]
        for looks in ("both", "image", "metadata")
    }
    assert accuracies["both"] > 0.7
    assert accuracies["metadata"] > 0.85
    assert accuracies["image"] < 0.5


def test_image_only_ignores_metadata_and_metadata_only_ignores_features() -> None:
    noise, images = telling_people()
    people = images.assign(body_site="back", age="40")
    given = {"type": "mlp", "metadata": True}
    image = [fit(images=one, looks="image", **given) for one in (images, people)]
    assert same(image[0].head, image[1].head) and image[0].head.shape.encoding is None
    assert image[0].facts == image[1].facts
    metadata = [fit(features_of(one), images=images, looks="metadata", **given) for one in (FEATURES, noise[:, :1] * 9)]
    told = [
        logits_of(one.head, "val", values, images=images)
        for one, values in zip(metadata, (FEATURES, noise[:, :1] * 9), strict=True)
    ]
    np.testing.assert_allclose(told[0], told[1])
    assert metadata[0].facts == metadata[1].facts
    assert np.ptp(told[0], axis=0).min() > 0.1


def test_image_only_is_the_head_without_metadata() -> None:
    """The same network from the same seed."""
    images = telling_people()[1]
    one = fit(images=images, looks="image", type="mlp", metadata=True)
    two = fit(images=images, type="mlp", metadata=False)
    assert same(one.head, two.head)


# Tokens.


@pytest.mark.parametrize("kind", ["acrnn", "attention_pool"])
@pytest.mark.parametrize("metadata", [False, True])
def test_heads_that_read_tokens_learn_what_stands_in_one_patch(kind: str, metadata: bool) -> None:
    """The pooled features are noise."""
    generator = np.random.default_rng(0)
    tokens = 0.3 * generator.normal(size=(COUNT, 1, 4, 3))
    tokens[np.arange(COUNT), 0, generator.integers(0, 4, COUNT)] += 3 * np.eye(3)[TARGETS]
    tokens = tokens.astype(np.float16)
    noise = generator.normal(size=(COUNT, 6))
    narrow = {"convolution": 8, "lstm": 8, "attention": 8, "queries": 2, "query_width": 8}
    changes: dict[str, Any] = {"epochs": 25, "patience": 25, "dropout": 0.0, **narrow}
    trained = fit(features_of(noise, tokens), type=kind, metadata=metadata, **changes)
    assert trained.facts["val_balanced_accuracy"] > 0.9
    said = logits_of(trained.head, "val", noise, tokens=tokens).argmax(axis=1)
    expected = balanced_accuracy_score(TARGETS[rows_of("val")], said)
    assert trained.facts["val_balanced_accuracy"] == pytest.approx(expected)
