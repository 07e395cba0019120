"""Image tables made by hand, with or without pictures behind them."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from derm.dataset import PAIRS
from derm.image_table import COLUMNS
from derm.images import digest
from derm.sources.listing import REJECTED


def image_table(rows: list[dict], folder: Path | None = None) -> pd.DataFrame:
    """An image table of rows that name what is known; each image is its own group unless the row says otherwise.

    folder: where a small picture is written for every row; without it no picture can be read.
    """
    filled = []
    for number, row in enumerate(rows):
        image_id = row.get("image_id", f"i{number:04d}")
        known = {"image_id": image_id, "group": image_id, "width": 40, "height": 30}
        if folder is not None:
            path = folder / f"{number}.png"
            pixels = np.random.default_rng(number).integers(0, 256, (30, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
            known |= {"path": str(path), "sha256": digest(path.read_bytes())}
        filled.append(dict.fromkeys(COLUMNS, "") | known | row)
    return pd.DataFrame(filled, columns=COLUMNS)


def pair_table(rows: list[tuple]) -> pd.DataFrame:
    """Pairs: one, other, kind, distance, similarity, joins, lesion ids, diagnoses."""
    return pd.DataFrame(rows, columns=PAIRS)


def rejected_table(reasons: list[str]) -> pd.DataFrame:
    """Rejected rows with these reasons."""
    rows = [(f"table.csv line {number}", f"r{number}", "", reason) for number, reason in enumerate(reasons)]
    return pd.DataFrame(rows, columns=REJECTED)
