"""Where real images are, for the tests that need them: an environment variable, else a folder under data/raw."""

import os
from pathlib import Path

import pytest

from tests.closure import ROOT


def _folder(variable: str, name: str) -> Path | None:
    given = os.environ.get(variable)
    folder = Path(given) if given else ROOT / "data/raw" / name
    return folder if folder.is_dir() else None


HAM10000 = _folder("DERM_HAM10000", "ham10000")
NINE_CLASSES = _folder("DERM_NINE_CLASSES", "isic9")

needs_ham10000 = pytest.mark.skipif(
    HAM10000 is None, reason="NOT RUN: no real HAM10000 in data/raw/ham10000 or where DERM_HAM10000 points"
)
needs_nine_classes = pytest.mark.skipif(
    NINE_CLASSES is None,
    reason="NOT RUN: no nine-class ISIC folders in data/raw/isic9 or where DERM_NINE_CLASSES points",
)
