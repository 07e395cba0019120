"""From logits to what is told: probabilities, the decision and the flag, which are three different things."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError

from derm.calibration.registry import AnyCalibrator
from derm.decisions.conformal import Conformal, as_text, prediction_sets
from derm.errors import UserError
from derm.files import read_json
from derm.params import Section

CALIBRATION = Path("models/calibration")


Rule = Literal["argmax", "prior", "cost"]


class DecideParams(Section):
    """Section `decide`: what is done with probabilities.

    prevalence: share of each class where the classifier is used; empty: as in training. costs: true class -> class
    decided for -> what that costs; what is not named costs 1, and what is right nothing. Both are for rule `cost`.
    """

    rule: Rule
    tau: float = Field(ge=0, le=5)
    prevalence: dict[str, Annotated[float, Field(gt=0, lt=1)]]
    costs: dict[str, dict[str, Annotated[float, Field(ge=0)]]]
    sensitivity: float = Field(gt=0, lt=1)


class Calibration(Section):
    """What `calibrate` fitted: all that stands between logits and an outcome.

    priors: share of lesions by class in the training part; prevalence: where the classifier is used. costs: [true
    class, class decided for]. threshold: the positive class is flagged from here on; null without a positive class.
    conformal: what is in an image's set of classes.
    """

    classes: list[str]
    positive: str | None
    calibrator: AnyCalibrator
    rule: Rule
    tau: float
    priors: list[float]
    prevalence: list[float]
    costs: list[list[float]]
    threshold: float | None
    target_sensitivity: float
    conformal: Conformal


def calibration_file(head: str) -> Path:
    """Where the calibration of a head (`derm.heads.head.head_file`) stands."""
    return CALIBRATION / f"{head}.json"


def read_calibration(path: Path) -> Calibration:
    """What `calibrate` wrote. UserError if it is missing or damaged."""
    try:
        return Calibration.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(f"{path} is damaged ({error.error_count()} wrong keys): run `dvc repro`") from None


def decide(probabilities: np.ndarray, rule: str, tau: float, priors: np.ndarray) -> np.ndarray:
    """The class decided for, int [n].

    `argmax`: the most probable one. `prior`: the largest ``log p - tau log prior`` (Menon et al. 2021, arXiv
    2007.07314, post-hoc adjustment). With tau 1, calibrated probabilities and the priors of the images it minimises the
    balanced error; the priors here are those of the lesions, which leans a little towards classes that are
    photographed more often than they occur, in HAM10000 melanoma.
    """
    if rule == "argmax" or tau == 0:
        return probabilities.argmax(axis=1)
    possible = (probabilities > 0) & (priors > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.log(probabilities) - tau * np.log(priors)
    return np.where(possible, scores, -np.inf).argmax(axis=1)


def cheapest(probabilities: np.ndarray, priors: np.ndarray, prevalence: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """The class whose expected cost is lowest, int [n] (Elkan 2001, The Foundations of Cost-Sensitive Learning).

    The probabilities are those of the training part's frequencies, `priors`; where other frequencies hold,
    `prevalence`, they are multiplied by the ratio. costs: [true class, class decided for].
    """
    ratio = np.divide(prevalence, priors, out=np.zeros_like(prevalence), where=priors > 0)
    here = probabilities * ratio
    return (here @ costs).argmin(axis=1)


def outcomes(logits: np.ndarray, calibration: Calibration) -> pd.DataFrame:
    """Columns p_<class>..., predicted and decision (class index), flag (1 or 0; empty without a positive class) and set
    (names of classes, with | between them; may be empty)."""
    classes = calibration.classes
    probabilities = calibration.calibrator.probabilities(logits)
    table = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classes])
    table["predicted"] = probabilities.argmax(axis=1)
    priors = np.array(calibration.priors)
    if calibration.rule == "cost":
        prevalence, costs = np.array(calibration.prevalence), np.array(calibration.costs)
        table["decision"] = cheapest(probabilities, priors, prevalence, costs)
    else:
        table["decision"] = decide(probabilities, calibration.rule, calibration.tau, priors)
    table["flag"] = ""
    if calibration.positive is not None and calibration.threshold is not None:
        table["flag"] = (table[f"p_{calibration.positive}"] >= calibration.threshold).astype(int)
    table["set"] = as_text(prediction_sets(logits, calibration.conformal), classes)
    return table
