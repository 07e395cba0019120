"""Notes on a photograph's quality, told only where photographs that have them are measurably more often wrong."""

from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError

from derm.decisions.outcome import CALIBRATION
from derm.errors import UserError
from derm.files import DECIMALS, read_json
from derm.measures.bootstrap import group_weights, intervals
from derm.params import Section

FILE = CALIBRATION / "quality.json"

# A note, and the measure (derm.appearance.Appearance) that is low where it applies.
MEASURE = {"blurred": "sharpness", "dark": "brightness", "no lesion": "lesion_contrast"}
# An interval from fewer groups says nothing: of three that are all wrong, every resample is all wrong.
LEAST_GROUPS = 20


class QualityParams(Section):
    """Section `quality`. share: of the training images that count as suspicious by each measure. resamples, seed: for
    the intervals by which it is judged whether a note is told."""

    share: float = Field(gt=0, lt=0.5)
    resamples: int = Field(ge=100)
    seed: int = Field(ge=0)


class Note(Section):
    """One note, and what it is worth. An image has it if its measure is below the threshold.

    images, groups: that have it in the judged part. error: share of wrong decisions among them; error_others: among the
    rest; difference: of the two, with its 95 % interval from resampling groups. All are null where they cannot be
    computed. shown: the interval lies above 0, and at least `LEAST_GROUPS` groups have the note.
    """

    measure: str
    threshold: float
    images: int
    groups: int
    error: float | None
    error_others: float | None
    difference: float | None
    low: float | None
    high: float | None
    shown: bool


class Quality(Section):
    """What `fit_quality` found, by note; images, groups: of the judged part."""

    share: float
    images: int
    groups: int
    notes: dict[str, Note]


def fit_quality(
    train: pd.DataFrame, judged: pd.DataFrame, wrong: np.ndarray, groups: np.ndarray, params: QualityParams
) -> Quality:
    """Thresholds from the training images, and from other images whether falling below them means anything.

    train, judged: `derm.image_table.read_appearance`'s rows of the two. wrong: bool [n], the decision for each judged
    image is not its class; groups: [n]. No image that is judged may have been trained on.
    """
    return Quality(
        share=params.share,
        images=len(judged),
        groups=len(np.unique(groups)),
        notes={
            name: _fit_note(measure, train[measure], judged[measure].to_numpy(), wrong, groups, params)
            for name, measure in MEASURE.items()
        },
    )


def notes(appearance: pd.DataFrame, quality: Quality) -> list[str]:
    """For each row of `read_appearance`'s table, or of one like it, the notes that are shown: ``blurred|dark``."""
    texts = [""] * len(appearance)
    for name, note in quality.notes.items():
        if note.shown:
            has = _below(appearance[note.measure].to_numpy(), note.threshold)
            texts = [f"{text}|{name}".strip("|") if one else text for text, one in zip(texts, has, strict=True)]
    return texts


def read_quality(path: Path = FILE) -> Quality:
    """What `calibrate` wrote. UserError if it is missing or damaged."""
    try:
        return Quality.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(f"{path} is damaged ({error.error_count()} wrong keys): run `dvc repro`") from None


def _below(values: np.ndarray, threshold: float) -> np.ndarray:
    """Bool [n]: below the threshold; what could not be measured (NaN) is not."""
    return values < threshold


def _fit_note(
    measure: str, train: pd.Series, values: np.ndarray, wrong: np.ndarray, groups: np.ndarray, params: QualityParams
) -> Note:
    known = train.dropna().to_numpy()
    # Rounded as it is stored.
    threshold = round(float(np.quantile(known, params.share)), DECIMALS) if len(known) else 0.0
    has = _below(values, threshold)
    counts = {"images": int(has.sum()), "groups": len(np.unique(groups[has]))}
    rates = {"error": _share(wrong[has]), "error_others": _share(wrong[~has])}
    nothing = {"difference": None, "low": None, "high": None, "shown": False}
    if has.all() or not has.any():
        return Note.model_validate({"measure": measure, "threshold": threshold} | counts | rates | nothing)

    def difference(weights: np.ndarray | None) -> dict[str, np.ndarray]:
        given = np.ones((1, len(wrong))) if weights is None else weights
        with np.errstate(invalid="ignore"):  # a resample may have no image of a group that has both kinds
            with_note = given[:, has] @ wrong[has] / given[:, has].sum(axis=1)
            others = given[:, ~has] @ wrong[~has] / given[:, ~has].sum(axis=1)
        return {"difference": with_note - others}

    # Groups with the note and without are drawn apart, so that their numbers stay.
    strata = np.isin(groups, groups[has])
    weights = group_weights(groups, strata, params.resamples, params.seed)
    row = intervals(difference, weights, f"errors where {measure} is low").iloc[0]
    numbers = {"difference": row["value"], "low": row["low"], "high": row["high"]}
    found = {name: None if np.isnan(number) else float(number) for name, number in numbers.items()}
    shown = found["low"] is not None and found["low"] > 0 and counts["groups"] >= LEAST_GROUPS
    return Note.model_validate({"measure": measure, "threshold": threshold} | counts | rates | found | {"shown": shown})


def _share(wrong: np.ndarray) -> float | None:
    return float(wrong.mean()) if len(wrong) else None
