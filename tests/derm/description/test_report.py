"""Everything is written, whatever is in the tables, and always the same."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from derm.description.report import sheet_names, write_report
from derm.files import read_csv
from tests.derm.description.tables import image_table, pair_table, rejected_table

TABLES = ("classes", "distributions", "ages", "missing", "rejected", "pairs")
FIGURES = ("classes", "missing", "overview", "rejected", "pairs")
ALWAYS = {*(f"{name}.csv" for name in TABLES), *(f"{name}.png" for name in FIGURES)}
PAIR = ("i0000", "i0001", "near-identical", 12.0, 0.9, 0, "l1", "l1", "nv", "nv")


def images_in(folder: Path, classes: list[str]) -> pd.DataFrame:
    folder.mkdir(exist_ok=True)
    rows = [
        {"diagnosis": classes[number % len(classes)], "age": str(number), "sex": "male" if number % 3 else ""}
        for number in range(40)
    ]
    return image_table(rows, folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_file_is_there_and_repeats_in_any_order_of_rows(tmp_path: Path) -> None:
    images = images_in(tmp_path / "images", ["nv", "mel", "bcc"])
    rejected, pairs = (
        rejected_table(["file is empty", "9x9 pixels", "8x8 pixels"]),
        pair_table([PAIR, ("i0003", *PAIR[1:])]),
    )
    write_report(images, rejected, pairs, tmp_path / "one")
    mixed = [table.sample(frac=1, random_state=6) for table in (images, rejected, pairs)]
    write_report(mixed[0], mixed[1], mixed[2], tmp_path / "two")
    first = contents(tmp_path / "one")
    assert set(first) == {*ALWAYS, "sheets/00_bcc.png", "sheets/01_mel.png", "sheets/02_nv.png"}
    assert contents(tmp_path / "two") == first
    for name in (name for name in first if name.endswith(".png")):
        with Image.open(tmp_path / "one" / name) as image:
            image.load()
            assert image.width > 300 and image.height > 50
    assert list(read_csv(tmp_path / "one" / "pairs.csv")["distance"]) == ["12", "12"]


def test_nothing_rejected_no_pairs_and_nothing_known(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    images = image_table([{"diagnosis": name} for name in ("benign", "malignant", "benign")], tmp_path / "images")
    assert write_report(images, rejected_table([]), pair_table([]), tmp_path / "out") == []
    assert set(contents(tmp_path / "out")) >= ALWAYS
    assert (tmp_path / "out" / "rejected.csv").read_text() == "reason,rows\n"
    assert (tmp_path / "out" / "pairs.csv").read_text().startswith("one,other,kind,")
    assert len(read_csv(tmp_path / "out" / "ages.csv")) == 20


def test_pairs_of_a_published_list_alone_have_no_distance(tmp_path: Path) -> None:
    images = images_in(tmp_path / "images", ["nv", "mel"])
    pairs = pair_table([("i0000", "i0001", "published", None, None, 1, "", "", "nv", "mel")])
    write_report(images, rejected_table([]), pairs, tmp_path / "out")
    assert (tmp_path / "out" / "pairs.csv").read_text().splitlines()[1] == "i0000,i0001,published,,,1,,,nv,mel"


def test_warnings_come_back(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    rows = [{"diagnosis": "mel", "age": ""} for _ in range(12)] + [{"diagnosis": "nv", "age": "40"} for _ in range(12)]
    images = image_table(rows, tmp_path / "images")
    (told,) = write_report(images, rejected_table([]), pair_table([]), tmp_path / "out")
    assert told.startswith("age is missing for 12 images")


@pytest.mark.parametrize(
    "name", ["a/b", "..", "../../etc", "C:\\x", "", "naevus é", "皮膚", "x" * 300, ".hidden", "a\nb"]
)
def test_no_name_of_a_class_leaves_the_folder(name: str) -> None:
    (file,) = sheet_names([name]).values()
    assert Path(file).name == file and len(file) < 60 and file.isascii() and file[0].isdigit()


def test_names_that_look_alike_keep_their_own_files(tmp_path: Path) -> None:
    assert sheet_names(["a b", "a/b", "..", "nv"]) == {
        "..": "00_class.png",
        "a b": "01_a-b.png",
        "a/b": "02_a-b.png",
        "nv": "03_nv.png",
    }
    images = images_in(tmp_path / "images", ["a/b", "a b", ".."])
    write_report(images, rejected_table([]), pair_table([]), tmp_path / "deep" / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"images", "deep"}
    assert len(list((tmp_path / "deep/out/sheets").iterdir())) == 3
