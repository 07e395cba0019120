"""The headline numbers carry the names that other tools rely on, and the values of scikit-learn."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from derm.errors import UserError
from derm.files import read_csv, write_csv
from derm.measures import weighted
from derm.measures.calibration import classwise_calibration_error
from derm.measures.headline import headline, nested, shares
from derm.measures.per_class import class_table, per_class
from tests.derm.measures.data import random_predictions

CLASSES = ["bcc", "mel", "nv", "vasc"]
NOT: Any = False

# DESIGN.md, section 4; accuracy and macro F1 of the decision beside its balanced accuracy
GENERAL = {"accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "macro_auc"}
GENERAL |= {"nll", "brier", "ece", "classwise_ece"}
OF_MELANOMA = {
    "auc",
    "partial_auc_above_80_sensitivity",
    "average_precision",
    "sensitivity",
    "specificity",
    "precision",
}
AT = {"partial_auc_above_80_sensitivity", "specificity_at_95_sensitivity", "sensitivity_at_95_specificity"}
DECISION_ALONE = {"decision.accuracy", "decision.balanced_accuracy", "decision.macro_f1"}
DECISION = {"melanoma_sensitivity", "melanoma_specificity"}
FLAG = {"sensitivity", "specificity", "precision"}


def predictions(seed: int = 0, rows: int = 70) -> tuple[pd.DataFrame, np.ndarray]:
    """A predictions table, with decisions and flags that differ from what is predicted, and weights."""
    given = random_predictions(seed, rows)
    generator = np.random.default_rng(seed + 100)
    table = pd.DataFrame(given.probabilities, columns=[f"p_{name}" for name in CLASSES])
    decision = np.where(generator.random(rows) < 0.3, generator.integers(0, 4, rows), given.predicted)
    table = table.assign(target=given.targets, predicted=given.predicted, decision=decision)
    return table.assign(flag=(generator.random(rows) < 0.4).astype(int).astype(str)), given.weights


def test_the_names_are_those_of_the_contract() -> None:
    names = set(headline(predictions()[0], CLASSES, "mel"))
    expected = (
        GENERAL
        | DECISION_ALONE
        | {f"melanoma.{name}" for name in OF_MELANOMA | AT}
        | {f"decision.{name}" for name in DECISION}
        | {f"flag.{name}" for name in FLAG}
    )
    assert names == expected


def test_without_a_positive_class_melanoma_and_flags_are_absent() -> None:
    assert set(headline(predictions()[0], CLASSES, None)) == GENERAL | DECISION_ALONE


def test_another_positive_class_goes_by_its_own_name() -> None:
    names = set(headline(predictions()[0], CLASSES, "bcc"))
    assert {"bcc.auc", "decision.bcc_sensitivity"} <= names
    assert not any("melanoma" in name for name in names)


@pytest.mark.parametrize("name", ["accuracy", "ece", "flag", "decision", "flag.x"])
def test_a_positive_class_that_is_called_as_a_number_is_refused(name: str) -> None:
    table = predictions()[0].rename(columns={"p_bcc": f"p_{name}"})
    with pytest.raises(UserError, match=r"rename this class by data\.label_map"):
        headline(table, [name, *CLASSES[1:]], name)
    assert "accuracy" in headline(table, [name, *CLASSES[1:]], "mel")  # no number is called after another class


@pytest.mark.parametrize("seed", range(3))
def test_values_are_those_of_scikit_learn(seed: int) -> None:
    table, weights = predictions(seed)
    numbers = headline(table, CLASSES, "mel", weights)
    probabilities = table[[f"p_{name}" for name in CLASSES]].to_numpy()
    y, predicted, decision, flag = table["target"], table["predicted"], table["decision"], table["flag"].astype(int)
    for index, row in enumerate(weights):
        w: dict[str, Any] = {"sample_weight": row}
        expected = {
            "accuracy": metrics.accuracy_score(y, predicted, **w),
            "balanced_accuracy": metrics.balanced_accuracy_score(y, predicted, **w),
            "macro_f1": metrics.f1_score(y, predicted, average="macro", **w),
            "weighted_f1": metrics.f1_score(y, predicted, average="weighted", **w),
            "macro_auc": np.mean([metrics.roc_auc_score(y == k, probabilities[:, k], **w) for k in range(4)]),
            "nll": metrics.log_loss(y, probabilities, **w),
            "brier": metrics.brier_score_loss(y, probabilities, labels=range(4), scale_by_half=NOT, **w),
            "melanoma.auc": metrics.roc_auc_score(y == 1, probabilities[:, 1], **w),
            "melanoma.average_precision": metrics.average_precision_score(y == 1, probabilities[:, 1], **w),
            "melanoma.sensitivity": metrics.recall_score(y == 1, predicted == 1, **w),
            "melanoma.specificity": metrics.recall_score(y != 1, predicted != 1, **w),
            "melanoma.precision": metrics.precision_score(y == 1, predicted == 1, **w),
            "decision.accuracy": metrics.accuracy_score(y, decision, **w),
            "decision.macro_f1": metrics.f1_score(y, decision, average="macro", **w),
            "decision.balanced_accuracy": metrics.balanced_accuracy_score(y, decision, **w),
            "decision.melanoma_sensitivity": metrics.recall_score(y == 1, decision == 1, **w),
            "decision.melanoma_specificity": metrics.recall_score(y != 1, decision != 1, **w),
            "flag.sensitivity": metrics.recall_score(y == 1, flag, **w),
            "flag.specificity": metrics.recall_score(y != 1, 1 - flag, **w),
            "flag.precision": metrics.precision_score(y == 1, flag, **w),
        }
        for name, value in expected.items():
            assert numbers[name][index] == pytest.approx(value, abs=1e-9), name


def test_per_class_values_are_those_of_scikit_learn() -> None:
    table, weights = predictions()
    numbers = per_class(table, CLASSES, weights)
    for k, name in enumerate(CLASSES):
        y, said, w = table["target"] == k, table["predicted"] == k, {"sample_weight": weights[0]}
        expected = {
            "sensitivity": metrics.recall_score(y, said, **w),
            "specificity": metrics.recall_score(~y, ~said, **w),
            "precision": metrics.precision_score(y, said, **w),
            "f1": metrics.f1_score(y, said, **w),
            "auc": metrics.roc_auc_score(y, table[f"p_{name}"], **w),
        }
        for measure, value in expected.items():
            assert numbers[f"{name}.{measure}"][0] == pytest.approx(value, abs=1e-9), (name, measure)


def test_unweighted_is_one_resample() -> None:
    table, _ = predictions()
    plain, ones = headline(table, CLASSES, "mel"), headline(table, CLASSES, "mel", np.ones((1, len(table))))
    for name, value in plain.items():
        assert value.shape == (1,), name
        np.testing.assert_array_equal(value, ones[name])


def test_a_class_without_an_image_is_left_out_of_the_macro_auc() -> None:
    table, _ = predictions()
    table = table[table["target"] != 3]
    areas = [metrics.roc_auc_score(table["target"] == k, table[f"p_{CLASSES[k]}"]) for k in range(3)]
    assert headline(table, CLASSES, "mel")["macro_auc"][0] == pytest.approx(np.mean(areas))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_one_class_alone_has_a_macro_auc_of_nan() -> None:
    table, weights = predictions()
    table = table[table["target"] == 2]
    assert headline(table, CLASSES, "mel", weights[:, table.index])["macro_auc"].shape == (len(weights),)


def test_nested_leaves_out_what_is_nan() -> None:
    numbers = {"a": np.float64(1.5), "b.c": 2.0, "b.d": np.nan, "b.e.f": 0.0, "g.h": float("nan")}
    assert nested(numbers) == {"a": 1.5, "b": {"c": 2.0, "e": {"f": 0.0}}}


def test_the_other_numbers_are_those_of_their_functions() -> None:
    """Which class, which bins and which level they are asked for; the functions have tests of their own."""
    table, weights = predictions()
    probabilities, y = table[[f"p_{name}" for name in CLASSES]].to_numpy(), table["target"].to_numpy()
    scores, positive = probabilities[:, 1], y == 1
    expected = {
        "ece": weighted.expected_calibration_error(probabilities, y, weights, 7),
        "classwise_ece": classwise_calibration_error(probabilities, y, weights, 7),
        "melanoma.partial_auc_above_80_sensitivity": weighted.partial_area_under_roc(scores, positive, 0.8, weights),
        "melanoma.specificity_at_95_sensitivity": weighted.specificity_at_sensitivity(scores, positive, 0.95, weights),
        "melanoma.sensitivity_at_95_specificity": weighted.sensitivity_at_specificity(scores, positive, 0.95, weights),
    }
    numbers = headline(table, CLASSES, "mel", weights, bins=7)
    for name, value in expected.items():
        np.testing.assert_array_equal(numbers[name], value)


def test_the_table_by_class_by_hand() -> None:
    """Class 0: of images of lesions a, a, b two are told; class 1: of c and d one, and c is told as 0. A bootstrap of
    two draws, the data itself and the data without lesion b: F1 2/3 and 4/5. A recall of two lesions has Wilson's."""
    given = pd.DataFrame(
        {
            "target": [0, 0, 0, 1, 1],
            "predicted": [0, 0, 1, 0, 1],
            "lesion_id": ["a", "a", "", "c", "d"],
            "group": ["a", "a", "b", "c", "d"],
            "p_x": [0.9, 0.6, 0.4, 0.7, 0.1],
            "p_y": [0.1, 0.4, 0.6, 0.3, 0.9],
        }
    )
    rows = class_table(given, ["x", "y"], np.array([[1.0] * 5, [1, 1, 0, 1, 1]]), "test").to_dict("records")
    assert [(row["diagnosis"], row["images"], row["groups"]) for row in rows] == [("x", 3, 2), ("y", 2, 2)]
    first = rows[0]
    assert (first["sensitivity"], first["specificity"], first["precision"]) == pytest.approx((2 / 3, 1 / 2, 2 / 3))
    # Of the 6 pairs of an x and a y, .6 and .4 lie below .7.
    assert (first["f1"], first["auc"]) == pytest.approx((2 / 3, 4 / 6))
    # 2.5 and 97.5 % of the way from 2/3 to 4/5.
    assert (first["f1_low"], first["f1_high"]) == pytest.approx((2 / 3 + 0.025 * 2 / 15, 2 / 3 + 0.975 * 2 / 15))
    z = 1.959964
    middle, half = (2 / 3 + z**2 / 4) / (1 + z**2 / 2), z / (1 + z**2 / 2) * (1 / 9 + z**2 / 16) ** 0.5
    ends = (first["sensitivity_low"], first["sensitivity_high"])
    assert ends == pytest.approx((middle - half, middle + half), abs=1e-6)


def test_the_table_by_class_is_empty_where_a_class_is_neither_true_nor_predicted(tmp_path: Path) -> None:
    table, weights = predictions()
    table = table.assign(p_other=0.0, lesion_id="", group=[str(row) for row in range(len(table))])
    write_csv(tmp_path / "table.csv", class_table(table, [*CLASSES, "other"], weights, "test"))
    row = read_csv(tmp_path / "table.csv").to_dict("records")[-1]
    assert row["diagnosis"] == "other" and row["specificity"] == "1.000000"
    for measure in ("sensitivity", "precision", "f1", "auc"):
        assert [row[measure], row[f"{measure}_low"], row[f"{measure}_high"]] == ["", "", ""]


def test_shares_are_the_headline_numbers_of_that_name() -> None:
    generator = np.random.default_rng(4)
    columns = {name: generator.integers(0, 2, 200) for name in ("target", "predicted", "decision", "flag")}
    table = pd.DataFrame(columns | {"p_mel": 0.5, "p_nv": 0.5})
    numbers = headline(table, ["mel", "nv"], "mel")
    found = shares(table, ["mel", "nv"], "mel")
    known = [name for name in found if name in numbers]
    assert len(known) == 10 and set(shares(table, ["mel", "nv"], None)) == {"accuracy", "decision.accuracy"}
    for name in known:
        hit, among = found[name]
        assert hit[among].mean() == pytest.approx(numbers[name][0], abs=1e-12)
