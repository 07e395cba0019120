"""One self-contained HTML page: numbers with their intervals, figures, and what the reader must know first."""

from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True)
class Figure:
    """A PNG with its caption; `wide` ones take the whole width of the page."""

    path: Path
    caption: str
    wide: bool = False

    @property
    def data(self) -> str:
        """The picture as a data address."""
        return "data:image/png;base64," + b64encode(self.path.read_bytes()).decode()


@dataclass(frozen=True)
class Part:
    """A heading, a few sentences, and tables (title, rows) and figures below them."""

    title: str
    text: str
    tables: list[tuple[str, pd.DataFrame]]
    figures: list[Figure]


def render(title: str, notices: list[str], facts: dict[str, Any], parts: list[Part]) -> str:
    """The page as HTML; everything that comes from data is escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(TEMPLATE.name).render(title=title, notices=notices, facts=facts, parts=parts)
