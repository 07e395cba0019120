"""The numbers of subgroups against scikit-learn, and their intervals."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from derm.evaluation.subgroups import proportion, subgroup_figure, subgroup_table
from derm.measures.bootstrap import group_weights

CLASSES = ["mel", "nv"]


def predictions(rows: int = 400) -> pd.DataFrame:
    generator = np.random.default_rng(3)
    told, lesions = generator.random(rows), generator.integers(0, 250, rows)
    target = (generator.random(rows) > told).astype(int)
    names = [f"l{lesion}" for lesion in lesions]
    table = pd.DataFrame({"lesion_id": names, "group": names, "target": target, "p_mel": told, "p_nv": 1 - told})
    return table.assign(decision=(told < 0.5).astype(int), flag=(told > 0.3).astype(int))


def test_numbers_are_those_of_scikit_learn_on_the_slice_alone() -> None:
    table, here = predictions(), np.arange(400) % 3 == 0
    weights = group_weights(table["group"].to_numpy(), table["target"].to_numpy(), 200, 1)
    slices = [("all", "all", np.ones(400, dtype=bool)), ("a", "third", here)]
    told: Any = subgroup_table(table, slices, CLASSES, "mel", weights).set_index(["by", "metric"]).to_dict("index")
    rows = table[here]
    melanoma = rows["target"] == 0
    expected = {
        "decision.accuracy": (rows["decision"] == rows["target"]).mean(),
        "flag.sensitivity": rows.loc[melanoma, "flag"].mean(),
        "flag.specificity": 1 - rows.loc[~melanoma, "flag"].mean(),
        "auc": roc_auc_score(melanoma, rows["p_mel"]),
    }
    for metric, value in expected.items():
        row = told["a", metric]
        assert row["value"] == pytest.approx(value, abs=1e-12)
        assert row["low"] < value < row["high"]
        whole = told["all", metric]
        assert whole["high"] - whole["low"] < row["high"] - row["low"]  # three times as many images
    facts = told["a", "auc"]
    assert (facts["images"], facts["lesions"]) == (len(rows), rows["lesion_id"].nunique())
    assert facts["positives"] == rows.loc[melanoma, "lesion_id"].nunique()


def test_without_a_positive_class_only_decisions_are_told() -> None:
    table = predictions().assign(flag="")
    slices = [("all", "all", np.ones(400, dtype=bool))]
    told = subgroup_table(table, slices, CLASSES, None, np.ones((100, 400)))
    assert list(told["metric"]) == ["decision.accuracy"] and list(told["positives"]) == [0]


def test_a_slice_of_one_class_has_no_auc() -> None:
    table = predictions()
    nevi = (table["target"] == 1).to_numpy()
    told = subgroup_table(table, [("class", "nv", nevi)], CLASSES, "mel", np.ones((100, 400)))
    assert list(told["metric"]) == ["decision.accuracy", "flag.specificity"]


@pytest.mark.parametrize(("right", "count", "few"), [(8, 19, True), (20, 20, True), (31, 40, True), (20, 40, False)])
def test_few_lesions_have_wilsons_interval_and_many_the_bootstraps(right: int, count: int, few: bool) -> None:
    """Few, or few on one side: a bootstrap of lesions that are all right would be sure of it."""
    lesions, good = np.arange(count), np.arange(count) < right
    low, high = proportion(good, lesions, np.ones((50, count)))[1:]
    wilson = binomtest(right, count).proportion_ci(method="wilson")
    expected = (wilson.low, wilson.high) if few else (right / count, right / count)
    assert (low, high) == pytest.approx(expected)


def test_photographs_of_one_lesion_are_one_for_wilson() -> None:
    """Ten photographs of two lesions, half of them right: as of one lesion out of two, not of five out of ten."""
    lesions, good = np.repeat([0, 1], 5), np.repeat([True, False], 5)
    wilson = binomtest(1, 2).proportion_ci(method="wilson")
    assert proportion(good, lesions, np.ones((50, 10))) == pytest.approx((0.5, wilson.low, wilson.high))


def test_the_picture_has_a_row_for_each_slice_and_a_panel_for_each_number() -> None:
    table = predictions()
    halves = [("side", name, np.arange(400) % 2 == side) for side, name in enumerate(("left", "right"))]
    weights = group_weights(table["group"].to_numpy(), table["target"].to_numpy(), 100, 1)
    figure = subgroup_figure(subgroup_table(table, halves, CLASSES, "mel", weights), "test")
    assert len(figure.axes) == 3
    words = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert [word.split(" (")[0] for word in words] == ["side: left", "side: right"]
    assert subgroup_figure(subgroup_table(table, [], CLASSES, "mel", weights), "test").axes  # no slice: still a picture
