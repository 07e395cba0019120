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
    told = [_rests_on(calibrated), _biopsies(test), _guarantee(calibrated["conformal"])]
    return Part(
        "Decisions and sets",
        " ".join(sentence for sentence in told if sentence),
        [("Test: how often the set holds the true class, one image of each lesion", _coverage_table())],
        [figure for figure in figures if figure.path.is_file()],
    )


def _rests_on(calibrated: dict) -> str:
    """The binomial interval of the sensitivity that the threshold was set by."""
    kept = calibrated.get("flag_sensitivity")
    if kept is None:
        return ""
    return (
        f"The flag's threshold keeps {kept['value']:.1%} of the calibration part's positive images; as it rests on "
        f"{kept['lesions']} lesions, its sensitivity on others may be {kept['low']:.1%} to {kept['high']:.1%} (95 %, "
        "Wilson)."
    )


def _biopsies(test: dict) -> str:
    """The number needed to biopsy on test, with its 95 % interval: 1 over the flag's precision."""
    if not test.get("flag", {}).get("precision"):
        return ""
    numbers = read_csv(EVALUATE / "intervals.csv", value=float, low=float, high=float)
    row = numbers.set_index(["part", "metric"]).to_dict("index")["test", "flag.precision"]
    most = f"{1 / row['low']:.1f}" if row["low"] > 0 else "any number"
    told = f"{1 / row['value']:.1f} [{1 / row['high']:.1f}, {most}]"
    return f"On test it sends {told} images to biopsy for each that is positive."


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
