"""What a split is said to look like, counted by hand."""

import pandas as pd
import pytest

from derm.splits.balance import class_balance, split_digest, summary

SPLIT = pd.DataFrame(
    {
        "image_id": list("abcdefg"),
        "group": list("aacdeff"),
        "part": ["train", "train", "train", "val", "calibration", "test", "left_out"],
        "fold": "",
        "target": [0, 0, 1, 0, 1, 1, 1],
    }
)


def test_counts_and_shares() -> None:
    balance = class_balance(SPLIT, ["mel", "nv"]).set_index(["part", "diagnosis"])
    assert (balance["images"]["train", "mel"], balance["groups"]["train", "mel"]) == (2, 1)
    assert balance.loc[("train", "mel"), "share"] == pytest.approx(2 / 3)
    assert balance.loc[("train", "mel"), "difference"] == pytest.approx(
        2 / 3 - 3 / 6
    )  # what is left out does not count
    assert balance.loc[("left_out", "nv"), "images"] == 1
    told = summary(SPLIT, balance.reset_index())
    assert told["train"] == {
        "images": 3,
        "groups": 2,
        "images_by_class": {"mel": 2, "nv": 1},
        "groups_by_class": {"mel": 1, "nv": 1},
    }


def test_the_digest_knows_who_stands_where_and_nothing_else() -> None:
    digest = split_digest(SPLIT)
    assert split_digest(SPLIT.sample(frac=1, random_state=1)) == digest
    assert split_digest(SPLIT.assign(target=9, group="z")) == digest
    assert split_digest(SPLIT.assign(part=SPLIT["part"].replace("val", "test"))) != digest
    assert split_digest(SPLIT.assign(fold=["1", *[""] * 6])) != digest
