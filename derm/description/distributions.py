"""What a dataset is made of: images and lesions by class, age, sex, site, source, size and confirmation."""

import re

import numpy as np
import pandas as pd

# What is described by class; `size` is made of width and height, the others are columns of the image table.
FIELDS = ("age", "sex", "body_site", "source", "size", "confirmation")
MISSING, OTHER = "missing", "other"
UNREADABLE = "not a number"
BANDS = [*(f"{decade}-{decade + 9}" for decade in range(0, 80, 10)), "80+"]
# Sizes are numbers without end where photographs were cut by hand; the commonest are told one by one.
SIZES = 12


def by_count(values: pd.Series) -> list[str]:
    """The values, the commonest first, equally common ones by name."""
    counts = values.value_counts()
    return sorted((str(name) for name in counts.index), key=lambda name: (-counts[name], name))


def count_classes(images: pd.DataFrame) -> pd.DataFrame:
    """`diagnosis, images, lesions`, the largest class first; images: the image table.

    A lesion is a group (patient, lesion or near-identical images), and counts in every class it has an image of.
    """
    counts = images.groupby("diagnosis").agg(images=("image_id", "size"), lesions=("group", "nunique"))
    return counts.loc[by_count(images["diagnosis"])].reset_index()


def age_band(ages: pd.Series) -> pd.Series:
    """Ages (text, in years, empty where missing) as one of `BANDS`, as missing, or as not a number."""
    years = pd.to_numeric(ages, errors="coerce").to_numpy(dtype=float)
    known = np.isfinite(years) & (years >= 0)
    decades = np.where(known, np.minimum(np.where(known, years, 0) // 10, 8), 0).astype(int)
    bands = np.where(known, np.array(BANDS, dtype=object)[decades], UNREADABLE)
    return pd.Series(np.where(ages == "", MISSING, bands), index=ages.index, dtype=str)


def commonest(values: pd.Series, count: int) -> pd.Series:
    """The `count` commonest known values as they are, the others as `other`; what is missing stays missing."""
    kept = by_count(values[~values.isin((MISSING, OTHER))])[:count]
    return values.where(values.isin((*kept, MISSING)), OTHER)


def values_of(images: pd.DataFrame, field: str) -> pd.Series:
    """A field of the image table as it is shown: text, `missing` where nothing is known."""
    if field == "age":
        return age_band(images["age"])
    if field == "size":
        return commonest(images["width"].astype(str) + "x" + images["height"].astype(str), SIZES)
    return images[field].where(images[field] != "", MISSING)


def in_order(values: pd.Series, field: str) -> list[str]:
    """The values that occur: ages in order, all else by count; `other` and then `missing` last."""
    names = BANDS if field == "age" else by_count(values)
    last = [UNREADABLE, OTHER, MISSING]
    there = set(values)
    return [name for name in [*(name for name in names if name not in last), *last] if name in there]


def distributions(images: pd.DataFrame) -> pd.DataFrame:
    """`field, value, diagnosis, images, lesions`: how often each value occurs in each class (only where it does).

    Fields as in `FIELDS`, values as `in_order` says, classes by size; lesions as in `count_classes`.
    """
    classes = by_count(images["diagnosis"])
    parts = []
    for field in FIELDS:
        shown = images[["image_id", "diagnosis", "group"]].assign(value=values_of(images, field))
        grouped = shown.groupby(["value", "diagnosis"]).agg(images=("image_id", "size"), lesions=("group", "nunique"))
        order = pd.MultiIndex.from_product([in_order(shown["value"], field), classes], names=grouped.index.names)
        part = grouped.loc[order[order.isin(grouped.index)]].reset_index()
        part.insert(0, "field", field)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def count_ages(images: pd.DataFrame) -> pd.DataFrame:
    """`age_band, diagnosis, images`, one row for every band and class, also where there is no image: for curves."""
    counts = pd.crosstab(age_band(images["age"]), images["diagnosis"])
    bands = [*BANDS, *(name for name in (UNREADABLE,) if name in counts.index), MISSING]
    counts = counts.reindex(index=bands, columns=by_count(images["diagnosis"]), fill_value=0)
    counts = counts.rename_axis(index="age_band", columns="diagnosis").reset_index()
    return counts.melt("age_band", var_name="diagnosis", value_name="images")


def gist(reason: str) -> str:
    """Why a row was rejected, without what is different in every row: quoted names, ids, paths and numbers."""
    reason = re.sub(r"""(?<!\w)('[^']*'|"[^"]*")(?!\w)""", "...", reason)
    reason = re.sub(r"(?<=stands at ).*?(?= with|:)", "...", reason)
    reason = re.sub(r": expected one of .*|(?<=different diagnoses): .*", "", reason)
    return re.sub(r"[^\s(,:;]*[\d/][^\s),:;]*", "...", reason)


def count_reasons(rejected: pd.DataFrame) -> pd.DataFrame:
    """`reason, rows`: the gist of each reason and how many rows it cost, the commonest first."""
    reasons = rejected["reason"].map(gist).astype(str)
    counts = reasons.value_counts()
    names = by_count(reasons)
    return pd.DataFrame({"reason": pd.Series(names, dtype=str), "rows": [int(counts[name]) for name in names]})
