"""Comparisons made by hand."""

import pandas as pd

from derm.measures.paired import Comparison, Judged, Outcome

# Metric, better, a, b, low, high, p, adjusted p.
ROWS = [
    ("balanced_accuracy", "higher", 0.64, 0.68, 0.02, 0.06, 0.002, 0.002),
    ("nll", "lower", 0.60, 0.55, -0.08, -0.02, 0.001, 0.004),
    ("melanoma.auc", "higher", 0.90, 0.88, -0.03, -0.01, 0.010, 0.030),
    ("ece", "lower", 0.02, 0.03, 0.001, 0.02, 0.040, 0.080),
    ("accuracy", "higher", 0.75, 0.76, -0.02, 0.04, 0.500, 0.500),
]


def comparison(
    judged: Judged = "settings",
    outcome: Outcome = "better",
    names: tuple[str, str] = ("linear", "wide"),
    seeds: tuple[int, int] = (5, 5),
    first: str = "balanced_accuracy",
) -> Comparison:
    """`first` is the primary metric; of the others, all is as in ROWS."""
    rows = pd.DataFrame(ROWS, columns=["metric", "better", "a", "b", "low", "high", "p", "p_adjusted"])
    rows = rows.sort_values("metric", key=lambda column: column != first, kind="stable", ignore_index=True)
    rows["difference"] = rows["b"] - rows["a"]
    rows["role"] = ["primary"] + ["exploratory"] * (len(rows) - 1)
    return Comparison(names, seeds, 2007, 1490, judged, outcome, 0.02, rows.assign(a_spread=0.01, b_spread=0.01))
