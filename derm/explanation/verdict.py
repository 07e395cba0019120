"""Which methods pass which tests for this model: a map is shown with what is known against it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from derm.explanation.localisation import lead, mean_and_draws
from derm.explanation.measure import EDGES, GAUSSIAN, LABELS, WEIGHTS
from derm.explanation.words import ALIKE, FAILS, OPEN, PASSES, TESTS, UNMEASURED
from derm.measures.bootstrap import percentile_interval

# Of so few images a bootstrap's interval is no judge.
FEWEST = 10
AGAINST = {
    "beats the centred blob": GAUSSIAN,
    "beats edges": EDGES,
    "beats RandomCAM": "randomcam",
    "beats random weights": WEIGHTS,
    "beats shuffled labels": LABELS,
}
FAITHFUL = {
    "faithful (ROAD)": ("road", 1),
    "faithful (insertion)": ("insertion", 1),
    "faithful (deletion)": ("deletion", -1),
}


@dataclass(frozen=True)
class Evidence:
    """What a verdict is made of, for the same images in the same order; weights: of a bootstrap over groups, float
    [resamples, n].

    values: method -> table of localisation measures; also of references, and `<method>, <reference>`. sanity: `method,
    shuffled, share, row, similarity`. scores: faithfulness, name of the score -> method -> float [m]; score_weights:
    [resamples, m].
    """

    values: Mapping[str, pd.DataFrame]
    sanity: pd.DataFrame
    weights: np.ndarray
    scores: Mapping[str, Mapping[str, np.ndarray]]
    score_weights: np.ndarray


def verdicts(evidence: Evidence, methods: list[str]) -> pd.DataFrame:
    """`method, test, verdict, value, low, high, images`: a row for each method and each of `TESTS`.

    value: the lead of the method over what it is tested against, or the rank correlation, with a 95 % interval; it
    passes or fails if the whole interval is on one side, else nothing is shown.
    """
    rows = [(method, test, *_tested(evidence, method, test)) for method in methods for test in TESTS]
    return pd.DataFrame(rows, columns=pd.Index(["method", "test", "verdict", "value", "low", "high", "images"]))


def _tested(evidence: Evidence, method: str, test: str) -> tuple[str, float, float, float, int]:
    if test in AGAINST:
        reference = AGAINST[test]
        other = evidence.values.get(reference, evidence.values.get(f"{method}, {reference}"))
        if method not in evidence.values or other is None:
            return _nothing()
        ours, theirs = (table["enrichment"].to_numpy(float) for table in (evidence.values[method], other))
        return _judged(*lead(ours, theirs, evidence.weights))
    if test in FAITHFUL:
        name, sign = FAITHFUL[test]
        scores = evidence.scores.get(name, {})
        if method not in scores or "randomcam" not in scores:
            return _nothing()
        return _judged(*lead(sign * scores[method], sign * scores["randomcam"], evidence.score_weights))
    kind = "labels" if test == "follows the labels" else "weights"
    told = evidence.sanity[(evidence.sanity["method"] == method) & (evidence.sanity["shuffled"] == kind)]
    told = told[told["share"] == told["share"].max()].sort_values("row")
    similarity = told["similarity"].to_numpy(float)
    known = ~np.isnan(similarity)
    if not known.any():
        return _nothing()
    value, drawn = mean_and_draws(similarity[known], evidence.weights[:, told["row"].to_numpy()[known]])
    low, high = percentile_interval(drawn)
    count = int(known.sum())
    if count < FEWEST:
        return OPEN, value, low, high, count
    return (PASSES if high < ALIKE else FAILS if low > ALIKE else OPEN), value, low, high, count


def _judged(value: float, low: float, high: float, images: int) -> tuple[str, float, float, float, int]:
    if not images:
        return _nothing()
    if images < FEWEST:
        return OPEN, value, low, high, images
    return (PASSES if low > 0 else FAILS if high < 0 else OPEN), value, low, high, images


def _nothing() -> tuple[str, float, float, float, int]:
    return UNMEASURED, np.nan, np.nan, np.nan, 0
