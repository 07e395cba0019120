"""From a folder to an image table: what belongs together, what contradicts itself, how many bad rows are borne."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from derm.appearance import appearance
from derm.dataset import Dataset, read_dataset, refuse_bad
from derm.errors import UserError
from derm.files import write_csv
from derm.image_table import read_appearance
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


def test_what_each_image_looks_like_stands_beside_the_table(tmp_path: Path) -> None:
    for number, name in enumerate("cab"):
        picture(tmp_path / f"nevus/{name}.png", number)
    (tmp_path / "nevus/0.png").write_bytes(b"no image")
    dataset = read(tmp_path)
    assert list(dataset.appearance["image_id"]) == list(dataset.images["image_id"]) == ["a", "b", "c"]
    for row in dataset.appearance.to_dict("records"):
        with Image.open(tmp_path / f"nevus/{row['image_id']}.png") as image:
            expected = appearance(image.convert("RGB"), None)._asdict()
        assert math.isnan(row.pop("ita")) and math.isnan(expected.pop("ita"))
        assert row == {"image_id": row["image_id"]} | expected
    write_csv(tmp_path / "appearance.csv", dataset.appearance)
    pd.testing.assert_frame_equal(read_appearance(tmp_path / "appearance.csv"), dataset.appearance)


def test_a_damaged_table_of_looks_is_named(tmp_path: Path) -> None:
    (tmp_path / "appearance.csv").write_text("image_id,brightness\na,very\n")
    with pytest.raises(UserError, match=r"appearance\.csv is damaged .*very"):
        read_appearance(tmp_path / "appearance.csv")


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


LINKS = {
    "source": "table",
    "table": "table.csv",
    "columns": {"image_id": "id", "path": "file", "diagnosis": "label", "lesion_id": "lesion", "patient_id": "patient"},
}


def groups(root: Path, *rows: str, **changes: Any) -> dict[str, str]:
    """Rows `id,file,label,lesion,patient` as a dataset: the group of each image that is left."""
    (root / "table.csv").write_text("\n".join(["id,file,label,lesion,patient", *rows]) + "\n")
    images = read(root, **(LINKS | changes)).images
    return dict(zip(images["image_id"], images["group"], strict=True))


def test_links_hold_through_images_that_cannot_be_used(tmp_path: Path) -> None:
    for number, name in enumerate("abcdefgh"):
        picture(tmp_path / f"{name}.png", number)
    (tmp_path / "bad.png").write_bytes(b"broken")
    # Through a broken file: lesion on one side, patient on the other.
    assert groups(tmp_path, "a,a.png,nv,L1,", "x,bad.png,nv,L1,P1", "b,b.png,nv,,P1") == {"a": "a", "b": "a"}
    # Through a row that repeats an image under another lesion.
    rows = ["m,a.png,nv,L1,", "x,b.png,nv,L1,", "x,b.png,nv,L2,", "n,c.png,nv,L2,"]
    assert groups(tmp_path, *rows) == {"m": "m", "n": "m", "x": "m"}
    # But rows that name no image are not one image.
    rows = ["a,a.png,nv,L1,", ",b.png,nv,L1,", ",c.png,nv,L2,", "d,d.png,nv,L2,"]
    assert groups(tmp_path, *rows) == {"a": "a", "d": "d"}
    # Through a class that the user leaves out.
    rows = ["a,a.png,nv,L1,", "x,b.png,df,L1,P1", "c,c.png,mel,,P1", "d,d.png,mel,,"]
    assert groups(tmp_path, *rows, label_map={"df": None}) == {"a": "a", "c": "a", "d": "d"}
    # Through one file under two diagnoses, both set aside.
    (tmp_path / "copy.png").write_bytes((tmp_path / "e.png").read_bytes())
    rows = ["a,a.png,nv,L1,", "x,e.png,nv,L1,", "y,copy.png,mel,L2,", "b,b.png,mel,L2,"]
    assert groups(tmp_path, *rows) == {"a": "a", "b": "a"}


def test_a_class_that_is_left_out_still_contradicts(tmp_path: Path) -> None:
    for place in ("melanoma/a.png", "seborrheic keratosis/a.png", "melanoma/b.png"):
        picture(tmp_path / place, len(place))
    dataset = read(tmp_path, label_map={"seborrheic keratosis": None})
    assert list(dataset.images["image_id"]) == ["b"]
    assert list(dataset.rejected["where"]) == ["melanoma/a.png"] and (dataset.listed, dataset.lost) == (2, 1)
    assert "different diagnoses: melanoma, seborrheic keratosis" in dataset.rejected["reason"].iloc[0]


def test_known_pairs_of_ham10000_hold_together_wherever_their_ids_stand(tmp_path: Path) -> None:
    picture(tmp_path / "nevus/ISIC_0024629.png", 1)
    picture(tmp_path / "nevus/ISIC_0029625.png", 2)
    picture(tmp_path / "nevus/ISIC_0000001.png", 3)
    dataset = read(tmp_path)
    assert list(dataset.images["group"]) == ["ISIC_0000001", "ISIC_0024629", "ISIC_0024629"]
    assert list(dataset.pairs["kind"]) == ["published"]


def test_an_image_in_two_of_the_sources_parts_counts_as_tested(tmp_path: Path) -> None:
    picture(tmp_path / "Train/nevus/a.png", 1)
    picture(tmp_path / "test/nevus/a.png", 1)
    assert list(read(tmp_path).images["source_part"]) == ["test"]
