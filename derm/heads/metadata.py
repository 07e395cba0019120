"""Age, sex and body site as numbers: all that a head may know of a person, and nothing that the diagnosis brought.

How a diagnosis was confirmed, where an image comes from and ids are not among the columns, and cannot be.
"""

import numpy as np
import pandas as pd
from pydantic import Field

from derm.errors import UserError
from derm.params import Section

CATEGORIES = ("sex", "body_site")
COLUMNS = ("age", *CATEGORIES)


class MetadataEncoding(Section):
    """What was fitted on the training part; kept with the head.

    age: (median, mean, standard deviation) of the known ages, or None if none is known. categories: column -> the
    values that occur, sorted. usual: column -> the most frequent of them, which stands for a missing or unseen one.
    missing: whether each column is followed by a 1 where it was missing.
    """

    age: tuple[float, float, float] | None = Field(strict=False)
    categories: dict[str, list[str]]
    usual: dict[str, str]
    missing: bool

    def _ordered(self) -> list[tuple[str, list[str]]]:
        """Each category with its values, in one order: a dict comes back from JSON in another."""
        return [(column, self.categories[column]) for column in CATEGORIES if column in self.categories]

    @property
    def columns(self) -> list[str]:
        """Names of the numbers, in their order."""
        names = ["age"] if self.age else []
        names += [f"{column}={value}" for column, values in self._ordered() for value in values]
        known = [*(["age"] if self.age else []), *(column for column, _ in self._ordered())]
        return names + ([f"{column} missing" for column in known] if self.missing else [])

    def encode(self, images: pd.DataFrame) -> np.ndarray:
        """Float64 [n, columns] of rows with `age`, `sex` and `body_site` as text, empty where unknown.

        A column that the table lacks is unknown for all.
        """
        blocks, absent = [], []
        if self.age:
            median, mean, deviation = self.age
            ages = pd.to_numeric(_column(images, "age"), errors="coerce").to_numpy(dtype=np.float64)
            absent.append(np.isnan(ages))
            blocks.append(((np.where(absent[-1], median, ages) - mean) / deviation)[:, None])
        for column, values in self._ordered():
            given = _column(images, column)
            absent.append(~given.isin(values).to_numpy())
            known = given.where(given.isin(values), self.usual[column])
            blocks.append(np.stack([(known == value).to_numpy() for value in values], axis=1).astype(np.float64))
        if self.missing:
            blocks += [mask[:, None].astype(np.float64) for mask in absent]
        return np.concatenate(blocks, axis=1)

    def unknown(self) -> np.ndarray:
        """Float64 [columns]: an image of which nothing is known."""
        return self.encode(pd.DataFrame({column: [""] for column in COLUMNS}))[0]


def fit_metadata(images: pd.DataFrame, missing: bool) -> MetadataEncoding:
    """From the rows of the training part. UserError if they hold none of age, sex and body_site.

    Missing values are imputed (median age, most frequent sex and site). `missing` adds an indicator for each column:
    that something was not noted may itself tell the diagnosis, so whoever asks for it is to be warned.
    """
    ages = pd.to_numeric(_column(images, "age"), errors="coerce").dropna()
    age = None
    if len(ages):
        deviation = float(ages.std(ddof=0))
        age = (float(ages.median()), float(ages.mean()), deviation if deviation > 0 else 1.0)
    categories, usual = {}, {}
    for column in CATEGORIES:
        known = _column(images, column)
        known = known[known != ""]
        if len(known):
            counts = known.value_counts()
            categories[column] = sorted(counts.index)
            usual[column] = min(counts.index[counts == counts.max()])
    if age is None and not categories:
        raise UserError(
            "head.metadata is true, and no training image has an age, a sex or a body site: set head.metadata=false"
        )
    return MetadataEncoding(age=age, categories=categories, usual=usual, missing=missing)


def _column(images: pd.DataFrame, name: str) -> pd.Series:
    if name not in images:
        return pd.Series([""] * len(images), index=images.index, dtype=str)
    return images[name].fillna("").astype(str)
