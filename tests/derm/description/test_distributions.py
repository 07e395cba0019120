"""Counts against a table small enough to count by hand."""

import pandas as pd
import pytest

from derm.description.distributions import (
    age_band,
    commonest,
    count_ages,
    count_classes,
    count_reasons,
    distributions,
    gist,
)
from tests.derm.description.tables import image_table, rejected_table

TABLE = image_table(
    [
        {"diagnosis": "nv", "group": "a", "age": "45.0", "sex": "male", "width": 600, "height": 450},
        {"diagnosis": "nv", "group": "a", "age": "45.0", "sex": "male", "width": 600, "height": 450},
        {"diagnosis": "nv", "group": "b", "age": "", "sex": "female", "width": 600, "height": 450},
        {"diagnosis": "mel", "group": "c", "age": "80", "sex": "", "width": 450, "height": 600},
        {"diagnosis": "mel", "group": "c", "age": "9.5", "sex": "male", "width": 600, "height": 450},
        # one group, two diagnoses: counted in both
        {"diagnosis": "bcc", "group": "b", "age": "0", "sex": "male", "width": 600, "height": 450},
    ]
)


def rows_of(table: pd.DataFrame, field: str) -> list[tuple]:
    return list(table[table["field"] == field].drop(columns="field").itertuples(index=False, name=None))


def test_images_and_lesions_by_class() -> None:
    rows = list(count_classes(TABLE).itertuples(index=False, name=None))
    assert rows == [("nv", 3, 2), ("mel", 2, 1), ("bcc", 1, 1)]


def test_each_field_by_class() -> None:
    table = distributions(TABLE)
    assert list(table.columns) == ["field", "value", "diagnosis", "images", "lesions"]
    assert rows_of(table, "age") == [
        ("0-9", "mel", 1, 1),
        ("0-9", "bcc", 1, 1),
        ("40-49", "nv", 2, 1),
        ("80+", "mel", 1, 1),
        ("missing", "nv", 1, 1),
    ]
    assert rows_of(table, "sex") == [
        ("male", "nv", 2, 1),
        ("male", "mel", 1, 1),
        ("male", "bcc", 1, 1),
        ("female", "nv", 1, 1),
        ("missing", "mel", 1, 1),
    ]
    assert rows_of(table, "size") == [
        ("600x450", "nv", 3, 2),
        ("600x450", "mel", 1, 1),
        ("600x450", "bcc", 1, 1),
        ("450x600", "mel", 1, 1),
    ]
    assert [row[0] for row in rows_of(table, "source")] == ["missing"] * 3
    for field in table["field"].unique():
        assert sum(row[2] for row in rows_of(table, field)) == len(TABLE)


def test_ages_have_a_row_for_every_band_and_class() -> None:
    ages = count_ages(TABLE)
    assert list(ages.columns) == ["age_band", "diagnosis", "images"]
    assert len(ages) == 10 * 3 and ages["images"].sum() == 6
    assert list(ages["age_band"].unique())[:2] == ["0-9", "10-19"] and ages["age_band"].iloc[-1] == "missing"
    assert ages.set_index(["age_band", "diagnosis"]).loc[("40-49", "nv"), "images"] == 2


def test_bands_of_odd_ages() -> None:
    ages = pd.Series(["0", "9.9", "10", "79", "80.0", "120", "", "-1", "forty", "inf"])
    expected = ["0-9", "0-9", "10-19", "70-79", "80+", "80+", "missing"] + ["not a number"] * 3
    assert list(age_band(ages)) == expected


def test_the_commonest_stay_and_the_rest_is_other() -> None:
    values = pd.Series(["a", "a", "b", "b", "c", "missing", "missing", "missing"])
    assert list(commonest(values, 1)) == ["a", "a", "other", "other", "other", *["missing"] * 3]  # a and b tie: by name
    sizes = image_table([{"diagnosis": "nv", "width": 100 + number} for number in range(20)])
    shown = distributions(sizes).query("field == 'size'")
    assert len(shown) == 13 and tuple(shown.iloc[-1][["value", "images"]]) == ("other", 8)


def test_another_order_of_rows_changes_nothing() -> None:
    mixed = TABLE.sample(frac=1, random_state=2)
    for count in (count_classes, distributions, count_ages):
        pd.testing.assert_frame_equal(count(TABLE), count(mixed))


@pytest.mark.parametrize(
    ("reason", "short"),
    [
        ("12x20 pixels: the shorter side is under 32", "... pixels: the shorter side is under ..."),
        ("mask left out: mask is 3x4, its image 5x6", "mask left out: mask is ..., its image ..."),
        ("'a b/c.jpg' could leave the dataset's folder", "... could leave the dataset's folder"),
        ("\"it's\" could leave the dataset's folder", "... could leave the dataset's folder"),
        ("unknown diagnosis 'xy': expected one of akiec, bcc", "unknown diagnosis ..."),
        (
            "image_id stands at Train/a b/c.jpg, Test/d/c.jpg with different diagnoses: a b, d",
            "image_id stands at ... with different diagnoses",
        ),
        (
            "image_id stands at t.csv line 3, t.csv line 9: the first is kept",
            "image_id stands at ...: the first is kept",
        ),
        (
            "the same file stands under different diagnoses: ISIC_1 (nevus), ISIC_2 (melanoma)",
            "the same file stands under different diagnoses",
        ),
        ("cannot be decoded: image file is truncated (7 bytes not processed)",) * 2,
        ("image file not found",) * 2,
    ],
)
def test_the_gist_of_a_reason(reason: str, short: str) -> None:
    assert gist(reason) == short.replace("(7 bytes", "(... bytes")


def test_reasons_are_counted_by_gist() -> None:
    rejected = rejected_table(["file is empty", "12x20 pixels", "9x9 pixels", "a 'b'", "a 'c'"])
    assert list(count_reasons(rejected).itertuples(index=False, name=None)) == [
        ("... pixels", 2),
        ("a ...", 2),
        ("file is empty", 1),
    ]
    assert list(count_reasons(rejected_table([])).columns) == ["reason", "rows"]
