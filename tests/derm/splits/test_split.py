"""Splits over many random datasets: nothing leaks, nothing is missing, and who asks does not matter."""

import numpy as np
import pandas as pd
import pytest

from derm.errors import UserError
from derm.splits.params import PARTS, SplitParams
from derm.splits.split import audit, split_images
from tests.derm.splits.data import CLASSES, lesions_of, params, task_of, where


def split_groups(images: pd.DataFrame, wanted: SplitParams) -> pd.DataFrame:
    return split_images(images, task_of(images), wanted).table


def dataset(seed: int, lesions: int = 150) -> pd.DataFrame:
    """Lesions of one to four images; three in a hundred have an image of another diagnosis."""
    generator = np.random.default_rng(seed)
    rows = []
    for lesion in range(lesions):
        diagnosis = CLASSES[lesion % 3] if lesion < 60 else str(generator.choice(CLASSES, p=[0.1, 0.2, 0.7]))
        for _ in range(generator.integers(1, 5)):
            other = str(generator.choice(CLASSES)) if generator.random() < 0.03 else diagnosis
            rows.append({"lesion_id": f"L{lesion}", "diagnosis": other})
    table = pd.DataFrame(rows)
    table["image_id"] = [f"i{number:04d}" for number in generator.permutation(len(table))]
    table["source_part"] = ""
    table["group"] = table.groupby("lesion_id")["image_id"].transform("min")
    return table.sort_values("image_id", ignore_index=True)


def assert_sound(split: pd.DataFrame, images: pd.DataFrame) -> None:
    """By hand, image by image: one part a lesion, every class in every part, targets by alphabet."""
    parts: dict[str, str] = {}
    seen = set()
    for row, image in zip(split.to_dict("records"), images.to_dict("records"), strict=True):
        assert row["image_id"] == image["image_id"] and row["group"] == image["group"]
        assert row["part"] in PARTS
        assert parts.setdefault(image["lesion_id"], row["part"]) == row["part"]
        assert CLASSES[row["target"]] == image["diagnosis"]
        seen.add((row["part"], image["diagnosis"]))
    assert len(seen) == len(PARTS) * len(CLASSES)


@pytest.mark.parametrize("seed", range(12))
def test_holdout_is_sound_and_of_the_asked_size(seed: int) -> None:
    images = dataset(seed)
    split = split_groups(images, params(seed=seed))
    assert_sound(split, images)
    lesions = split.groupby("part")["group"].nunique() / images["group"].nunique()
    for part, share in {"train": 0.5, "val": 0.15, "calibration": 0.15, "test": 0.2}.items():
        assert lesions[part] == pytest.approx(share, abs=0.015)  # whole lesions of 150, rounded three times
    assert set(split["fold"]) == {""}
    common = images.groupby("group")["diagnosis"].agg(lambda names: names.mode()[0])
    test_share = common[split.loc[split["part"] == "test", "group"].unique()].value_counts() / common.value_counts()
    np.testing.assert_allclose(test_share, 0.2, atol=0.06)


@pytest.mark.parametrize("seed", range(5))
def test_kfold_tests_every_lesion_once_and_folds_do_not_depend_on_the_one_asked_for(seed: int) -> None:
    images = dataset(seed)
    splits = [split_groups(images, params(scheme="kfold", fold=fold, seed=seed)) for fold in range(4)]
    tested: list[str] = []
    for fold, split in enumerate(splits):
        assert_sound(split, images)
        assert list(split["fold"]) == list(splits[0]["fold"])
        held_out = split[split["part"] == "test"]
        assert set(held_out["fold"]) == {str(fold)}
        tested += list(held_out["image_id"])
        rest = split[split["part"] != "test"].groupby("part")["group"].nunique()
        np.testing.assert_allclose(rest / rest.sum(), [0.15 / 0.8, 0.5 / 0.8, 0.15 / 0.8], atol=0.02)
    assert sorted(tested) == sorted(images["image_id"])


@pytest.mark.parametrize("scheme", ["holdout", "kfold"])
def test_deterministic_whatever_the_order_of_rows(scheme: str) -> None:
    images = dataset(3)
    split = where(split_groups(images, params(scheme=scheme)))
    shuffled = images.sample(frac=1, random_state=0)
    assert where(split_groups(images, params(scheme=scheme))) == split
    assert where(split_groups(shuffled, params(scheme=scheme))) == split
    assert where(split_groups(shuffled.reset_index(drop=True), params(scheme=scheme))) == split
    assert where(split_groups(images, params(scheme=scheme, seed=2))) != split


def refusal(images: pd.DataFrame, wanted: SplitParams) -> str:
    with pytest.raises(UserError) as caught:
        split_groups(images, wanted)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_too_few_lesions_are_told_with_their_numbers() -> None:
    few = lesions_of(bcc=2, mel=3, nv=90)
    assert "each of 4 parts (train, val, calibration, test): bcc has 2, mel has 3 (the others: nv 90)" in refusal(
        few, params()
    )
    assert "fold 9): mel has 9" in refusal(lesions_of(bcc=10, mel=9, nv=90), params(scheme="kfold", folds=10))
    assert "test): bcc has 3" in refusal(lesions_of(bcc=3, mel=9, nv=90), params(scheme="kfold", folds=2))


def test_a_part_too_small_for_all_classes_is_told_with_its_numbers() -> None:
    assert "each of 3 classes" in refusal(lesions_of(bcc=5, mel=5, nv=5), params(val=0.05, calibration=0.05))


def test_few_lesions_are_split_or_refused_but_never_missing_from_a_part() -> None:
    ends = set()
    for rare in range(4, 12):
        for seed in range(4):
            for scheme in ("holdout", "kfold"):
                images = lesions_of(bcc=rare, mel=25, nv=60)
                try:
                    split = split_groups(images, params(seed=seed, scheme=scheme))
                except UserError as error:
                    assert "bcc" in str(error) and str(rare) in str(error)
                    ends.add("refused")
                else:
                    assert_sound(split, images)
                    ends.add("split")
    assert ends == {"refused", "split"}


def test_audit_finds_a_planted_leak() -> None:
    images = dataset(0)
    split = split_groups(images, params())
    audit(split, images, CLASSES)
    lesion = images["lesion_id"].value_counts().index[0]
    row = images.index[images["lesion_id"] == lesion][0]
    other = "train" if str(split.loc[row, "part"]) == "test" else "test"
    split.loc[row, "part"] = other
    with pytest.raises(UserError, match="stands in 2 parts"):
        audit(split, images, CLASSES)
    # a lesion that was given two groups is found by its lesion id
    with pytest.raises(UserError, match=f"lesion_id {lesion} stands in 2 parts"):
        audit(split, images.assign(group=images["image_id"]), CLASSES)


def test_audit_lets_unknown_lesions_stand_anywhere() -> None:
    images = dataset(0)
    split = split_groups(images, params())
    audit(split, images.assign(lesion_id=""), CLASSES)


def test_audit_finds_a_class_that_is_missing_from_a_part() -> None:
    images = dataset(0)
    split = split_groups(images, params())
    gone = (split["part"] == "calibration") & (split["target"] == 1)
    with pytest.raises(UserError, match="class mel has no image in part calibration"):
        audit(split[~gone], images[~gone], CLASSES)


def test_audit_tells_the_number_of_parts_of_the_group_it_names() -> None:
    images = pd.DataFrame({"group": list("aabbb"), "lesion_id": ""})
    split = pd.DataFrame({"group": list("aabbb"), "part": ["train", "val", "train", "val", "test"], "target": 0})
    with pytest.raises(UserError, match="group a stands in 2 parts"):
        audit(split, images, ["nv"])


def test_a_lesion_of_two_diagnoses_counts_as_its_commoner_one_and_on_a_tie_as_the_rarer_class() -> None:
    """With one bcc lesion too few, only the tied lesion can be the fourth."""
    images = lesions_of(bcc=3, mel=20, nv=60)
    tied = pd.DataFrame({"image_id": ["x1", "x2"], "group": "x1", "lesion_id": "x", "diagnosis": ["nv", "bcc"]})
    more = pd.DataFrame({"image_id": ["x3"], "group": "x1", "lesion_id": "x", "diagnosis": ["nv"]})
    assert "bcc has 3" in refusal(pd.concat([images, tied, more], ignore_index=True), params())
    try:
        split_groups(pd.concat([images, tied], ignore_index=True), params())
    except UserError as error:
        assert "bcc has 3" not in str(error)


def test_rare_classes_are_learnt_and_not_measured_but_not_all_and_not_the_flagged_one() -> None:
    rare = params(rare="train")
    images = lesions_of(bcc=2, mel=20, nv=60)
    split = split_groups(images, rare)
    assert set(split.loc[split["target"] == 0, "part"]) == {"train"}
    assert "task.positive is mel, which has no image in part val" in refusal(lesions_of(bcc=20, mel=2, nv=60), rare)
    for scheme in ("holdout", "kfold"):
        assert "too few lesions" in refusal(lesions_of(bcc=2, mel=3, nv=3), params(rare="train", scheme=scheme))
