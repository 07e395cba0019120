"""The headline numbers carry the names that other tools rely on, and the values of scikit-learn."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from derm.errors import UserError
from derm.files import read_csv, write_csv
from derm.measures.headline import headline, nested
from derm.measures.per_class import class_table, per_class
from tests.derm.measures.data import random_predictions

CLASSES = ["bcc", "mel", "nv", "vasc"]

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
            assert numbers[name][index] == pytest.approx(value), name


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
            assert numbers[f"{name}.{measure}"][0] == pytest.approx(value), (name, measure)


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


def test_the_table_by_class_is_empty_where_a_class_is_neither_true_nor_predicted(tmp_path: Path) -> None:
    table, weights = predictions()
    table = table.assign(p_other=0.0, group=[str(row) for row in range(len(table))])
    write_csv(tmp_path / "table.csv", class_table(table, [*CLASSES, "other"], weights, "test"))
    row = read_csv(tmp_path / "table.csv").to_dict("records")[-1]
    assert row["diagnosis"] == "other" and row["specificity"] == "1.000000"
    for measure in ("sensitivity", "precision", "f1", "auc"):
        assert [row[measure], row[f"{measure}_low"], row[f"{measure}_high"]] == ["", "", ""]
