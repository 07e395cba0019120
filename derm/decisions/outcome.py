"""From logits to what is told: probabilities, the decision and the flag, which are three different things."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError

from derm.calibration.registry import AnyCalibrator
from derm.errors import UserError
from derm.files import read_json
from derm.params import Section

CALIBRATION = Path("models/calibration")


class DecideParams(Section):
    """Section `decide`: what is done with probabilities."""

    rule: Literal["argmax", "prior"]
    tau: float = Field(ge=0, le=5)
    sensitivity: float = Field(gt=0, lt=1)


class Calibration(Section):
    """What `calibrate` fitted: all that stands between logits and an outcome.

    priors: share of lesions by class in the training part. threshold: the positive class is flagged from here on;
    null without a positive class.
    """

    classes: list[str]
    positive: str | None
    calibrator: AnyCalibrator
    rule: Literal["argmax", "prior"]
    tau: float
    priors: list[float]
    threshold: float | None
    target_sensitivity: float


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


def outcomes(logits: np.ndarray, calibration: Calibration) -> pd.DataFrame:
    """Columns p_<class>..., predicted and decision (class index) and flag (1 or 0; empty without a positive class)."""
    classes = calibration.classes
    probabilities = calibration.calibrator.probabilities(logits)
    table = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classes])
    table["predicted"] = probabilities.argmax(axis=1)
    table["decision"] = decide(probabilities, calibration.rule, calibration.tau, np.array(calibration.priors))
    table["flag"] = ""
    if calibration.positive is not None and calibration.threshold is not None:
        table["flag"] = (table[f"p_{calibration.positive}"] >= calibration.threshold).astype(int)
    return table
