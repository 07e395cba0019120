"""From a folder to an image table: what belongs together, what contradicts itself, how many bad rows are borne."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from derm.dataset import Dataset, read_dataset, refuse_bad
from derm.errors import UserError
from derm.sources.reader import DataParams
from tests.derm.sources.folder import picture


def params(root: Path, **changes: Any) -> DataParams:
    given = {"source": "folders", "root": str(root), "external": [], "min_side": 32, "max_pixels": 10**6}
    return DataParams.model_validate(given | {"max_rejected": 0.01} | changes)


def read(root: Path, **changes: Any) -> Dataset:
    given = params(root, **changes)
    return read_dataset(given, given)


def test_equal_bytes_and_near_identical_images_are_one_group(tmp_path: Path) -> None:
    one = picture(tmp_path / "nevus/a.png", 1, (96, 64))
    (tmp_path / "nevus/b.png").write_bytes(one.read_bytes())
    with Image.open(one) as image:
        image.resize((192, 128)).save(tmp_path / "nevus/c.png")
    picture(tmp_path / "nevus/d.png", 2, (96, 64))
    dataset = read(tmp_path)
    assert dict(zip(dataset.images["image_id"], dataset.images["group"], strict=True)) == {
        "a": "a",
        "b": "a",
        "c": "a",
        "d": "d",
    }
    assert list(dataset.pairs[["one", "other", "kind", "joins"]].itertuples(index=False, name=None)) == [
        ("a", "b", "bytes", 1),
        ("a", "c", "near-identical", 1),
    ]


def test_one_file_under_two_diagnoses_is_set_aside_with_both(tmp_path: Path) -> None:
    one = picture(tmp_path / "nevus/a.png", 1)
    (tmp_path / "melanoma").mkdir()
    (tmp_path / "melanoma/b.png").write_bytes(one.read_bytes())
    picture(tmp_path / "melanoma/c.png", 2)
    dataset = read(tmp_path)
    assert list(dataset.images["image_id"]) == ["c"] and dataset.lost == 2
    told = "the same file stands under different diagnoses: b (melanoma), a (nevus)"
    assert dict(zip(dataset.rejected["image_id"], dataset.rejected["reason"], strict=True)) == {"a": told, "b": told}


def test_near_identical_images_of_two_diagnoses_are_told_and_kept_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = picture(tmp_path / "nevus/a.png", 1, (96, 64))
    (tmp_path / "melanoma").mkdir()
    with Image.open(one) as image:
        image.resize((192, 128)).save(tmp_path / "melanoma/b.png")
    dataset = read(tmp_path)
    assert set(dataset.images["group"]) == {"a"}
    assert (
        "1 pairs show the same picture or lesion under two diagnoses, first a (nevus) and b" in capsys.readouterr().err
    )


def write_table(root: Path, good: int, bad: int) -> None:
    """Rows that all point at a few files, and rows that point nowhere."""
    for number in range(10):
        picture(root / f"{number}.png", number, (32, 32))
    rows = [f"g{number},{number % 10}.png,{'nv' if number % 2 else 'mel'}" for number in range(good)]
    rows += [f"b{number},gone{number}.png,nv" for number in range(bad)]
    (root / "table.csv").write_text("\n".join(["id,file,label", *rows]) + "\n")


TABLE = {"source": "table", "table": "table.csv", "columns": {"image_id": "id", "path": "file", "diagnosis": "label"}}


def test_a_hundred_bad_rows_of_ten_thousand_are_listed_and_the_run_goes_on(tmp_path: Path) -> None:
    write_table(tmp_path, 9_900, 100)
    dataset = read(tmp_path, **TABLE)
    assert dataset.listed == 10_000 and dataset.lost == len(dataset.rejected) == 100
    assert list(dataset.rejected["image_id"]) == [f"b{number}" for number in range(100)]
    assert dataset.rejected["where"].iloc[0] == "table.csv line 9902"
    refuse_bad(dataset, 0.01, "data", "rejected.csv")


def test_six_thousand_bad_rows_are_refused_with_a_summary(tmp_path: Path) -> None:
    write_table(tmp_path, 4_000, 6_000)
    with pytest.raises(UserError) as caught:
        refuse_bad(read(tmp_path, **TABLE), 0.01, "data", "rejected.csv")
    message = str(caught.value)
    assert "6000 of 10000 rows cannot be used, data.max_rejected allows 1.0%: 6000 x image file not found" in message
    assert "the first: table.csv line 4002, b0" in message and "all are in rejected.csv" in message
    assert "\n" not in message


def test_no_usable_row_is_refused_with_the_reasons(tmp_path: Path) -> None:
    (tmp_path / "nevus").mkdir()
    (tmp_path / "nevus/a.jpg").write_bytes(b"nothing")
    dataset = read(tmp_path)
    assert isinstance(dataset.images, pd.DataFrame) and dataset.images.empty
    with pytest.raises(UserError, match=r"no row can be used .1 x not an image in a known format"):
        refuse_bad(dataset, 0.01, "data", "rejected.csv")
