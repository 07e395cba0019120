"""What the classifier tells of rows: the one way from features to predictions, for val, test and external sets."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from derm.decisions.outcome import Calibration, outcomes
from derm.decisions.quality import Quality, notes
from derm.embedding.features import Features
from derm.heads.head import HEAD, Head
from derm.heads.inputs import Inputs
from derm.heads.predict import image_logits
from derm.lesions import lesions_of
from derm.out_of_distribution.distance import OutOfDistribution
from derm.uncertainty import UncertaintyParams, logit_samples, uncertainty

KNOWN = ["image_id", "lesion_id", "group", "target"]
FIRST_VIEW = "first_view"


@dataclass(frozen=True)
class Judged:
    """What is measured: heads by name (`derm.heads.head.HEAD`, and with metadata those beside it), the calibration of
    each, how uncertainty is had, what tells the unlike, and the notes on a photograph's quality."""

    heads: dict[str, Head]
    calibrations: dict[str, Calibration]
    uncertainty: UncertaintyParams
    distribution: OutOfDistribution
    quality: Quality


@dataclass(frozen=True)
class Told:
    """predictions: `KNOWN`, then `derm.decisions.outcome.outcomes`, uncertainty, distance and
    quality; logits: float64 [n, classes] before
    calibration; beside: what other heads would tell, and with several views the same head on the first view alone:
    name -> `KNOWN` and outcomes."""

    predictions: pd.DataFrame
    logits: np.ndarray
    beside: dict[str, pd.DataFrame]


def tell(judged: Judged, features: Features, rows: pd.DataFrame) -> Told:
    """rows: `KNOWN`, what is known of age, sex and body_site, and what `derm.image_table.read_appearance` has."""
    known = rows[KNOWN].reset_index(drop=True)
    given = {name: head.inputs(features, rows) for name, head in judged.heads.items()}
    logits = {name: image_logits(head, given[name]) for name, head in judged.heads.items()}
    told = {name: _with(known, outcomes(logits[name], judged.calibrations[name])) for name in judged.heads}
    calibration = judged.calibrations[HEAD]
    if given[HEAD].views > 1:
        alone = Inputs(given[HEAD].source[:, :1], given[HEAD].rows, given[HEAD].metadata)
        told[FIRST_VIEW] = _with(known, outcomes(image_logits(judged.heads[HEAD], alone), calibration))
    samples = logit_samples(judged.heads[HEAD], given[HEAD], judged.uncertainty)
    doubt = uncertainty(samples, calibration.calibrator, calibration.classes)
    far = judged.distribution.told(features.pooled[features.rows(rows["image_id"])])
    predictions = _with(_with(told.pop(HEAD), doubt), far).assign(quality=notes(rows, judged.quality))
    return Told(predictions, logits[HEAD], told)


def by_lesion(told: Told, calibration: Calibration) -> pd.DataFrame:
    """`KNOWN` and outcomes, a row for each lesion: as if its photographs were views of one, the mean of their
    logits. The lesion's image_id, group and target are those of its first photograph."""
    lesions = lesions_of(told.predictions)
    _, first, member = np.unique(lesions, return_index=True, return_inverse=True)
    counts = np.bincount(member)[:, None]
    sums = np.stack([np.bincount(member, weights=column) for column in told.logits.T], axis=1)
    known = told.predictions[KNOWN].iloc[first].reset_index(drop=True)
    return _with(known, outcomes(sums / counts, calibration))


def _with(known: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([known, more], axis=1)
