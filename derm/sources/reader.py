"""Which reader takes which layout."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from derm.errors import UserError
from derm.params import Section
from derm.sources import ham10000
from derm.sources.listing import Listing


class DataParams(Section):
    """Section `data`: which images, and how many bad ones are borne."""

    source: Literal["ham10000"]
    root: str = Field(min_length=1)
    min_side: int = Field(ge=1)
    max_pixels: int = Field(ge=1)
    max_rejected: float = Field(ge=0, le=1)


def read_source(params: DataParams) -> tuple[Listing, tuple[str, ...]]:
    """The dataset's listing and the diagnoses that its layout knows. UserError if the folder is not usable."""
    root = Path(params.root)
    if not root.is_absolute() and ".." in root.parts:
        raise UserError(
            f"data.root {params.root!r} leaves the repository, and queued experiments run in a copy of it: "
            "give an absolute path, or put the data under data/raw"
        )
    if not root.is_dir():
        raise UserError(f"data.root: no folder {params.root!r}: set it to your dataset's folder (make data ROOT=...)")
    return ham10000.read(root), ham10000.DIAGNOSES
