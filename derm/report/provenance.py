"""What the report was made from: who is in the data, and which files."""

from derm.report.artefacts import Artefacts
from derm.report.page import Part


def provenance_part(artefacts: Artefacts) -> Part:
    """People in each part of the split and digests of the files, as a section of the page."""
    text = (
        "Age as median [quartiles]; sex and confirmation as shares of the images that have them. "
        "Equal digests mean equal files."
    )
    tables = [("Who is in each part of the split", artefacts.people()), ("Files", artefacts.digests())]
    return Part("What it was made from", text, tables, [])
