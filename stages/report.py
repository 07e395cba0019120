"""Write the one-page report: every number with its interval, every figure."""

from pathlib import Path

from derm.decisions.outcome import read_calibration
from derm.files import read_json, write_bytes
from derm.params import Section, load
from derm.report import contents
from derm.report.page import render
from stages.runner import run

CLASSIFIER = Path("models/classifier")


class ReportParams(Section):
    """Section `report`: its heading."""

    title: str


def main() -> None:
    params, prepared = load("report", ReportParams), read_json(Path("metrics/prepare.json"))
    features = read_json(CLASSIFIER / "classifier.json")["features"]
    facts = contents.facts(prepared, features, read_calibration(CLASSIFIER / "calibration.json"))
    page = render(params.title, contents.notices(prepared, features["encoders"]), facts, contents.parts())
    write_bytes(Path("plots/report/index.html"), page.encode())


if __name__ == "__main__":
    run("report", main)
