"""How far to trust a probability: entropy, its split, and intervals, from an ensemble's members or drawn dropout."""

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.special import entr

from derm.calibration.calibrator import Calibrator
from derm.heads.head import Head
from derm.heads.inputs import Inputs
from derm.heads.predict import dropout_logits, member_logits
from derm.params import Section


class UncertaintyParams(Section):
    """Section `uncertainty`: how many draws of the network with dropout on; 0 asks the members of an ensemble alone."""

    passes: int = Field(ge=0, le=10_000)
    seed: int = Field(ge=0, lt=2**63)


def logit_samples(head: Head, inputs: Inputs, params: UncertaintyParams) -> np.ndarray:
    """Logits float64 [samples, n, classes]: of every member, or of every member and pass."""
    if params.passes:
        return dropout_logits(head, inputs, params.passes, params.seed)
    return member_logits(head, inputs)


def uncertainty(samples: np.ndarray, calibrator: Calibrator, classes: list[str]) -> pd.DataFrame:
    """Columns `entropy, aleatoric, epistemic`, then `low_<class>, high_<class>`, one row an image.

    samples: logits [samples, n, classes]; each becomes calibrated probabilities. entropy: of their
    mean, in nats. aleatoric: their mean entropy, what the samples agree is undecided. epistemic: the difference, the
    mutual information of class and network (Depeweg et al. 2018, arXiv 1710.07283; Houlsby et al. 2011, arXiv
    1112.5745). low, high: 2.5 % and 97.5 % percentiles. One sample has an entropy, and nothing else that could be told.
    """
    probabilities = calibrator.probabilities(samples)
    entropy = entr(probabilities.mean(axis=0)).sum(axis=1)
    table = pd.DataFrame({"entropy": entropy, "aleatoric": np.nan, "epistemic": np.nan})
    low = high = np.full(probabilities.shape[1:], np.nan)
    if len(samples) > 1:
        table["aleatoric"] = entr(probabilities).sum(axis=2).mean(axis=0)
        # Rounding could put it a hair below 0.
        table["epistemic"] = (table["entropy"] - table["aleatoric"]).clip(lower=0)
        low, high = np.percentile(probabilities, [2.5, 97.5], axis=0)
    for index, name in enumerate(classes):
        table[f"low_{name}"], table[f"high_{name}"] = low[:, index], high[:, index]
    return table
