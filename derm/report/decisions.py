"""What the page tells of decisions, flags and sets."""

from pathlib import Path

import pandas as pd

from derm.files import read_csv, read_json
from derm.report.page import Figure, Part

EVALUATE = Path("plots/evaluate")


def decisions_part() -> Part:
    """What the flag is worth, what deferral leaves, and how often the sets hold the true class."""
    calibrated, test = read_json(Path("metrics/calibrate.json")), read_json(Path("metrics/evaluate.json"))["test"]
    figures = [
        Figure(EVALUATE / "decision_curve_test.png", "Test: net benefit of the flag by its threshold"),
        Figure(EVALUATE / "deferral_test.png", "Test: what is left when the least sure go to a person"),
        Figure(EVALUATE / "sets_test.png", "Test: coverage of the sets"),
    ]
    told = [_biopsies(test), _guarantee(calibrated["conformal"])]
    return Part(
        "Decisions and sets",
        " ".join(sentence for sentence in told if sentence),
        [("Test: how often the set holds the true class, one image of each lesion", _coverage_table())],
        [figure for figure in figures if figure.path.is_file()],
    )


def _biopsies(test: dict) -> str:
    precision = test.get("flag", {}).get("precision")
    if not precision:
        return ""
    return f"At its threshold the flag sends {1 / precision:.1f} images to biopsy for each that is positive."


def _guarantee(conformal: dict) -> str:
    short = [f"{name} ({told['missing']} more)" for name, told in conformal.items() if told["missing"]]
    if not short:
        return "Each class has calibration lesions enough for what its sets promise."
    return f"Too few calibration lesions for any promise about the sets of {', '.join(short)}."


def _coverage_table() -> pd.DataFrame:
    numbers = ["coverage", "low", "high", "size", "marginal_coverage", "image_coverage"]
    table = read_csv(EVALUATE / "sets_test.csv", lesions=int, images=int, **dict.fromkeys(numbers, float))
    told = [f"{row.coverage:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in table.itertuples()]
    return pd.DataFrame(
        {
            "by": table["by"],
            "of": table["name"],
            "lesions": table["lesions"],
            "coverage": told,
            "mean size": table["size"].round(2),
            "by one threshold": table["marginal_coverage"].round(3),
            "images": table["images"],
            "coverage of images": table["image_coverage"].round(3),
        }
    )
