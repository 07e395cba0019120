"""What an audit was asked, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from derm.leakage.audit import Report
from derm.leakage.columns import Column


@dataclass(frozen=True)
class Given:
    """What the command line names. columns: role (`columns.ROLES`) -> column, or `none`; train: None, to guess it;
    by_path: an image is known by its path and not by its file's name."""

    split: Path
    metadata: Path | None = None
    images: Path | None = None
    duplicates: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    train: str | None = None
    by_path: bool = False


@dataclass(frozen=True)
class Audited:
    """The report, with the columns that were used (as in `Listed`), what a reader should know, such as what could
    not be checked, and the files that could not be used (`image, reason`)."""

    given: Given
    columns: dict[str, tuple[Column, ...]]
    report: Report
    notes: list[str]
    problems: pd.DataFrame
