"""What a flag is worth, against biopsy of everybody or nobody; and what is left when the doubtful are handed on.

Scores float [n]: the probability of the positive class; positive bool [n]; weights float [resamples, n], or None for
one row of ones.
"""

import numpy as np
import pandas as pd

from derm.measures.weighted import unit_weights


def net_benefit(
    scores: np.ndarray, positive: np.ndarray, thresholds: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Decision curve (Vickers and Elkin 2006): float64 [resamples, thresholds].

    At threshold t an image is flagged from p = t on, and a false alarm is held to cost t / (1 - t) of what a true one
    gains: hits / n - alarms / n * t / (1 - t). In units of true positives an image.
    """
    weights = unit_weights(len(scores), weights)
    flagged = (scores[:, None] >= thresholds).astype(float)
    total = weights.sum(axis=1, keepdims=True)
    hits, alarms = weights @ (flagged * positive[:, None]), weights @ (flagged * ~positive[:, None])
    return (hits - alarms * thresholds / (1 - thresholds)) / total


def net_benefit_of_all(positive: np.ndarray, thresholds: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Net benefit of flagging everybody, float64 [resamples, thresholds]; of flagging nobody it is 0."""
    return net_benefit(np.ones(len(positive)), positive, thresholds, weights)


def deferral(doubt: np.ndarray, wrong: np.ndarray, missed: np.ndarray, shares: np.ndarray) -> pd.DataFrame:
    """`share, risk, missed`: with this share of the images handed to a person, the most doubtful first, how often the
    rest is wrong, and how many of the missed positives are left among them. doubt [n], wrong and missed bool [n]."""
    order, rows = np.argsort(-doubt, kind="stable"), []
    for share in shares:
        kept = order[round(share * len(order)) :]
        rows.append((share, wrong[kept].mean() if len(kept) else np.nan, int(missed[kept].sum())))
    return pd.DataFrame(rows, columns=pd.Index(["share", "risk", "missed"]))
