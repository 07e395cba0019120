"""Which column is which, and what metadata adds."""

from pathlib import Path

import pandas as pd
import pytest

from derm.errors import UserError
from derm.leakage.columns import ROLES
from derm.leakage.listed import Listed, read_listed
from derm.leakage.names import image_key, read_duplicates
from derm.leakage.parts import training_part
from tests.derm.leakage.tables import write


def read(table: Path, metadata: Path | None = None, /, **asked: str) -> Listed:
    return read_listed(table, metadata, asked, by_path=False)


def complaint(table: Path, metadata: Path | None = None, /, **asked: str) -> str:
    with pytest.raises(UserError) as caught:
        read(table, metadata, **asked)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def chosen(listed: Listed) -> dict[str, list[str]]:
    return {role: [column.name for column in columns] for role, columns in listed.columns.items()}


def row(listed: Listed, number: int = 0) -> dict:
    return listed.rows.drop(columns="line").iloc[number].to_dict()


@pytest.mark.parametrize("role", ROLES)
def test_every_usual_name_is_guessed_however_it_is_written(tmp_path: Path, role: str) -> None:
    needed = {"image": "image_id", "split": "part"}
    for name in (name for names in ROLES[role] for name in names):
        for written in (name, name.upper(), name.title().replace("_", " ")):
            header = [*(usual for other, usual in needed.items() if other != role), written]
            table = write(tmp_path / "split.csv", ",".join(header), "x,y,z"[: 2 * len(header) - 1])
            assert chosen(read(table))[role] == [written]


def test_surer_names_come_first_and_what_is_named_is_not_guessed(tmp_path: Path) -> None:
    split = write(tmp_path / "split.csv", "path,image_id,part,fold,dx,target", "a/b.jpg,b,train,1,nv,5")
    assert chosen(read(split)) == {"image": ["image_id"], "split": ["part"], "label": ["dx"]}
    asked = read(split, split="fold", image="path", label="target")
    assert chosen(asked) == {"image": ["path"], "split": ["fold"], "label": ["target"]}
    assert not any(column.guessed for columns in asked.columns.values() for column in columns)
    assert "label" not in chosen(read(split, label="none"))


def test_one_column_plays_one_role(tmp_path: Path) -> None:
    split = write(tmp_path / "split.csv", "image,group", "a,train", "b,test")
    assert chosen(read(split, split="group")) == {"image": ["image"], "split": ["group"]}


def test_this_repositorys_own_split(tmp_path: Path) -> None:
    lines = ["a,a,train,,4", "b,a,val,,4", "c,c,left_out,,0", "d,d,,,0"]
    listed = read(write(tmp_path / "split.csv", "image_id,group,part,fold,target", *lines))
    assert chosen(listed) == {"image": ["image_id"], "split": ["part"], "label": ["target"], "group": ["group"]}
    assert list(listed.rows["part"]) == ["train", "val", "", ""]
    assert list(listed.rows["group_id"]) == ["a", "a", "c", "d"]


def test_what_is_said_of_an_image_may_stand_in_two_tables(tmp_path: Path) -> None:
    split = write(tmp_path / "split.csv", "image;split;lesion_id;target", "x/a.jpg;train;L1;0", "b;test;unknown;1")
    metadata = write(tmp_path / "meta.csv", "isic_id\tdx\tlesion\tpatient_id", "b.png\tmel\tM2\tP2", "a\tnv\tM1\tnan")
    listed = read(split, metadata)
    assert row(listed) == {
        "given": "x/a.jpg",
        "image": "a",
        "part": "train",
        "label": "nv",
        "lesion_id": "L1",
        "patient_id": "",
        "group_id": "",
    }
    # `unknown` is no lesion id; `dx` is a surer label than `target`.
    assert (row(listed, 1)["lesion_id"], row(listed, 1)["patient_id"], row(listed, 1)["label"]) == ("M2", "P2", "mel")
    assert chosen(listed)["lesion"] == ["lesion_id", "lesion"] and chosen(listed)["label"] == ["dx"]
    assert listed.notes == []


def test_images_that_metadata_does_not_have_are_told(tmp_path: Path) -> None:
    split = write(tmp_path / "split.csv", "image,split", "a,train", "b,test", "c,test")
    metadata = write(tmp_path / "meta.csv", "image,lesion_id", "a,l1", "a,", "z,l2")
    listed = read(split, metadata)
    assert list(listed.rows["lesion_id"]) == ["l1", "", ""]
    assert listed.notes == [f"images that are not in {metadata}: 2, such as b"]


def test_a_file_name_in_two_folders_is_one_image_or_two(tmp_path: Path) -> None:
    split = write(tmp_path / "split.csv", "path,split", "p1/1.jpg,train", "p2\\1.jpg,test", "p2/2.jpg,test")
    one = read(split)
    assert list(one.rows["image"]) == ["1", "1", "2"]
    assert (
        one.notes[0].startswith("file names that stand in several folders: 1, such as 1;")
        and "--ids path" in one.notes[0]
    )
    two = read_listed(split, None, {}, by_path=True)
    assert list(two.rows["image"]) == ["p1/1", "p2/1", "p2/2"] and two.notes == []


def test_names_lose_folder_and_ending_only() -> None:
    assert image_key("a/b/photo.1.JPG", False) == image_key(r"C:\b\photo.1.png", False) == "photo.1"
    assert image_key("./a//photo.jpeg", True) == "a/photo"
    assert image_key("ISIC_0000001", False) == "ISIC_0000001"


def test_mistakes_are_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    split = write(tmp_path / "split.csv", "image,split", "a,train", "b,test")

    def table(*lines: str) -> Path:
        return write(tmp_path / "other.csv", *lines)

    assert complaint(table("x,split", "a,b")).endswith("no image column among x, split: name it with --image-column")
    assert complaint(table("image,x", "a,b")).endswith("no split column among image, x: name it with --split-column")
    two = complaint(table("image,split,set", "a,b,c"))
    assert "split and set could each be the split column (columns: image, split, set)" in two
    assert two.endswith("name it with --split-column")
    assert "--label-column" in complaint(table("image,split,dx,class", "a,train,c,d"))
    assert complaint(split, image="file") == f"--image-column: there is no column 'file' ({split}: image, split)"
    assert "no column 'x'" in complaint(split, table("image,lesion", "a,l"), lesion="x")
    assert complaint(table("image,split", "a,train", ",test")).endswith(
        "line 3 names no image: fill it in or take the row out"
    )
    assert complaint(tmp_path / "absent.csv").endswith("absent.csv is missing: expected a CSV file")
    assert "is a folder" in complaint(tmp_path)
    assert "no image column among name, lesion: call it image" in complaint(split, table("name,lesion", "a,l"))
    assert "--lesion-column" in complaint(split, table("image,age", "a,40"))
    assert complaint(split, table("image,lesion", "c,l")).endswith(
        "has none of the images of the split: its first is 'c', the split's 'a'"
    )
    assert "lesion of image a is 'l' in line 2 and 'k' in line 4" in complaint(
        split, table("image,lesion", "a,l", "b,m", "a,k")
    )


def test_a_table_with_every_image_once_a_fold_is_refused(tmp_path: Path) -> None:
    lines = [f"{image},{fold},{'test' if image == fold else 'train'}" for fold in "012" for image in "012"]
    told = complaint(write(tmp_path / "split.csv", "image,fold,split", *lines))
    assert "it holds 3 splits: keep the rows of one fold" in told


def test_the_training_part(tmp_path: Path) -> None:
    def part(column: str, *values: str, asked: str | None = None) -> str:
        lines = [f"i{number},{value}" for number, value in enumerate(values)]
        path = write(tmp_path / "split.csv", f"image,{column}", *lines)
        return training_part(read(path), asked, Path("s.csv"))

    def refused(column: str, *values: str, asked: str | None = None) -> str:
        with pytest.raises(UserError) as caught:
            part(column, *values, asked=asked)
        return str(caught.value)

    assert part("split", "test", "Training", "") == "Training"
    assert part("split", "0", "1", asked="1") == "1" and part("split", "A", "b", asked="a") == "A"
    assert part("fold", "0", "1", "2") == part("Fold", "fold_1", "fold_2", "") == part("fold", "0.0", "1.0", "") == ""
    assert part("fold", "train", "1") == "train" and part("fold", "0", "1", asked="0") == "0"
    assert refused("split", "0", "1").endswith("is the training part in column split: name it with --train")
    assert refused("fold", "a", "b").startswith("s.csv: none of a, b is called train")
    assert "train and training could each be the training part" in refused("split", "train", "training", "test")
    assert "holds only one part, train" in refused("split", "train", "train", "left_out")
    assert "holds no part" in refused("split", "", "n/a")
    assert refused("split", "a", "b", asked="c").startswith("--train 'c': column split of s.csv holds a, b")


def test_lists_of_duplicates(tmp_path: Path) -> None:
    images = {"a", "b", "c"}

    def pairs_of(*lines: str) -> pd.DataFrame:
        return read_duplicates(write(tmp_path / "pairs.csv", *lines), images, False)[0]

    for header, line in (
        ("similarity,from_img,to_img", "0.9,a.jpg,b"),
        ("image_name_1,image_name_2,x", "a,b,1"),
        ("one,other", "x/a,b"),
    ):
        assert pairs_of(header, line).to_dict("records") == [{"one": "a", "other": "b"}]
    # Images that are not in the split may tie others together; what has no name ties nothing.
    assert pairs_of("one,other", "A,Y.jpg", "y,b", "c,", "nan,b").to_numpy().tolist() == [["a", "y"], ["y", "b"]]
    with pytest.raises(UserError, match="which columns hold the pairs"):
        pairs_of("one,other,third", "a,b,c")
    with pytest.raises(UserError, match="the first line is a pair"):
        pairs_of("a,b", "b,c")
