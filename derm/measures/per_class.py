"""Each class against the rest: a table with an interval on every number."""

import numpy as np
import pandas as pd

from derm.lesions import lesions_of
from derm.measures import weighted
from derm.measures.bootstrap import intervals
from derm.measures.proportion import with_wilson

MEASURES = ("sensitivity", "specificity", "precision", "f1", "auc")


def per_class(
    predictions: pd.DataFrame, classes: list[str], weights: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """`<class>.<measure>` -> float [resamples], by the most probable class; AUC by the class's probability.

    NaN where a number cannot be computed, such as the F1 of a class that is neither true nor predicted.
    predictions: `target, predicted` as class indices, `p_<class>`; weights: [resamples, n], or None for the value.
    """
    targets = predictions["target"].to_numpy()
    counts = weighted.confusion(targets, predictions["predicted"].to_numpy(), len(classes), weights)
    tables = {
        "sensitivity": weighted.recalls(counts),
        "specificity": weighted.specificities(counts),
        "precision": weighted.precisions(counts),
        "f1": weighted.f1_scores(counts),
    }
    numbers = {}
    for index, name in enumerate(classes):
        numbers |= {f"{name}.{measure}": table[:, index] for measure, table in tables.items()}
        scores = predictions[f"p_{name}"].to_numpy()
        numbers[f"{name}.auc"] = weighted.area_under_roc(scores, targets == index, weights)
    return numbers


def shares_by_class(predictions: pd.DataFrame, classes: list[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """As `derm.measures.proportion.with_wilson` takes them: `<class>.sensitivity`, `.specificity` and `.precision`."""
    targets, told = predictions["target"].to_numpy(), predictions["predicted"].to_numpy()
    found = {}
    for index, name in enumerate(classes):
        true, said = targets == index, told == index
        found |= {f"{name}.sensitivity": (said, true), f"{name}.specificity": (~said, ~true)}
        found[f"{name}.precision"] = (true, said)
    return found


def class_table(predictions: pd.DataFrame, classes: list[str], weights: np.ndarray, what: str) -> pd.DataFrame:
    """`diagnosis, images, groups`, then each measure with `_low` and `_high`, one row for each class; NaN stays NaN.

    predictions: as in `per_class`, with `lesion_id, group`; weights: the bootstrap's, float [resamples, n]. Shares seen
    among too few lesions have Wilson's interval (`derm.measures.proportion`).
    """
    numbers = intervals(lambda drawn: per_class(predictions, classes, drawn), weights, what)
    numbers = with_wilson(numbers, shares_by_class(predictions, classes), lesions_of(predictions)).set_index("metric")
    rows = []
    for index, name in enumerate(classes):
        here = predictions[predictions["target"] == index]
        row = {"diagnosis": name, "images": len(here), "groups": here["group"].nunique()}
        for measure in MEASURES:
            value, low, high = numbers.loc[f"{name}.{measure}", ["value", "low", "high"]]
            row |= {measure: value, f"{measure}_low": low, f"{measure}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)
