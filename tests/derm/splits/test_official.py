"""The source's own test set is kept whole, and nothing of it is trained on."""

import numpy as np
import pandas as pd
import pytest

from derm.errors import UserError
from derm.splits.split import split_images
from tests.derm.splits.data import lesions_of, params, task_of


def dataset(seed: int, with_val: bool) -> pd.DataFrame:
    """Lesions of one to three images whose source has put every image on its own into a part: many leaks."""
    generator = np.random.default_rng(seed)
    lesions = lesions_of(bcc=40, mel=60, nv=200)
    images = lesions.loc[lesions.index.repeat(generator.integers(1, 4, len(lesions)))].reset_index(drop=True)
    images["image_id"] = [f"i{number:04d}" for number in generator.permutation(len(images))]
    names = ["train", "val", "test", ""] if with_val else ["train", "test"]
    images["source_part"] = generator.choice(names, len(images), p=[0.7, 0.1, 0.15, 0.05] if with_val else [0.85, 0.15])
    return images


@pytest.mark.parametrize("with_val", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_test_is_the_sources_and_no_group_is_on_two_sides(seed: int, with_val: bool) -> None:
    images = dataset(seed, with_val)
    split = split_images(images, task_of(images), params(scheme="official", seed=seed)).table
    part, said = dict(zip(split["image_id"], split["part"], strict=True)), images.set_index("image_id")["source_part"]
    assert {name for name, where in part.items() if where == "test"} == set(said[said == "test"].index)
    tested = set(images.loc[images["source_part"] == "test", "group"])
    judged = set(images.loc[images["source_part"] == "val", "group"]) | tested
    for image in images.itertuples():
        where = part[str(image.image_id)]
        if image.source_part == "":
            assert where == "left_out"
        elif image.source_part == "val":
            assert where == ("left_out" if image.group in tested else "val")
        elif image.source_part == "train":
            assert (where == "left_out") == (image.group in judged)
    sides = split[split["part"] != "left_out"].groupby("group")["part"].nunique()
    assert sides.max() == 1
    groups = split[split["part"].isin(["train", "val", "calibration"])].drop_duplicates("group")["part"]
    shares = groups[groups != "val"].value_counts(normalize=True) if with_val else groups.value_counts(normalize=True)
    expected = 0.15 / 0.65 if with_val else 0.15 / 0.8
    assert shares["calibration"] == pytest.approx(expected, abs=0.02)


def test_a_source_without_a_test_set_is_told() -> None:
    images = lesions_of(bcc=10, mel=10, nv=10).assign(source_part="train")
    with pytest.raises(UserError, match="names no test images"):
        split_images(images, task_of(images), params(scheme="official"))


def test_nothing_left_to_train_on_is_told() -> None:
    images = lesions_of(bcc=10, mel=10, nv=10).assign(source_part="test")
    with pytest.raises(UserError, match="no image to train on"):
        split_images(images, task_of(images), params(scheme="official"))


def test_a_class_that_the_source_does_not_test_is_told_by_name() -> None:
    images = lesions_of(bcc=20, mel=20, nv=60).assign(source_part="train")
    images.loc[images["diagnosis"].isin(["nv", "mel"]) & images["image_id"].str.endswith("5"), "source_part"] = "test"
    with pytest.raises(UserError, match="class bcc has no image in part test"):
        split_images(images, task_of(images), params(scheme="official"))
    split = split_images(images, task_of(images), params(scheme="official", rare="train")).table
    assert set(split.loc[split["target"] == 0, "part"]) == {"train", "val", "calibration"}
