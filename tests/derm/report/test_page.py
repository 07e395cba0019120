"""The page: nothing from outside, everything escaped, and what must stand on every page does."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from derm.files import read_json
from derm.report.page import Figure, Part, kinds, render
from derm.report.provenance import provenance_part
from derm.report.scored import UNTOLD
from derm.report.tripod import tripod_part
from derm.report.uses import RANDOM, SYNTHETIC, stamp, uses_part
from tests.derm.report.conftest import HOSTILE, Folder


class Reader(HTMLParser):
    """Elements with their attributes, and all text outside styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements[-1:] and self.elements[-1][0] != "style":
            self.text += data


@pytest.fixture
def page(folder: Folder, picture: Path) -> str:
    artefacts = folder.artefacts()
    hostile = Part(HOSTILE, HOSTILE, [(HOSTILE, pd.DataFrame({HOSTILE: [HOSTILE]}))], [Figure(picture, HOSTILE)])
    parts = [uses_part(artefacts), hostile, provenance_part(artefacts), tripod_part(artefacts)]
    return render(HOSTILE, [HOSTILE], {HOSTILE: UNTOLD}, parts, stamp(artefacts))


def test_nothing_is_fetched(page: str) -> None:
    reader = Reader(page)
    for tag, attributes in reader.elements:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base"), tag
        for name in ("src", "href", "srcset", "data", "action", "background"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:image/png;base64,"), (tag, value)
    assert not re.search(r"url\(|@import|https?:", page)


def test_everything_from_data_is_escaped(page: str) -> None:
    reader = Reader(page)
    assert not any(tag == "b" for tag, _ in reader.elements)
    assert reader.text.count(HOSTILE) >= 8


def test_synthetic_data_say_so_on_the_screen_and_on_every_printed_page(page: str, folder: Folder) -> None:
    assert f'<div class="stamp">{SYNTHETIC}</div>' in page
    style = page[page.index("<style>") : page.index("</style>")]
    assert re.search(rf'@page {{.*@top-center {{\s*content: "{SYNTHETIC}"', style, re.DOTALL)
    assert not set("<>&\"'\\") & set(SYNTHETIC + RANDOM)  # they stand in a style sheet


def test_real_data_have_no_stamp(folder: Folder) -> None:
    prepared = read_json(Path("metrics/prepare.json"))
    folder.json("metrics/prepare.json", prepared | {"synthetic": False})
    artefacts = folder.artefacts()
    assert stamp(artefacts) == ""
    page = render("Title", [], {}, [uses_part(artefacts)], stamp(artefacts))
    assert "SYNTHETIC" not in page
    assert "@top-center" not in page
    assert 'class="stamp"' not in page


def test_random_weights_are_stamped(folder: Folder) -> None:
    artefacts = folder.artefacts()
    artefacts.described("features", "encoders")[0]["weights"] = "random"
    assert stamp(artefacts) == f"{SYNTHETIC}. {RANDOM}"


def test_number_of_states_can_be_put_in(page: str) -> None:
    assert page.count(UNTOLD) == 1


def test_kinds_of_columns() -> None:
    table = pd.DataFrame(
        {
            "n": [1, 2000],
            "share": ["0.91 [0.85, 0.95]", "-"],
            "who": ["under 40", "2"],
            "why": ["-", "a sentence that is much too long for one line of a table"],
        }
    )
    assert kinds(table) == ["number", "number", "word", "text"]


def test_a_wide_picture_stands_alone(picture: Path) -> None:
    assert not Figure(picture, "").alone
    assert Figure(picture, "").width == 600
    assert Figure(picture, "", wide=True).alone
