"""The headline numbers of one part, by their names in metrics/evaluate.json."""

import numpy as np
import pandas as pd

from derm.errors import UserError
from derm.measures import weighted
from derm.measures.calibration import classwise_calibration_error

# The name that a positive class goes by in metric names; a class that is not here goes by its own.
POSITIVE_NAMES = {"mel": "melanoma"}


def headline(
    predictions: pd.DataFrame,
    classes: list[str],
    positive: str | None,
    weights: np.ndarray | None = None,
    bins: int = 15,
) -> dict[str, np.ndarray]:
    """Every headline number as float [resamples]; NaN where it cannot be computed.

    predictions: `target, predicted, decision` as class indices, `flag` as 1 or 0, `p_<class>` for every class.
    weights: [resamples, n], or None for the plain value (one resample). Keys are dotted, as in DESIGN.md section 4.
    UserError if the positive class is called as another number is.
    """
    targets = predictions["target"].to_numpy()
    probabilities = predictions[[f"p_{name}" for name in classes]].to_numpy()
    predicted = weighted.confusion(targets, predictions["predicted"].to_numpy(), len(classes), weights)
    decided = weighted.confusion(targets, predictions["decision"].to_numpy(), len(classes), weights)
    areas = [
        weighted.area_under_roc(probabilities[:, index], targets == index, weights)
        for index in range(len(classes))
        if (targets == index).any() and (targets != index).any()
    ]
    numbers = {
        "accuracy": weighted.accuracy(predicted),
        "balanced_accuracy": weighted.balanced_accuracy(predicted),
        "macro_f1": weighted.macro_f1(predicted),
        "weighted_f1": weighted.weighted_f1(predicted),
        "macro_auc": np.mean(areas, axis=0) if areas else np.full(len(predicted), np.nan),
        "nll": weighted.negative_log_likelihood(probabilities, targets, weights),
        "brier": weighted.brier_score(probabilities, targets, weights),
        "ece": weighted.expected_calibration_error(probabilities, targets, weights, bins),
        "classwise_ece": classwise_calibration_error(probabilities, targets, weights, bins),
        "decision.accuracy": weighted.accuracy(decided),
        "decision.balanced_accuracy": weighted.balanced_accuracy(decided),
        "decision.macro_f1": weighted.macro_f1(decided),
    }
    if positive is None:
        return numbers
    index, name = classes.index(positive), POSITIVE_NAMES.get(positive, positive)
    taken = {key.split(".")[0] for key in numbers} | {"flag"}
    if name.split(".")[0] in taken:
        raise UserError(
            f"task.positive is {positive!r}, and its numbers would be mixed up with {name.split('.')[0]!r}: "
            "rename this class by data.label_map"
        )
    scores, is_positive = probabilities[:, index], targets == index
    flagged = weighted.confusion(is_positive.astype(int), predictions["flag"].to_numpy().astype(int), 2, weights)
    return numbers | {
        f"{name}.auc": weighted.area_under_roc(scores, is_positive, weights),
        f"{name}.partial_auc_above_80_sensitivity": weighted.partial_area_under_roc(
            scores, is_positive, weights=weights
        ),
        f"{name}.average_precision": weighted.average_precision(scores, is_positive, weights),
        f"{name}.sensitivity": weighted.recalls(predicted)[:, index],
        f"{name}.specificity": weighted.specificities(predicted)[:, index],
        f"{name}.precision": weighted.precisions(predicted)[:, index],
        f"{name}.specificity_at_95_sensitivity": weighted.specificity_at_sensitivity(
            scores, is_positive, 0.95, weights
        ),
        f"{name}.sensitivity_at_95_specificity": weighted.sensitivity_at_specificity(
            scores, is_positive, 0.95, weights
        ),
        f"decision.{name}_sensitivity": weighted.recalls(decided)[:, index],
        f"decision.{name}_specificity": weighted.specificities(decided)[:, index],
        "flag.sensitivity": weighted.recalls(flagged)[:, 1],
        "flag.specificity": weighted.specificities(flagged)[:, 1],
        "flag.precision": weighted.precisions(flagged)[:, 1],
    }


def shares(predictions: pd.DataFrame, classes: list[str], positive: str | None) -> dict[str, tuple]:
    """Those headline numbers that are shares of images, for `derm.measures.proportion.with_wilson`: name -> which
    images are hit, and among which it is counted, each bool [n]."""
    targets = predictions["target"].to_numpy()
    told = {name: predictions[name].to_numpy() for name in ("predicted", "decision")}
    everything = np.ones(len(targets), dtype=bool)
    found = {"accuracy": (told["predicted"] == targets, everything)}
    found["decision.accuracy"] = (told["decision"] == targets, everything)
    if positive is None:
        return found
    index, name = classes.index(positive), POSITIVE_NAMES.get(positive, positive)
    is_positive, flagged = targets == index, predictions["flag"].to_numpy().astype(int) == 1
    predicted, decided = told["predicted"] == index, told["decision"] == index
    for start, said in ((f"{name}.", predicted), (f"decision.{name}_", decided), ("flag.", flagged)):
        found[f"{start}sensitivity"] = (said, is_positive)
        found[f"{start}specificity"] = (~said, ~is_positive)
        found[f"{start}precision"] = (is_positive, said)
    return found


def nested(numbers: dict[str, float]) -> dict:
    """Dotted keys as nested objects; what is NaN is left out."""
    tree: dict = {}
    for key, value in numbers.items():
        if np.isnan(value):
            continue
        *path, last = key.split(".")
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
        branch[last] = float(value)
    return tree
