"""The calibrators by their names in params, and the one that does best on images that it was not fitted on."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from sklearn.model_selection import StratifiedGroupKFold

from derm.calibration.calibrator import Calibrator
from derm.calibration.one_against_rest import IsotonicCalibrator, PlattCalibrator
from derm.calibration.scaling import NoCalibrator, TemperatureCalibrator, VectorCalibrator
from derm.errors import UserError
from derm.params import Section

Method = Literal["auto", "none", "temperature", "vector", "platt", "isotonic"]
AnyCalibrator = Annotated[
    NoCalibrator | TemperatureCalibrator | VectorCalibrator | PlattCalibrator | IsotonicCalibrator,
    Field(discriminator="method"),
]
# The simplest first: of equal ones it is taken.
CALIBRATORS: dict[str, type[Calibrator]] = {
    "none": NoCalibrator,
    "temperature": TemperatureCalibrator,
    "vector": VectorCalibrator,
    "platt": PlattCalibrator,
    "isotonic": IsotonicCalibrator,
}
OF_EACH_CLASS = ("vector", "platt", "isotonic")
FOLDS = 5


class CalibrateParams(Section):
    """Section `calibrate`: how logits become probabilities. seed: deals the calibration part's groups into folds."""

    method: Method
    seed: int = Field(ge=0)


def fit_calibrator(method: str, logits: np.ndarray, targets: np.ndarray) -> Calibrator:
    """logits: float64 [n, classes], targets: int [n], of the calibration part. UserError if the method needs images of
    every class, and there are none of one."""
    absent = [index for index in range(logits.shape[1]) if not (targets == index).any()]
    if absent and method in OF_EACH_CLASS:
        raise UserError(
            f"calibrate.method is {method}, which needs images of every class in the calibration part, and there are "
            f"none of class {absent[0]}: set calibrate.method=temperature, or see split.rare"
        )
    return CALIBRATORS[method].fit(logits, targets)


def cross_fitted(logits: np.ndarray, targets: np.ndarray, groups: np.ndarray, seed: int) -> dict[str, float]:
    """Method -> mean negative log-likelihood of images whose group it was not fitted on, the simplest first.

    Five folds of whole groups, each class alike; fewer where a class has fewer groups. Where a class would be missing
    from what is fitted on, only methods that treat all classes alike are there; none at all without two groups.
    """
    fewest = min(len(np.unique(groups[targets == index])) for index in range(logits.shape[1]))
    methods = [name for name in CALIBRATORS if fewest >= 2 or name not in OF_EACH_CLASS]
    folds = min(FOLDS, max(2, fewest), len(np.unique(groups)))
    if folds < 2:
        return {}
    losses = {name: np.zeros(len(targets)) for name in methods}
    dealt = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for fitted_on, left in dealt.split(logits, targets, groups):
        missing = len(np.unique(targets[fitted_on])) < logits.shape[1]
        for name in list(losses):
            if missing and name in OF_EACH_CLASS:
                del losses[name]
                continue
            told = CALIBRATORS[name].fit(logits[fitted_on], targets[fitted_on]).probabilities(logits[left])
            losses[name][left] = -np.log(told[np.arange(len(left)), targets[left]].clip(1e-12))
    return {name: float(values.mean()) for name, values in losses.items()}


def chosen(losses: dict[str, float]) -> str:
    """The method with the lowest loss, of equal ones the simplest; a temperature if there was nothing to choose by."""
    return min(losses, key=lambda name: losses[name]) if losses else "temperature"
