"""What the page tells of subgroups, of lesions instead of images, of the worst errors, and of external sets."""

from pathlib import Path

import pandas as pd

from derm.evaluation.subgroups import NAMES
from derm.files import read_csv
from derm.measures.proportion import EACH, FEWEST
from derm.report.page import Figure, Part

EVALUATE = Path("plots/evaluate")
NUMBERS = {"value": float, "low": float, "high": float}
# What is shown of a lesion's numbers beside an image's, and of an external set.
SHOWN = ("decision.balanced_accuracy", "balanced_accuracy", "macro_auc", "melanoma.auc", "malignant.auc", "ece")
SHOWN += ("flag.sensitivity", "flag.specificity")
WORST = 10


def subgroups_part() -> Part:
    """For whom it works: by age, sex, body site, source and confirmation; by lesion; the worst errors."""
    text = (
        f"Intervals are of 95 %, from the bootstrap over lesions; where fewer than {FEWEST} lesions count, or fewer "
        f"than {EACH} of them on one side, Wilson's on their number. Many rows are looked at here: some would stand "
        "out by chance. The individual typology angle (ITA) of the skin around the lesion follows the light and the "
        "camera at least as much as the skin: a proxy for skin tone that is confounded by lighting."
    )
    tables = [
        ("Test: by image, and by lesion (the mean of its photographs' logits)", by_lesion_table()),
        ("Test: by subgroup", subgroups_table()),
        ("Test: the worst errors, the true class least probable", worst_table()),
    ]
    figures = [Figure(EVALUATE / "subgroups_test.png", "Test: subgroups and their intervals", wide=True)]
    return Part("For whom it works, and where it fails", text, tables, figures)


def subgroups_table() -> pd.DataFrame:
    """A row for each slice, a column for each number."""
    table = read_csv(EVALUATE / "subgroups_test.csv", images=int, lesions=int, positives=int, **NUMBERS)
    return _wide(table, ["by", "name", "images", "lesions", "positives"]).rename(
        columns={"positives": "positive lesions"}
    )


def by_lesion_table() -> pd.DataFrame:
    """Headline numbers by image, by lesion, and with several views also of the first view alone."""
    table = read_csv(EVALUATE / "heads.csv", **NUMBERS)
    words = {"head": "by image", "by_lesion": "by lesion", "first_view": "by image, the first view alone"}
    table = table.set_index("part").loc[["test"]]
    table = table[table["head"].isin(words) & table["metric"].isin(SHOWN)]
    wide = _told(table).pivot(index="metric", columns="head", values="told")
    columns = [name for name in words if name in wide]
    return wide.loc[[name for name in SHOWN if name in wide.index], columns].rename(columns=words).reset_index()


def worst_table() -> pd.DataFrame:
    """The first `WORST`."""
    table = read_csv(EVALUATE / "worst_test.csv", p_true=float, p_decision=float).head(WORST)
    table["true"] = [f"{name} {p:.3f}" for name, p in zip(table["true"], table["p_true"], strict=True)]
    table["decided"] = [f"{name} {p:.3f}" for name, p in zip(table["decision"], table["p_decision"], strict=True)]
    return table[["image_id", "lesion_id", "true", "decided", "flag", "set", "age", "sex", "body_site", "confirmation"]]


def external_tables() -> list[tuple[str, pd.DataFrame]]:
    """What each external set measures, and how much worse that is than home's test part; empty without any."""
    drops = dict.fromkeys(("home", "drop", "drop_low", "drop_high"), float)
    table = read_csv(EVALUATE / "external.csv", images=int, lesions=int, **NUMBERS, **drops)
    told = []
    for name, rows in table[table["metric"].isin(SHOWN)].groupby("set"):
        first = rows.iloc[0]
        lost = [f"{row.drop:+.3f} [{row.drop_low:+.3f}, {row.drop_high:+.3f}]" for row in rows.itertuples()]
        shown = _told(rows)[["metric", "told"]].rename(columns={"told": "here"})
        shown = shown.assign(home=rows["home"].map("{:.3f}".format), **{"home less here": lost})
        told.append((f"{name}: {first['images']:,} images of {first['lesions']:,} groups", shown))
    return told


def _told(table: pd.DataFrame) -> pd.DataFrame:
    cells = [f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in table.itertuples()]
    return table.assign(told=cells)


def _wide(table: pd.DataFrame, index: list[str]) -> pd.DataFrame:
    """Numbers as columns, rows in their order of appearance; an empty cell where there is none."""
    names = NAMES | {"auc": "AUC"}
    rows = table[index].drop_duplicates(ignore_index=True)
    for metric in [name for name in names if (table["metric"] == name).any()]:
        cells = _told(table[table["metric"] == metric])[["by", "name", "told"]].rename(columns={"told": names[metric]})
        rows = rows.merge(cells, on=["by", "name"], how="left")
    return rows.fillna("")
