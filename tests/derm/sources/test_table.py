"""Any CSV: what its image column may hold, and what is refused."""

from pathlib import Path

import pytest

from derm.errors import UserError
from derm.sources.listing import check_rows
from derm.sources.table import read
from tests.derm.sources.folder import listed, picture

NAMES_IN_ORDER = ["path", "diagnosis", "image_id", "lesion_id", "patient_id", "age", "sex", "body_site", "confirmation"]
NAMES_IN_ORDER += ["source", "source_part", "mask"]
COLUMNS = {"path": "file", "diagnosis": "label"}


def write(root: Path, *rows: str, header: str = "file,label") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "table.csv").write_text("\n".join([header, *rows]) + "\n")
    return root


def reasons(root: Path, **columns: str) -> dict[str, str]:
    """Line of the table -> why the row is refused, empty where it is kept."""
    images = read(root, "table.csv", COLUMNS | columns).images
    _, rejected = check_rows(images)
    told = dict(zip(rejected["where"], rejected["reason"], strict=True))
    return {where.removeprefix("table.csv line "): told.get(where, "") for where in images["where"]}


def test_every_column_that_is_named_is_read(tmp_path: Path) -> None:
    picture(tmp_path / "a/x.jpg")
    picture(tmp_path / "masks/x.png")
    header = "file;label;id;lesion;patient;years;gender;where;how;from;set;seg"
    row = "a/x.jpg; Nevus ;n1;L1;P1;45;female;back;histo;clinic;training;masks/x.png"
    write(tmp_path, row, header=header)
    names = dict(
        zip(
            NAMES_IN_ORDER,
            header.split(";"),
            strict=True,
        )
    )
    image = read(tmp_path, "table.csv", names).images.iloc[0].to_dict()
    assert image == {
        "where": "table.csv line 2",
        "image_id": "n1",
        "path": f"{tmp_path}/a/x.jpg",
        "diagnosis": "nevus",
        "lesion_id": "L1",
        "patient_id": "P1",
        "age": "45",
        "sex": "female",
        "body_site": "back",
        "confirmation": "histo",
        "source": "clinic",
        "source_part": "train",
        "problem": "",
        "mask": f"{tmp_path}/masks/x.png",
    }


def test_names_without_ending_with_another_ending_or_case(tmp_path: Path) -> None:
    picture(tmp_path / "images/one.v2.JPG")
    picture(tmp_path / "images/Two.jpeg")
    picture(tmp_path / "three.jpg.png")
    write(tmp_path, "one.v2,nv", "TWO.JPEG,nv", "three.jpg,mel", r"images\Two.jpeg,nv")
    images = read(tmp_path, "table.csv", COLUMNS).images
    assert [path.removeprefix(f"{tmp_path}/") for path in images["path"]] == [
        "images/one.v2.JPG",
        "images/Two.jpeg",
        "three.jpg.png",
        "images/Two.jpeg",
    ]
    assert list(images["image_id"]) == ["images__one.v2", "images__Two", "three.jpg", "images__Two"]


def test_addresses_absolute_paths_and_ways_out_are_refused_with_their_reason(tmp_path: Path) -> None:
    root = tmp_path / "set"
    picture(tmp_path / "secret.jpg")
    picture(root / "inside.jpg")
    write(
        root,
        "https://example.org/a.jpg,nv",
        f"{tmp_path}/secret.jpg,nv",
        "../secret.jpg,nv",
        "a/../../secret.jpg,nv",
        r"C:\photos\a.jpg,nv",
        "absent.jpg,nv",
        f"{root}/inside.jpg,nv",
        ",nv",
    )
    told = reasons(root)
    assert "is an address" in told["2"]
    assert "absolute path outside" in told["3"] and "absolute path outside" in told["6"]
    assert "could leave" in told["4"] and "could leave" in told["5"]
    assert told["7"] == "image file not found" and told["8"] == "" and "no image file is named" in told["9"]
    paths = read(root, "table.csv", COLUMNS).images["path"]
    assert [path for path in paths if path] == [f"{root}/inside.jpg"]


def test_a_name_that_two_files_have_is_not_guessed(tmp_path: Path) -> None:
    picture(tmp_path / "a/x.jpg", 1)
    picture(tmp_path / "b/x.jpg", 2)
    write(tmp_path, "x,nv", "a/x,nv")
    told = reasons(tmp_path)
    assert "may be a/x.jpg or b/x.jpg" in told["2"] and told["3"] == ""


def test_labels_with_stray_spaces_are_one_class(tmp_path: Path) -> None:
    for name in "abc":
        picture(tmp_path / f"{name}.jpg")
    write(tmp_path, "a.jpg, mel", "b.jpg,MEL ", "c.jpg,melanoma  in\u00a0situ".replace("\u00a0", " "))
    assert {label for label, _ in listed(read(tmp_path, "table.csv", COLUMNS).images).values()} == {
        "mel",
        "melanoma in situ",
    }


def test_hundreds_of_bad_rows_are_all_listed(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    write(tmp_path, "a.jpg,nv", *(f"gone{number}.jpg,nv" for number in range(300)))
    assert sum(reason == "image file not found" for reason in reasons(tmp_path).values()) == 300


@pytest.mark.parametrize(
    ("table", "columns", "told"),
    [
        ("", COLUMNS, "data.table is empty"),
        ("../table.csv", COLUMNS, "must stand inside data.root"),
        ("absent.csv", COLUMNS, "absent.csv is missing"),
        ("table.csv", {"path": "file"}, "must say which column is `diagnosis`"),
        ("table.csv", {"diagnosis": "label"}, "which is `path` or `image_id`"),
        ("table.csv", COLUMNS | {"lesion": "x"}, "data.columns names 'lesion'"),
        ("table.csv", COLUMNS | {"age": "years"}, "no column years"),
        ("table.csv", COLUMNS | {"source_part": "label"}, "holds 'nv', expected train, val, test"),
    ],
)
def test_mistakes_in_the_params_are_one_line(tmp_path: Path, table: str, columns: dict, told: str) -> None:
    write(tmp_path, "a.jpg,nv")
    with pytest.raises(UserError) as caught:
        read(tmp_path, table, columns)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_a_table_that_is_not_utf8_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes("file,label\na.jpg,nv\nb.jpg,n\xe6vus\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"is not UTF-8 text \(line 3"):
        read(tmp_path, "table.csv", COLUMNS)


def test_masks_that_are_not_there_are_told(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    write(tmp_path, "a.jpg,nv,m.png", header="file,label,mask")
    listing = read(tmp_path, "table.csv", COLUMNS | {"mask": "mask"})
    assert "1 masks are left out" in listing.warnings[0] and listing.images["mask"].tolist() == [""]
