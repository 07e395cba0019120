"""Which images belong to which row of a table, by hand."""

import numpy as np
import pandas as pd
import pytest

from derm.errors import UserError
from derm.evaluation.slices import by_age, by_confirmation, by_skin_tone, by_value, subgroup_slices

CLASSES = ["mel", "nv"]
ROWS = pd.DataFrame(
    {
        "age": ["39.5", "40", "59", "60", ""],
        "sex": ["male", "female", "", "male", "female"],
        "body_site": ["back", "back", "back", "back", "back"],
        "source": ["", "", "", "", ""],
        "confirmation": ["histo", "histo", "follow_up", "histo", "histo"],
        "ita": [60.0, 60.0, 5.0, np.nan, 120.0],
    }
)
TARGETS = np.array([0, 1, 1, 0, 1])


def named(slices: list) -> dict[tuple[str, str], list[int]]:
    return {(by, name): np.flatnonzero(here).tolist() for by, name, here in slices}


def test_ages_are_in_bands() -> None:
    assert named(by_age(ROWS["age"])) == {
        ("age", "under 40"): [0],
        ("age", "40 to 59"): [1, 2],
        ("age", "60 and over"): [3],
        ("age", "unknown"): [4],
    }


def test_an_unknown_value_is_a_slice_of_its_own() -> None:
    told = named(by_value("sex", ROWS["sex"]))
    assert told == {("sex", "female"): [1, 4], ("sex", "male"): [0, 3], ("sex", "unknown"): [2]}


def test_skin_tones_are_in_the_published_order() -> None:
    told = {pair: rows for pair, rows in named(by_skin_tone(ROWS["ita"])).items() if rows}
    assert list(told.items()) == [
        (("skin tone (ITA)", "very light"), [0, 1]),
        (("skin tone (ITA)", "brown"), [2]),
        (("skin tone (ITA)", "bluish light"), [4]),
        (("skin tone (ITA)", "unknown"), [3]),
    ]


def test_confirmation_parts_a_class_that_has_several_ways() -> None:
    told = named(by_confirmation(ROWS["confirmation"], TARGETS, CLASSES))
    assert told == {("confirmation", "nv, follow_up"): [2], ("confirmation", "nv, histo"): [1, 4]}


def test_what_is_the_same_for_all_is_no_subgroup() -> None:
    slices = subgroup_slices(ROWS, TARGETS, CLASSES)
    assert list(dict.fromkeys(by for by, _, _ in slices)) == ["age", "sex", "skin tone (ITA)", "confirmation"]
    assert all(here.any() for _, _, here in slices)
    for by in ("age", "sex", "skin tone (ITA)"):  # every image is in one slice of each
        np.testing.assert_array_equal(np.sum([here for kind, _, here in slices if kind == by], axis=0), np.ones(5))


def test_a_table_without_a_column_is_told() -> None:
    with pytest.raises(UserError, match="has no column sex: run `dvc repro prepare`"):
        subgroup_slices(ROWS.drop(columns="sex"), TARGETS, CLASSES)
