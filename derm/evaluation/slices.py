"""Which images belong together when a table is made of them: by age, sex, body site, source, skin, confirmation."""

from itertools import pairwise

import numpy as np
import pandas as pd

from derm.appearance import BLUISH, ITA_CATEGORIES, ita_category
from derm.errors import UserError

AGES = (0, 40, 60, 200)
UNKNOWN = "unknown"
Slice = tuple[str, str, np.ndarray]


def by_age(ages: pd.Series) -> list[Slice]:
    """`age`, the band's name, bool [n]: under 40, 40 to 59, 60 and over, unknown; ages: years as text."""
    years = pd.to_numeric(ages, errors="coerce").to_numpy()
    slices = []
    for low, high in pairwise(AGES):
        words = f"under {high}" if not low else f"{low} to {high - 1}" if high < AGES[-1] else f"{low} and over"
        slices.append(("age", words, (years >= low) & (years < high)))
    return [*slices, ("age", UNKNOWN, np.isnan(years))]


def by_value(by: str, values: pd.Series) -> list[Slice]:
    """`by`, the value, bool [n], for each value in alphabetical order; what is empty is unknown, and comes last."""
    known = sorted(set(values) - {""})
    slices = [(by, str(value), (values == value).to_numpy()) for value in known]
    return [*slices, (by, UNKNOWN, (values == "").to_numpy())]


def by_skin_tone(angles: pd.Series) -> list[Slice]:
    """`skin tone (ITA)`, the category, bool [n]; angles: degrees, NaN where unknown. A proxy that lighting, redness
    and hair move as much as skin does."""
    categories = np.array([ita_category(angle) or UNKNOWN for angle in angles])
    return [("skin tone (ITA)", name, categories == name) for name in (*ITA_CATEGORIES, BLUISH, UNKNOWN)]


def by_confirmation(confirmation: pd.Series, targets: np.ndarray, classes: list[str]) -> list[Slice]:
    """The classes whose diagnosis was confirmed in more than one way, each way by itself: in HAM10000 nevi known by
    histology, which somebody thought worth cutting out, and nevi that were followed up."""
    slices = []
    for index, name in enumerate(classes):
        here = targets == index
        ways = sorted(set(confirmation[here]) - {""})
        if len(ways) > 1:
            slices += [("confirmation", f"{name}, {way}", here & (confirmation == way).to_numpy()) for way in ways]
    return slices


def subgroup_slices(rows: pd.DataFrame, targets: np.ndarray, classes: list[str]) -> list[Slice]:
    """All of the above that hold an image; rows: `age, sex, body_site, source, confirmation`, as text, and `ita`.

    A property that is the same for all images, or unknown for all, tells nothing and is left out.
    """
    columns = {"sex": "sex", "body site": "body_site", "source": "source"}
    if missing := [column for column in ("age", "confirmation", "ita", *columns.values()) if column not in rows]:
        raise UserError(f"data/prepared has no column {missing[0]}: run `dvc repro prepare`")
    kinds = [by_age(rows["age"]), *(by_value(by, rows[column]) for by, column in columns.items())]
    kinds.append(by_skin_tone(rows["ita"]))
    kinds.append(by_confirmation(rows["confirmation"], targets, classes))
    told = [[one for one in kind if one[2].any()] for kind in kinds]
    return [one for kind in told if len(kind) > 1 for one in kind]
