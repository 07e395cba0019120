"""What the page tells of photographs: those unlike the training images, and notes on their quality."""

from pathlib import Path
from typing import Any

import pandas as pd

from derm.files import read_csv, read_json
from derm.report.page import Figure, Part

EVALUATE = Path("plots/evaluate")


def photographs_part() -> Part:
    """How many are outside, what the notes are worth, and which of them are told."""
    notes = read_json(Path("metrics/calibrate.json"))["quality"]
    shown = [name for name, note in notes.items() if note["shown"]]
    told = f"Told with a prediction: {', '.join(shown)}." if shown else "No note is told with a prediction."
    text = (
        f"{_outside()} It is told from the features alone, and reacts to what changes them, such as another resolution "
        "or camera; it says little of an unknown class of lesion. A note on a photograph's quality is told only if "
        f"decisions on such photographs of val and calibration are measurably more often wrong. {told}"
    )
    figure = Figure(EVALUATE / "ood_test.png", "Test: distance from the training images, one image of each lesion")
    return Part("Photographs", text, [("Notes on quality, on val and calibration", _notes_table(notes))], [figure])


def _outside() -> str:
    numbers = read_csv(EVALUATE / "intervals.csv", value=float, low=float, high=float)
    row = numbers.set_index(["part", "metric"]).to_dict("index")["test", "ood.outside"]
    share = f"{row['value']:.1%} [{row['low']:.1%}, {row['high']:.1%}]"
    return f"{share} of the test images are further from the training images than nearly all calibration lesions."


def _notes_table(notes: dict[str, dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "note": name,
                "measure": note["measure"].replace("_", " "),
                "below": f"{note['threshold']:.4g}",
                "images": note["images"],
                "wrong": _share(note.get("error")),
                "wrong among others": _share(note.get("error_others")),
                "difference": _difference(note),
                "told": "yes" if note["shown"] else "no",
            }
            for name, note in notes.items()
        ]
    )


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _difference(note: dict[str, Any]) -> str:
    if "low" not in note:
        return ""
    return f"{note['difference']:+.3f} [{note['low']:+.3f}, {note['high']:+.3f}]"
