"""One self-contained HTML page: numbers with their intervals, figures, and what the reader must know first."""

import re
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

# Where a PNG says how many pixels wide it is (its first chunk); what two figures in a row may have.
WIDTH, BESIDE = slice(16, 20), 660
TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True)
class Figure:
    """A PNG with its caption; those that are `wide`, by this or by their pixels, take the whole width of the page."""

    path: Path
    caption: str
    wide: bool = False

    @property
    def data(self) -> str:
        """The picture as a data address."""
        return "data:image/png;base64," + b64encode(self.path.read_bytes()).decode()

    @property
    def width(self) -> int:
        """Of the picture, in pixels."""
        return int.from_bytes(self.path.read_bytes()[WIDTH])

    @property
    def alone(self) -> bool:
        """Whether its print would be too small beside another figure."""
        return self.wide or self.width > BESIDE


@dataclass(frozen=True)
class Part:
    """A heading, a few sentences, perhaps lists (title, points), and tables (title, rows) and figures below them."""

    title: str
    text: str
    tables: list[tuple[str, pd.DataFrame]]
    figures: list[Figure]
    lists: list[tuple[str, list[str]]] = field(default_factory=list)


def render(title: str, notices: list[str], facts: dict[str, Any], parts: list[Part], stamp: str = "") -> str:
    """The page as HTML; everything that comes from data is escaped.

    stamp: stands at the top of every screen and of every printed page; '' for none. It goes into a style sheet too, so
    it is words of this repository, and nothing that comes from data.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["kinds"] = kinds
    page = environment.get_template(TEMPLATE.name)
    return page.render(title=title, notices=notices, facts=facts, parts=parts, stamp=stamp)


# Numbers, also with their interval or after a sign; what is not known.
NUMBER = re.compile(r"[-+]?\d[\d.,]*( ?%)?( [\[(][^\])]*[\])])?|-|")
LONG = 45


def kinds(table: pd.DataFrame) -> list[str]:
    """Of each column: `number`, to be aligned; `text`, which may be wrapped; `word`."""
    found = []
    for number in range(table.shape[1]):
        values = [str(value) for value in table.iloc[:, number]]
        if all(NUMBER.fullmatch(value) for value in values):
            found.append("number")
        else:
            found.append("text" if any(len(value) > LONG for value in values) else "word")
    return found
