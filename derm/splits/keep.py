"""Keep an earlier split when images are added: what stood in a part stays there, only new groups are dealt out."""

from pathlib import Path

import numpy as np
import pandas as pd

from derm.errors import UserError
from derm.files import file_digest
from derm.splits.params import PARTS, SplitParams
from derm.splits.strata import strata
from derm.task import Task

# Where a group joins images of several earlier parts, it goes to the one that is least trained on.
BY_CAUTION = ("test", "calibration", "val", "train")


def kept_parts(images: pd.DataFrame, task: Task, params: SplitParams) -> tuple[pd.Series, int]:
    """The part of each group, and how many images had to leave their earlier part. Index: group.

    images: `image_id, group, diagnosis`. Old images leave their part only if a new image, or a pair that was not known
    before, joins two groups that were in different parts: then both go to test before calibration before val before
    train. New groups go, in an order drawn by seed, to the part that is furthest below its share of their diagnosis.
    UserError if `split.keep` is missing, damaged, or not the file whose SHA-256 the params give.
    """
    earlier = images["image_id"].map(_read(params))
    rank = earlier.map({name: number for number, name in enumerate(BY_CAUTION)})
    best = rank.groupby(images["group"]).min()
    part = best.map(dict(enumerate(BY_CAUTION)))
    moved = int((earlier.notna() & (images["group"].map(part) != earlier)).sum())
    shares = np.array([1 - params.val - params.calibration - params.test, params.val, params.calibration, params.test])
    generator = np.random.default_rng(params.seed)
    labels = strata(images, task, PARTS, params.rare)
    for label in sorted(labels.unique()):
        members = part[labels.index[labels == label]]
        held = members.value_counts().reindex(PARTS, fill_value=0).to_numpy(copy=True)
        for group in generator.permutation(members.index[members.isna()].to_numpy()):
            chosen = int(np.argmax(shares * len(members) - held))
            part[group] = PARTS[chosen]
            held[chosen] += 1
    return part.fillna("train"), moved


def _read(params: SplitParams) -> dict[str, str]:
    """Earlier part by image id."""
    path = Path(params.keep)
    if not path.is_file():
        raise UserError(f"split.keep: no file {params.keep!r}: expected the split.csv of an earlier run")
    if file_digest(path) != params.keep_sha256:
        raise UserError(
            f"split.keep: {path} is not the file that split.keep_sha256 names: its SHA-256 is {file_digest(path)}"
        )
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)[["image_id", "part"]]
    except (KeyError, ValueError) as error:
        raise UserError(f"split.keep: {path} has no columns image_id and part ({error})") from None
    table = table[table["part"].isin(PARTS)]
    return dict(zip(table["image_id"], table["part"], strict=True))
