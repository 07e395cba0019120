"""Sets of classes that hold the true one as often as was asked for, for each class by itself."""

import math

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.special import log_softmax

from derm.files import DECIMALS
from derm.lesions import one_of_each
from derm.params import Section

# No score is as high as this.
IN_EVERY_SET = 1e9


class ConformalParams(Section):
    """Section `conformal`. alpha: how often the true class may be missing. seed: picks one image of each lesion."""

    alpha: float = Field(gt=0, lt=1)
    seed: int = Field(ge=0)


class Conformal(Section):
    """A class is in an image's set if its score is at most the class's threshold; a score is minus the log-probability.

    marginal: the one threshold that would hold over all classes together. lesions: of the calibration part, by class;
    missing: how many more would be needed before anything is guaranteed for the class (0: it is).
    """

    alpha: float
    thresholds: list[float]
    marginal: float
    lesions: list[int]
    missing: list[int]


def fit_conformal(logits: np.ndarray, targets: np.ndarray, lesions: np.ndarray, params: ConformalParams) -> Conformal:
    """Class-conditional split conformal prediction (Vovk 2013, arXiv 1209.2673; Sadinle et al. 2019, arXiv 1609.00451).

    logits: float64 [n, classes] of the calibration part, as the head has them: a temperature fitted on the same images
    would spoil what makes them exchangeable with those to come. targets: int [n]; lesions: [n], which lesion an image
    shows. Photographs of one lesion are not independent, so one of each is drawn.

    With n lesions the threshold of a class is the ceil((n + 1)(1 - alpha))-th smallest score, and the true class is in
    the set with that share over n + 1. Where this exceeds n, it is the largest score, and nothing is guaranteed.
    """
    one = one_of_each(lesions, params.seed)
    scores, classes = class_scores(logits)[one], logits.shape[1]
    given = [scores[targets[one] == index, index] for index in range(classes)]
    needed = math.ceil(1 / params.alpha - 1 - 1e-9)
    return Conformal(
        alpha=params.alpha,
        thresholds=[_threshold(values, params.alpha) for values in given],
        marginal=_threshold(np.concatenate(given), params.alpha),
        lesions=[len(values) for values in given],
        missing=[max(0, needed - len(values)) for values in given],
    )


def prediction_sets(logits: np.ndarray, fitted: Conformal, marginal: bool = False) -> np.ndarray:
    """Which classes are in the set of each image, bool [n, classes]; marginal: by the one threshold of all classes."""
    return class_scores(logits) <= (fitted.marginal if marginal else np.array(fitted.thresholds))


def as_text(sets: np.ndarray, classes: list[str]) -> list[str]:
    """``mel|nv`` for each row of bool [n, classes]; an empty set is an empty text."""
    return ["|".join(name for name, inside in zip(classes, row, strict=True) if inside) for row in sets]


def as_sets(texts: pd.Series, classes: list[str]) -> np.ndarray:
    """Bool [n, classes] of what `as_text` wrote."""
    named = [set(text.split("|")) for text in texts]
    return np.array([[name in row for name in classes] for row in named]).reshape(len(named), len(classes))


def class_scores(logits: np.ndarray) -> np.ndarray:
    """How badly each class fits, float64 [n, classes]: minus its log-probability, with the decimals that are stored."""
    return -log_softmax(logits, axis=1).round(DECIMALS)


def _threshold(scores: np.ndarray, alpha: float) -> float:
    """A class without any calibration lesion is in every set: nothing speaks against it."""
    if not len(scores):
        return IN_EVERY_SET
    rank = math.ceil((len(scores) + 1) * (1 - alpha) - 1e-9)
    return float(np.sort(scores)[min(rank, len(scores)) - 1])
