"""An earlier split stays when images are added; only what is new is dealt out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from derm.errors import UserError
from derm.files import file_digest, write_csv
from derm.splits.params import PARTS, SplitParams
from derm.splits.split import split_images
from tests.derm.splits.data import lesions_of, params, task_of, where


def keep(split: pd.DataFrame, folder: Path, **changes: float) -> SplitParams:
    """Params that name this split as the earlier one."""
    path = folder / "kept.csv"
    write_csv(path, split)
    return params(keep=str(path), keep_sha256=file_digest(path), **changes)


def more(images: pd.DataFrame, **counts: int) -> pd.DataFrame:
    """New lesions whose ids sort before, between and after the old ones."""
    new = lesions_of(**counts)
    new[["image_id", "group", "lesion_id"]] = new[["image_id", "group", "lesion_id"]].map(lambda name: f"{name[::-1]}x")
    return pd.concat([images, new], ignore_index=True).sort_values("image_id", ignore_index=True)


@pytest.mark.parametrize("seed", range(5))
def test_no_old_image_moves_and_new_ones_come_in_the_same_shares(seed: int, tmp_path: Path) -> None:
    old = lesions_of(bcc=40, mel=60, nv=300)
    first = where(split_images(old, task_of(old), params(seed=seed)).table)
    both = more(old, bcc=10, mel=20, nv=70)
    kept = split_images(both, task_of(both), keep(pd.DataFrame(first.items(), columns=["image_id", "part"]), tmp_path))
    second = where(kept.table)
    assert {name: second[name] for name in first} == first and kept.moved == 0
    counts = pd.crosstab(both["diagnosis"], both["image_id"].map(second))[list(PARTS)]
    # Half a lesion of rounding in the new dealing, and as much from the old one.
    assert (
        np.abs(
            counts.to_numpy() - np.outer(both["diagnosis"].value_counts().sort_index(), [0.5, 0.15, 0.15, 0.2])
        ).max()
        <= 2
    )


def test_without_it_adding_images_does_move_old_ones() -> None:
    """Why split.keep is there."""
    old = lesions_of(bcc=40, mel=60, nv=300)
    first = where(split_images(old, task_of(old), params()).table)
    both = more(old, bcc=10, mel=20, nv=70)
    second = where(split_images(both, task_of(both), params()).table)
    assert sum(second[name] != part for name, part in first.items()) > 20


def test_two_old_groups_that_turn_out_to_be_one_go_to_test(tmp_path: Path) -> None:
    old = lesions_of(bcc=20, mel=20, nv=60)
    first = where(split_images(old, task_of(old), params()).table)
    trained, tested = (
        next(name for name in first if first[name] == part and name[:2] == "nv") for part in ("train", "test")
    )
    joined = old.assign(group=old["group"].replace(trained, tested), lesion_id="")
    kept = split_images(
        joined, task_of(joined), keep(pd.DataFrame(first.items(), columns=["image_id", "part"]), tmp_path)
    )
    assert where(kept.table) == first | {trained: "test"} and kept.moved == 1


def test_images_that_are_gone_do_not_matter(tmp_path: Path) -> None:
    old = lesions_of(bcc=20, mel=20, nv=60)
    split = split_images(old, task_of(old), params()).table
    fewer = old[old["image_id"] != "nv007"]
    again = split_images(fewer, task_of(fewer), keep(split, tmp_path))
    assert where(again.table) == {name: part for name, part in where(split).items() if name != "nv007"}


def test_mistakes_are_told(tmp_path: Path) -> None:
    images = lesions_of(bcc=20, mel=20, nv=60)
    wanted = keep(split_images(images, task_of(images), params()).table, tmp_path)
    (tmp_path / "kept.csv").write_text("image_id,part\n")
    with pytest.raises(UserError, match="its SHA-256 is"):
        split_images(images, task_of(images), wanted)
    (tmp_path / "kept.csv").write_text("name,where\na,b\n")
    wrong = params(keep=str(tmp_path / "kept.csv"), keep_sha256=file_digest(tmp_path / "kept.csv"))
    with pytest.raises(UserError, match="no columns image_id and part"):
        split_images(images, task_of(images), wrong)
    (tmp_path / "kept.csv").unlink()
    with pytest.raises(UserError, match="no file"):
        split_images(images, task_of(images), wanted)
    with pytest.raises(ValueError, match="holdout"):
        params(keep="x", scheme="kfold")
