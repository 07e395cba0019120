"""What the page tells of the maps: what they were tested for, what they pass, and the pictures."""

from pathlib import Path
from typing import Any

import pandas as pd

from derm.explanation.words import NAMES, PASSES, TESTS, UNMEASURED, called, in_words, key, unmeasured
from derm.files import read_csv, read_json
from derm.report.page import Figure, Part

PLOTS = Path("plots/explain")
AKIEC = "akiec"
SHEETS = {
    "sure_and_right": "Sure and right",
    "sure_and_wrong": "Sure and wrong",
    "missed": "Missed",
    "shortcuts": "Where something drawn onto the photograph changed the answer most",
}


def explanation_part() -> Part:
    """Maps and what is known of them, from metrics/explain.json and plots/explain/."""
    told = read_json(Path("metrics/explain.json"))
    tables = [
        ("Tests that a map passes, fails, or of which nothing is shown", _verdicts()),
        ("Do maps lie on the lesion? Mean over images, 95 % interval over lesions", _localisation()),
        ("Does the map change with the model? Rank correlation with the map of a shuffled one", _sanity()),
        ("Does the answer hang on what is marked?", _scores()),
        ("What hair, a ruler, ink and dark corners do to the answer", _shortcuts()),
    ]
    figures = [
        Figure(PLOTS / "localisation.png", "Test: maps against masks, and what knows nothing of them", wide=True)
    ]
    figures += [
        Figure(PLOTS / f"{name}.png", f"{title} ({told['shown'][name]} images)", wide=True)
        for name, title in SHEETS.items()
        if name in told["shown"]
    ]
    verdicts = _read("verdicts.csv")
    missing = unmeasured(verdicts)
    return Part(
        "Where it looked",
        _text(told) + _untested(missing, told),
        [(title, table) for title, table in tables if len(table)],
        [figure for figure in figures if figure.path.is_file()],
        [
            ("What is known of each method, for this model", in_words(verdicts) if len(verdicts) else []),
            (
                "What the tests ask",
                [f"«{test}»: it {meaning}" for test, meaning in TESTS.items() if test not in missing],
            ),
        ],
    )


def _text(told: dict[str, Any]) -> str:
    measured = told["test"]["localisation"]
    text = (
        f"{NAMES[told['method']]} shows what spoke for a class. Lesions are centred, so a map that looks right proves "
        "little; below stands what it was tested for."
    )
    if not measured["images"]:
        return text + " No test image with a usable mask was drawn: whether the maps lie on the lesion is not known."
    verdict = told["test"]["verdict"].get(key(told["method"]), {})
    made = sum(count for name, count in verdict.items() if name != UNMEASURED)
    text += f" Measured on {measured['images']} test images of {measured['lesions']} lesions"
    if left := measured["without_mask"] + measured["useless_mask"]:
        text += f" ({left} passed over: no mask, or one that is empty or covers the frame)"
    text += f"; of {made} tests it passes {verdict.get(PASSES, 0)}." if made else "."
    if AKIEC in set(_read("localisation.csv")["name"]):
        text += (
            " For actinic keratosis (akiec), looking at the sun-damaged skin around the lesion is legitimate: a low "
            "energy inside its mask is no fault."
        )
    return text


def _untested(missing: list[str], told: dict[str, Any]) -> str:
    """What was tested of no method, and which setting would test it, where one would."""
    if not missing:
        return ""
    advice = [
        f"explain.{key}={value} does"
        for key, value, tests, done in (
            ("sanity", "true", ("follow", "beats shuffled", "beats random"), told["test"]["sanity"]),
            ("faithfulness", "200", ("faithful",), told["test"]["faithfulness"]["images"]),
        )
        if not done and any(test.startswith(tests) for test in missing)
    ]
    return f" Not tested in this run: {', '.join(missing)}" + (f" ({', '.join(advice)})." if advice else ".")


def _read(name: str) -> pd.DataFrame:
    table = read_csv(PLOTS / name)
    numbers = [column for column in ("value", "low", "high", "similarity") if column in table]
    return table.assign(**{column: pd.to_numeric(table[column]) for column in numbers})


def _verdicts() -> pd.DataFrame:
    table = _read("verdicts.csv")
    table = table[~table["test"].isin(unmeasured(table))]
    if table.empty:
        return table
    table["method"] = [NAMES[method] for method in table["method"]]
    wide = table.pivot(index="test", columns="method", values="verdict")
    return wide.loc[[test for test in TESTS if test in wide.index], list(dict.fromkeys(table["method"]))].reset_index()


def _interval(row: Any, value: str = "value") -> str:
    return f"{getattr(row, value):.2f} [{row.low:.2f}, {row.high:.2f}]"


def _localisation() -> pd.DataFrame:
    table = _read("localisation.csv")
    table = table[table["by"] == "all"]
    if table.empty:
        return table
    table = table.assign(told=[_interval(row) for row in table.itertuples()])
    wide = table.pivot(index="method", columns="metric", values="told")
    wide = wide.loc[list(dict.fromkeys(table["method"])), list(dict.fromkeys(table["metric"]))].reset_index()
    return wide.assign(method=[called(method) for method in wide["method"]])


def _sanity() -> pd.DataFrame:
    table = _read("sanity.csv")
    return pd.DataFrame(
        {
            "method": [NAMES[method] for method in table["method"]],
            "shuffled": [
                "labels"
                if row.shuffled == "labels"
                else f"head, {float(str(row.share)):.0%} of the encoder from the top"
                for row in table.itertuples()
            ],
            "images": table["images"].to_list(),
            "rank correlation": [_interval(row, "similarity") for row in table.itertuples()],
        }
    )


def _scores() -> pd.DataFrame:
    table = _read("faithfulness.csv")
    return pd.DataFrame(
        {
            "score": table["score"].to_list(),
            "method": [called(method) for method in table["method"]],
            "images": table["images"].to_list(),
            "mean": [f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in table.itertuples()],
        }
    )


def _shortcuts() -> pd.DataFrame:
    table = read_csv(PLOTS / "shortcuts.csv")
    if table.empty:
        return table

    def told(column: str) -> list[str]:
        numbers = [pd.to_numeric(table[name]) for name in (column, f"{column}_low", f"{column}_high")]
        return [f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in zip(*numbers, strict=True)]

    return pd.DataFrame(
        {
            "drawn": table["artefact"].str.replace("_", " "),
            "images": table["images"],
            "lesions": table["lesions"],
            "change of the positive's probability": told("change"),
            "flags that flip": told("flag"),
            "most probable class changes": told("predicted"),
        }
    )
