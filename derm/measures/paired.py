"""Is B better than A? Both on the same images, all headline numbers side by side; one metric decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from derm.errors import UserError
from derm.measures.headline import headline
from derm.measures.paired_bootstrap import LEVEL, holm, interval_and_p, resampled, seed_weights, seeds_mean, stacked

LOWER_IS_BETTER = frozenset({"nll", "brier", "ece", "classwise_ece"})

Judged = Literal["settings", "fitted models"]
Outcome = Literal["better", "worse", "differ", "no difference shown"]


@dataclass(frozen=True)
class Side:
    """What is compared with another.

    tables: predictions (`image_id, group, target` and what `headline` needs) of each seed, all of the same images.
    seeded: whether the head has a seed at all; without one there is a single table.
    """

    name: str
    tables: Sequence[pd.DataFrame]
    seeded: bool


@dataclass(frozen=True)
class Comparison:
    """B against A.

    table: `metric, role` (primary or exploratory), `better` (higher or lower), `a, b` (means over seeds), `difference`
    (b - a), `low, high` (its 95 % interval, not adjusted), `p` (two-sided), `p_adjusted` (exploratory: Holm's; primary:
    as `p`), `a_spread, b_spread` (standard deviation between seeds; NaN for one). The primary metric comes first; what
    cannot be computed is left out.
    judged: what the outcome is about: the settings, or only the models that happen to have been fitted.
    outcome: of B, on the primary metric. smallest: half the width of its interval: a true difference of this size would
    have been shown about every second time, one 1.4 times as large eight times in ten.
    """

    names: tuple[str, str]
    seeds: tuple[int, int]
    images: int
    groups: int
    judged: Judged
    outcome: Outcome
    smallest: float
    table: pd.DataFrame

    @property
    def primary(self) -> pd.Series:
        """The row of the metric that decides."""
        return self.table.iloc[0]


def compare(
    a: Side,
    b: Side,
    classes: list[str],
    positive: str | None,
    primary: str,
    resamples: int,
    seed: int,
    bins: int = 15,
) -> Comparison:
    """Every headline number of B against A; `primary` alone decides.

    classes, positive, bins: see `headline`. resamples: 39 or more; with m exploratory metrics Holm's correction can
    find nothing below 40 m (about 1000). UserError if the tables are not of the same images, targets, groups and
    classes or if there is no such metric.
    """
    tables = check_sides([a, b], classes, positive, primary)
    groups, targets = tables[0]["group"].to_numpy(), tables[0]["target"].to_numpy()
    measures = [partial(headline, table, classes, positive, bins=bins) for table in tables]
    values = {name: value[:, 0] for name, value in stacked([measure() for measure in measures]).items()}
    drawn = resampled(measures, groups, targets, resamples, seed)
    parts = (slice(len(a.tables)), slice(len(a.tables), None))
    generator = np.random.default_rng((seed, len(tables)))
    seeds = [seed_weights(len(side.tables), resamples, generator) for side in (a, b)]
    rows = []
    for metric, value in values.items():
        means = [seeds_mean(value[part], drawn[metric][part], of) for part, of in zip(parts, seeds, strict=True)]
        rows.append(_row(metric, value[parts[0]], value[parts[1]], means[1] - means[0]))
    table = _with_roles(pd.DataFrame(rows), primary)
    judged = what_is_judged(a, b)
    return Comparison(
        names=(a.name, b.name),
        seeds=(len(a.tables), len(b.tables)),
        images=len(groups),
        groups=len(np.unique(groups)),
        judged=judged,
        outcome=_outcome(table.iloc[0], judged),
        smallest=float(table["high"].iloc[0] - table["low"].iloc[0]) / 2,
        table=table,
    )


def check_sides(sides: Sequence[Side], classes: list[str], positive: str | None, primary: str) -> list[pd.DataFrame]:
    """All tables of all sides, as `aligned`. UserError as there, and if there is no such metric."""
    tables = aligned(sides, classes, positive)
    known = headline(tables[0], classes, positive)
    if primary not in known:
        raise UserError(f"the primary metric is {primary!r}, expected one of {', '.join(known)}")
    return tables


def aligned(sides: Sequence[Side], classes: list[str], positive: str | None) -> list[pd.DataFrame]:
    """All tables of all sides, in the order of their ids.

    UserError, naming side and image, if an image is twice in a table or not in every one, or if its target or group is
    not the same in all; or if a table has no probability of a class, or no flag though there is a positive class.
    """
    tables: list[pd.DataFrame] = []
    for side in sides:
        for given in side.tables:
            table = given.sort_values("image_id").reset_index(drop=True)
            _check_table(side.name, table, classes, positive)
            if tables:
                _check_same(sides[0].name, tables[0], side.name, table)
            tables.append(table)
    return tables


def _check_table(name: str, table: pd.DataFrame, classes: list[str], positive: str | None) -> None:
    repeated = table.loc[table["image_id"].duplicated(), "image_id"]
    if len(repeated):
        raise UserError(f"{name}: image {repeated.iloc[0]} is there twice: compare predictions with one row an image")
    told = [str(column).removeprefix("p_") for column in table.columns if str(column).startswith("p_")]
    if set(told) != set(classes):
        raise UserError(
            f"{name} tells {', '.join(told)}, expected {', '.join(classes)}: compare two that have the same classes"
        )
    if positive is not None and (table["flag"].astype(str) == "").any():
        raise UserError(f"{name} has no flags, and the positive class is {positive}: run it with this task.positive")


def _check_same(one: str, first: pd.DataFrame, other: str, table: pd.DataFrame) -> None:
    ids, others = set(first["image_id"]), set(table["image_id"])
    for here, there, alone in ((one, other, ids - others), (other, one, others - ids)):
        if alone:
            raise UserError(
                f"{len(alone)} images are in {here} and not in {there}, such as {min(alone)}: "
                "compare two that were tested on the same images"
            )
    for column, why in (("target", "the same task and labels"), ("group", "the same groups")):
        unlike = np.flatnonzero(first[column].to_numpy() != table[column].to_numpy())
        if len(unlike):
            row = unlike[0]
            raise UserError(
                f"the {column} of {first['image_id'][row]} is {first[column][row]} in {one} and {table[column][row]} "
                f"in {other}: compare two that have {why}"
            )


def what_is_judged(a: Side, b: Side) -> Judged:
    """The settings, where one side has several seeds and the other too, or a head without any.

    One fit of a head with a seed says nothing of its setting; and two fits without a seed are two models.
    """
    several = any(len(side.tables) > 1 for side in (a, b))
    lone = any(side.seeded and len(side.tables) == 1 for side in (a, b))
    return "settings" if several and not lone else "fitted models"


def _row(metric: str, a: np.ndarray, b: np.ndarray, drawn: np.ndarray) -> dict:
    low, high, p = interval_and_p(drawn)
    spreads = [values.std(ddof=1) if len(values) > 1 else np.nan for values in (a, b)]
    return {
        "metric": metric,
        "better": "lower" if metric in LOWER_IS_BETTER else "higher",
        "a": a.mean(),
        "b": b.mean(),
        "difference": b.mean() - a.mean(),
        "low": low,
        "high": high,
        "p": p,
        "a_spread": spreads[0],
        "b_spread": spreads[1],
    }


def _with_roles(rows: pd.DataFrame, primary: str) -> pd.DataFrame:
    """The primary metric first, roles and adjusted p-values; UserError if the primary could not be computed."""
    rows = rows.dropna(subset=["difference", "p"])
    if primary not in set(rows["metric"]):
        raise UserError(f"the primary metric {primary} cannot be computed on these images: choose another")
    rows = rows.sort_values("metric", key=lambda names: names != primary, kind="stable", ignore_index=True)
    rows.insert(1, "role", ["primary", *["exploratory"] * (len(rows) - 1)])
    adjusted = [rows["p"].iloc[0], *holm(rows["p"].iloc[1:].tolist())]
    rows.insert(list(rows.columns).index("p") + 1, "p_adjusted", adjusted)
    return rows


def _outcome(row: pd.Series, judged: Judged) -> Outcome:
    if row["p"] > LEVEL:
        return "no difference shown"
    if judged == "fitted models":
        return "differ"
    return "better" if (row["low"] > 0) == (row["better"] == "higher") else "worse"
