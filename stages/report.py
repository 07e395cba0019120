"""Write the one-page report and the model card: every number with its interval, every figure, and what is not known."""

from pathlib import Path

from derm.files import read_json, write_bytes
from derm.params import Section, load
from derm.report import contents
from derm.report.artefacts import Artefacts, Shown
from derm.report.card import model_card
from derm.report.page import render
from derm.report.provenance import provenance_part
from derm.report.scored import UNTOLD
from derm.report.tripod import tripod_part
from derm.report.uses import stamp, uses_part
from stages.runner import run

REPORT = Path("plots/report")


class ReportParams(Section):
    """Section `report`: its heading, and the licence of the model as the hub names it ('' leaves it open)."""

    title: str
    license: str


def main() -> None:
    params = load("report", ReportParams)
    artefacts = Artefacts(
        {
            "task": load("task", Shown),
            "split": load("split", Shown),
            "loss": load("loss", Shown),
            "train": load("train", Shown),
            "evaluate": load("evaluate", Shown),
        }
    )
    prepared, features = read_json(Path("metrics/prepare.json")), artefacts.described("features")
    notices = contents.notices(prepared, features["encoders"])
    facts = contents.facts(prepared, features, artefacts.calibration)
    parts = [uses_part(artefacts), *contents.parts(), provenance_part(artefacts), tripod_part(artefacts)]
    page = render(params.title, notices, facts | {"states scored": UNTOLD}, parts, stamp(artefacts))
    write_bytes(REPORT / "index.html", page.encode())
    card = model_card(params.title, params.license, notices, facts, artefacts)
    write_bytes(REPORT / "model_card.md", card.encode())


if __name__ == "__main__":
    run("report", main)
