"""The test of missing fields finds what is planted, leaves alone what is not, and agrees with scipy and simulation."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from derm.description.missing import ALL, ALPHA, count_missing, holm, p_value, residuals, warnings
from tests.derm.description.tables import image_table

SEEDS = 15


def images_of(lesions: list[tuple[str, str, int]]) -> pd.DataFrame:
    """Images of lesions: class, sex, number of photographs; age alternates and is missing nowhere."""
    return image_table(
        [
            {"diagnosis": name, "sex": sex, "group": f"g{number:05d}", "age": "50", "lesion_id": f"l{number}"}
            for number, (name, sex, photographs) in enumerate(lesions)
            for _ in range(photographs)
        ]
    )


def fisher(table: np.ndarray) -> float:
    result: Any = stats.fisher_exact(table)
    return result.pvalue


def row(missing: pd.DataFrame, field: str, diagnosis: str) -> pd.Series:
    return missing[(missing["field"] == field) & (missing["diagnosis"] == diagnosis)].iloc[0]


def test_counts_by_hand() -> None:
    images = image_table(
        [
            {"diagnosis": "nv", "group": "a", "age": "40", "sex": ""},
            {"diagnosis": "nv", "group": "a", "age": "", "sex": ""},
            {"diagnosis": "nv", "group": "b", "age": "50", "sex": "male"},
            {"diagnosis": "mel", "group": "c", "age": "", "sex": "male"},
        ]
    )
    counts = ["images", "missing", "lesions", "lesions_missing"]
    missing = count_missing(images)
    assert list(row(missing, "age", "nv")[counts]) == [3, 1, 2, 0]  # a has an age in one of its photographs
    assert list(row(missing, "age", "mel")[counts]) == [1, 1, 1, 1]
    assert list(row(missing, "age", ALL)[counts]) == [4, 2, 3, 1]
    assert list(row(missing, "sex", "nv")[counts]) == [3, 2, 2, 1]
    assert row(missing, "age", ALL)["p"] == pytest.approx(1 / 3)  # one of three lesions, and it is the melanoma
    assert row(missing, "age", ALL)["p_holm"] == pytest.approx(2 / 3)
    # missing everywhere: no news
    assert row(missing, "body_site", ALL)[["missing", "images"]].tolist() == [4, 4]
    assert missing[missing["field"] == "body_site"][["p", "p_holm", "residual"]].isna().all(axis=None)


def test_lesions_vote_and_not_photographs() -> None:
    # 3 lesions of 20 photographs each: as images hopelessly significant, as lesions nothing
    lesions = [("mel", "", 20), ("mel", "", 20), ("mel", "male", 20), *[("nv", "male", 20)] * 3]
    total = row(count_missing(images_of(lesions)), "sex", ALL)
    assert total["p"] == pytest.approx(fisher(np.array([[2, 0], [1, 3]])))
    assert warnings(count_missing(images_of(lesions))) == []


def test_two_classes_by_fisher() -> None:
    table = np.array([[9, 1], [20, 70]])
    assert p_value(table) == fisher(table)


def test_several_classes_against_a_permutation_test_of_our_own() -> None:
    table = np.array([[1, 6, 0, 2], [30, 25, 8, 3]])
    classes = np.repeat(np.arange(4), table.sum(axis=0))
    lacks = np.concatenate([np.repeat([1, 0], counts) for counts in table.T])
    expected = table.sum(axis=0) * lacks.mean()

    def statistic(flags: np.ndarray) -> float:
        counts = np.bincount(classes, weights=flags, minlength=4)
        return float(((counts - expected) ** 2 * (1 / expected + 1 / (table.sum(axis=0) - expected))).sum())

    generator = np.random.default_rng(8)
    observed, draws = statistic(lacks), 4000
    larger = sum(statistic(generator.permutation(lacks)) >= observed - 1e-9 for _ in range(draws))
    p = (1 + larger) / (1 + draws)
    assert p_value(table) == pytest.approx(p, abs=4 * np.sqrt(p / draws))
    assert p_value(table) == p_value(table)


def test_many_of_each_agree_with_the_chi_square_distribution() -> None:
    table = np.array([[210, 190, 240], [800, 810, 760]])
    result: Any = stats.chi2_contingency(table, correction=False)
    exact = result.pvalue
    assert p_value(table) == pytest.approx(exact, abs=4 * np.sqrt(exact / 19_999) + 1e-4)


def test_nothing_to_test() -> None:
    for table in ([[0, 0], [3, 4]], [[3, 4], [0, 0]], [[3], [4]], [[3, 0], [4, 0]]):
        assert np.isnan(p_value(np.array(table)))


def test_residuals_by_formula() -> None:
    table = np.array([[8, 2], [12, 78]])
    # expected 2 of 20; variance 2 * 0.9 * 0.8
    assert residuals(table) == pytest.approx([6 / np.sqrt(1.44), -6 / np.sqrt(1.44)])
    assert np.isnan(residuals(np.array([[0, 0], [1, 2]]))).all()


def test_holm_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    corrected = holm(np.array([np.nan, 0.5, 0.9]))
    assert np.isnan(corrected[0]) and list(corrected[1:]) == [1.0, 1.0]


def test_the_warning_names_the_class_and_the_numbers() -> None:
    lesions = [("nv", "", 1), ("bkl", "", 1)] * 40 + [("nv", "male", 1), ("bkl", "male", 1)] * 200
    lesions += [("mel", "male", 2)] * 120
    (told,) = warnings(count_missing(images_of(lesions)))
    assert told == (
        "sex is missing for 80 images: of the 80 lesions without it none are mel, of the others 23% (p < 0.001): "
        "a model that sees 'missing' would learn the class"
    )
    lesions = [("mel", "", 1)] * 20 + [("nv", "male", 1)] * 160 + [("bcc", "male", 1)] * 20
    (told,) = warnings(count_missing(images_of(lesions)))
    assert "of the 20 lesions without it 100% are mel, of the others 0% (" in told


def test_of_two_classes_the_smaller_is_named() -> None:
    lesions = [("benign", "male", 1)] * 90 + [("malignant", "", 1)] * 9 + [("malignant", "male", 1)] * 11
    (told,) = warnings(count_missing(images_of(lesions)))
    assert "100% are malignant, of the others 11%" in told


@pytest.mark.parametrize("classes", [2, 4])
def test_planted_associations_are_found_and_random_ones_mostly_not(classes: int) -> None:
    found, false = [], []
    for seed in range(SEEDS):
        generator = np.random.default_rng(seed)
        names = generator.choice([f"c{number}" for number in range(classes)], 400)
        for chance, told in ((np.where(names == "c1", 0.25, 0.03), found), (np.full(400, 0.1), false)):
            lacks = generator.random(400) < chance
            lesions = [(str(name), "" if lack else "male", 1) for name, lack in zip(names, lacks, strict=True)]
            told.extend(warnings(count_missing(images_of(lesions))))
    assert len(found) >= 0.9 * SEEDS and all(line.startswith("sex is missing for ") for line in found)
    if classes > 2:
        assert sum("are c1, of the others" in line for line in found) >= 0.9 * SEEDS
    assert len(false) <= 1, f"{len(false)} of {SEEDS} random ones at a level of {ALPHA}"


def test_another_order_of_rows_changes_nothing() -> None:
    images = images_of([("nv", "", 2), ("nv", "male", 1), ("mel", "female", 3), ("bcc", "", 1), ("bcc", "male", 1)] * 6)
    images["group"] = images["group"] + images["diagnosis"]
    pd.testing.assert_frame_equal(count_missing(images), count_missing(images.sample(frac=1, random_state=4)))
