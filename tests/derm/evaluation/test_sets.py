"""Coverage of the sets, by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import recall_score

from derm.decisions.conformal import as_text
from derm.evaluation.sets import coverage, set_numbers, write_sets

CLASSES = ["bcc", "mel"]
EACH: Any = None  # scikit-learn's word for: one number for each class
# Lesion a has two photographs, of which the sets of one hold the truth.
GIVEN = pd.DataFrame(
    {
        "lesion_id": ["a", "a", "b", "c", ""],
        "group": ["a", "a", "b", "c", "d"],
        "target": [0, 0, 1, 1, 0],
        "set": ["bcc", "mel", "bcc|mel", "", "bcc|mel"],
        "age": ["30", "30", "45", "60", ""],
    }
)
MARGINAL = np.array([[True, False], [True, False], [True, False], [False, True], [True, True]])


@pytest.mark.parametrize("seed", range(6))
def test_by_hand(seed: int) -> None:
    table = coverage(GIVEN, MARGINAL, CLASSES, np.ones((50, 5)), seed)
    by = table.set_index(["by", "name"]).to_dict("index")
    first = by["age", "under 40"]["coverage"]  # lesion a: 1 or 0, as is drawn
    assert first in (0, 1)
    assert list(by) == [
        *(("all", "all"), ("class", "bcc"), ("class", "mel")),
        *(("age", "under 40"), ("age", "40 to 59"), ("age", "60 and over"), ("age", "unknown")),
    ]
    whole, melanoma = by["all", "all"], by["class", "mel"]
    assert (whole["lesions"], whole["images"]) == (4, 5)
    assert whole["coverage"] == (2 + first) / 4
    assert whole["image_coverage"] == 3 / 5
    assert (melanoma["coverage"], melanoma["size"], melanoma["marginal_coverage"]) == (0.5, 1, 0.5)
    assert by["class", "bcc"]["marginal_coverage"] == 1
    told = binomtest(1, 2).proportion_ci(method="wilson")
    assert (melanoma["low"], melanoma["high"]) == pytest.approx((told.low, told.high))
    assert (melanoma["size_low"], melanoma["size_high"]) == (1, 1)  # every resample is the same
    names = ["conformal.coverage", "conformal.mean_size", "conformal.melanoma_coverage"]
    told_numbers = set_numbers(table, "mel").set_index("metric")
    assert list(told_numbers.index) == names
    assert list(told_numbers["value"]) == [whole["coverage"], whole["size"], 0.5]
    assert told_numbers.loc[names[2], "low"] == pytest.approx(told.low)
    assert list(set_numbers(table, None)["metric"]) == names[:2]


def test_sets_of_one_class_have_its_recall_as_coverage(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    targets, said = generator.integers(0, 2, 300), generator.integers(0, 2, 300)
    sets = np.eye(2, dtype=bool)[said]
    names = [f"l{number}" for number in range(300)]
    given = pd.DataFrame({"lesion_id": names, "group": names, "target": targets, "age": "50"})
    table = write_sets(
        given.assign(set=as_text(sets, CLASSES)), sets, CLASSES, np.ones((50, 300)), 0.1, 1, tmp_path, "test"
    )
    by_class = table[table["by"] == "class"]
    assert list(by_class["coverage"]) == pytest.approx(recall_score(targets, said, average=EACH))
    assert {path.name for path in tmp_path.iterdir()} == {"sets_test.csv", "sets_test.png"}
