"""Which fields are missing, and whether that alone gives the class away."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import MonteCarloMethod, chi2_contingency, fisher_exact

from derm.description.distributions import by_count

FIELDS = ("age", "sex", "body_site", "lesion_id", "confirmation")
# In capitals, as no class is: names of classes are lower case.
ALL = "ALL"
ALPHA = 0.01
# Random tables with the margins of the real one; the smallest p-value is 1 / (RESAMPLES + 1).
RESAMPLES, SEED = 19_999, 1


def count_missing(images: pd.DataFrame) -> pd.DataFrame:
    """How often each field is missing in each class, and in all; images: the image table.

    Returns `field, diagnosis, images, missing, lesions, lesions_missing, residual, p, p_holm`. A lesion (group) lacks a
    field if all its images of the class do, and counts in every class it has an image of. `residual` says in standard
    deviations how many more lesions of the class lack the field than if that had nothing to do with the class. The
    row `ALL` adds up the classes and holds the p-value of that hypothesis and Holm's correction of it over the
    fields; both are empty for a field that no lesion lacks, or all do.
    """
    classes = by_count(images["diagnosis"])
    parts, chances = [], []
    for field in FIELDS:
        lacking = images[["group", "diagnosis"]].assign(missing=images[field] == "")
        by_image = lacking.groupby("diagnosis")["missing"].agg(["size", "sum"]).loc[classes]
        # One vote a lesion: its photographs were described together.
        lesions = lacking.groupby(["diagnosis", "group"])["missing"].all()
        by_lesion = lesions.groupby("diagnosis").agg(["size", "sum"]).loc[classes]
        part = pd.DataFrame(
            {
                "field": field,
                "diagnosis": classes,
                "images": by_image["size"].to_numpy(),
                "missing": by_image["sum"].to_numpy(),
                "lesions": by_lesion["size"].to_numpy(),
                "lesions_missing": by_lesion["sum"].to_numpy(),
            }
        )
        table = np.stack([part["lesions_missing"], part["lesions"] - part["lesions_missing"]])
        part["residual"] = residuals(table)
        chances.append(p_value(table))
        numbers = part.select_dtypes("int").sum()
        parts += [part, pd.DataFrame([{"field": field, "diagnosis": ALL, **numbers, "p": chances[-1]}])]
    counted = pd.concat(parts, ignore_index=True)
    corrected = dict(zip(FIELDS, holm(np.array(chances)), strict=True))
    counted["p_holm"] = counted["field"].map(corrected).where(counted["diagnosis"] == ALL)
    return counted


def p_value(table: np.ndarray) -> float:
    """The probability of a table as uneven as this, or more so, if rows and columns are independent.

    table: int [2, classes]. Fisher's exact test for two classes; else the chi-square statistic against random tables
    of the same margins (Patefield 1981), so that small counts are no trouble. NaN if there is nothing to compare.
    """
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2 or (table.sum(axis=1) == 0).any():
        return float("nan")
    if table.shape[1] == 2:
        result: Any = fisher_exact(table)
    else:
        draws = MonteCarloMethod(n_resamples=RESAMPLES, rng=np.random.default_rng(SEED))
        result = chi2_contingency(table, correction=False, method=draws)
    return float(result.pvalue)


def residuals(table: np.ndarray) -> np.ndarray:
    """Standardised residuals of the first row: float [columns], NaN where they are not defined.

    (observed - expected) / sqrt(expected (1 - row share) (1 - column share)), about standard normal if rows and columns
    are independent (Agresti, Categorical Data Analysis, 3.3.1).
    """
    total, columns = table.sum(), table.sum(axis=0)
    share, weight = table[0].sum() / total, columns / total
    variance = columns * share * (1 - share) * (1 - weight)
    return np.where(variance > 0, (table[0] - columns * share) / np.sqrt(np.where(variance > 0, variance, 1)), np.nan)


def holm(chances: np.ndarray) -> np.ndarray:
    """P-values corrected for their number (Holm 1979), NaN where there is none."""
    corrected = np.full(len(chances), np.nan)
    tested = np.flatnonzero(~np.isnan(chances))
    tested = tested[np.argsort(chances[tested], kind="stable")]
    factors = np.arange(len(tested), 0, -1)
    corrected[tested] = np.minimum(np.maximum.accumulate(chances[tested] * factors), 1)
    return corrected


def warnings(missing: pd.DataFrame) -> list[str]:
    """A sentence for each field whose absence tells something of the class; missing: see `count_missing`."""
    told = []
    for field, rows in missing.groupby("field", sort=False):
        total = rows[rows["diagnosis"] == ALL].iloc[0]
        if not total["p_holm"] < ALPHA:
            continue
        classes = rows[rows["diagnosis"] != ALL].copy()
        # Of two classes both stand out alike: the smaller one is named.
        classes["strength"] = classes["residual"].abs().round(9)
        one = classes.sort_values(["strength", "lesions", "diagnosis"], ascending=[False, True, True]).iloc[0]
        here = one["lesions_missing"] / total["lesions_missing"]
        others = (one["lesions"] - one["lesions_missing"]) / (total["lesions"] - total["lesions_missing"])
        told.append(
            f"{field} is missing for {total['missing']} images: of the {total['lesions_missing']} lesions without it "
            f"{percent(here) if here else 'none'} are {one['diagnosis']}, of the others {percent(others)} "
            f"({chance(total['p_holm'])}): a model that sees 'missing' would learn the class"
        )
    return told


def chance(p: float) -> str:
    """A p-value for people."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def percent(share: float) -> str:
    """A share for people: one decimal where it is small."""
    return f"{share:.1%}" if 0 < share < 0.1 else f"{share:.0%}"
