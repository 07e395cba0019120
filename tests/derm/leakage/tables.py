"""What the tests of the leakage audit share: rows by hand, and the command as a user calls it."""

import subprocess
import sys
from pathlib import Path

import pandas as pd

from tests.closure import ROOT

COLUMNS = ["image", "part", "label", "lesion_id", "patient_id", "group_id"]


def rows(*given: tuple[str, ...], sha256: str = "") -> pd.DataFrame:
    """Rows as `Listed.rows` has them; what is not given is empty. sha256: one letter a row, a space for no file."""
    table = pd.DataFrame([one + ("",) * (len(COLUMNS) - len(one)) for one in given], columns=COLUMNS)
    return table.assign(sha256=[letter.strip() for letter in sha256]) if sha256 else table


def pairs(*given: tuple[str, str]) -> pd.DataFrame:
    """Pairs as `one, other`, with the distance and similarity that near-identical ones have."""
    table = pd.DataFrame(given, columns=["one", "other"], dtype=str)
    return table.assign(distance=7, similarity=0.9)


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def leakage(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`python -m derm leakage ...`."""
    command = [sys.executable, "-m", "derm", "leakage", *map(str, arguments)]
    environment = {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "COLUMNS": "200"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
