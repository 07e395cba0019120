"""`python -m derm leakage` as a user calls it: exit codes, what is on stdout, and one line for a mistake."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from tests.derm.leakage.photographs import photograph, save
from tests.derm.leakage.tables import leakage, write

HEADER = "image_id,split,dx,lesion_id"
LEAKING = [
    HEADER,
    *(f"a{n},train,mel,l{n}" for n in range(4)),
    *(f"b{n},test,mel,l{n}" for n in range(3)),
    *(f"c{n},test,nv,m{n}" for n in range(5)),
    "a3,train,bkl,l3",
    "c0,val,nv,m0",
]


@pytest.fixture
def split(tmp_path: Path) -> Path:
    return write(tmp_path / "split.csv", *LEAKING)


def test_a_leak_is_told_in_the_first_line_and_the_exit_code(split: Path) -> None:
    done = leakage(split)
    assert done.returncode == 1 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == "LEAK: 3 of 8 test images (37.5 %) have a sibling in training"
    assert lines[1] == "melanoma: 3 of 3 (100.0 %) in test"
    assert "image: image_id (guessed), split: split (guessed), label: dx (guessed), lesion: lesion_id (guessed)" in (
        done.stdout
    )
    assert max(map(len, lines)) <= 120 and all(line == line.rstrip() for line in lines)


def test_json_is_one_object_with_the_numbers_of_the_table(split: Path, tmp_path: Path) -> None:
    table, out = leakage(split).stdout, tmp_path / "found/leaking.csv"
    done = leakage(split, "--json", "--out", out)
    assert done.returncode == 1 and done.stderr == ""
    told = json.loads(done.stdout)
    assert list(told) == sorted(told) and told["leak"] is True
    assert told["verdict"] == table.splitlines()[0]
    siblings = told["share_of_test_with_sibling"]
    assert siblings["test"]["all"] == {"n": 3, "of": 8, "share": 0.375}
    for name in ("all", "mel", "nv"):
        cells = re.search(rf"^  {name} +(\d+|) *(?:of +(\d+)|-)", table, re.MULTILINE)
        shares = siblings["test"]["all"] if name == "all" else siblings["test"]["by_class"][name]
        assert cells and (int(cells[1]), int(cells[2])) == (shares["n"], shares["of"])
    groups = told["groups"]
    # The three melanomas, and the nevus that is in test and in val.
    assert groups["in_several_parts"]["total"] == 4 and groups["images"] == 7
    assert "Groups of images that stand in two or more parts: 4\n" in table
    assert groups["by_kind"] == {"image_name": {"groups": 1, "images": 1}, "lesion_id": {"groups": 4, "images": 7}}
    assert re.search(r"by image name +1 \(1 image\)\n +by lesion id +4 \(7 images\)", table)
    assert told["listed_twice"]["in_one_part"] == {"total": 1, "first": [{"image": "a3", "part": "train", "rows": 2}]}
    assert told["listed_twice"]["in_several_parts"]["first"] == [{"image": "c0", "parts": ["test", "val"]}]
    assert told["conflicting_labels"]["image"]["first"][0]["labels"] == ["bkl", "mel"]
    leaking = pd.read_csv(out)
    assert list(leaking) == ["image", "part", "group", "reason"]
    assert len(leaking) == 8 and set(leaking["image"]) == {"a0", "a1", "a2", "b0", "b1", "b2", "c0"}
    assert leaking.set_index(["image", "part"]).loc[("c0", "val"), "reason"] == "image_name; lesion_id"


def test_long_lists_are_cut_with_their_total_beside(tmp_path: Path) -> None:
    lines = [f"i{n},{part},nv,l{n}" for n in range(130) for part in ("train", "test")]
    told = json.loads(leakage(write(tmp_path / "split.csv", HEADER, *lines), "--json").stdout)
    for cut in (told["groups"]["in_several_parts"], told["listed_twice"]["in_several_parts"]):
        assert (cut["total"], len(cut["first"])) == (130, 100)


def test_no_leak_is_exit_code_0_and_says_what_was_looked_at(tmp_path: Path) -> None:
    clean = write(tmp_path / "clean.csv", HEADER, "a,train,mel,l1", "b,test,mel,l2")
    done = leakage(clean)
    assert done.returncode == 0
    assert done.stdout.startswith("no leak found among 1 train, 1 test images, checked by image name, lesion id\n")
    bare = leakage(write(tmp_path / "bare.csv", "image,set", "a,train", "b,test"))
    assert bare.returncode == 0 and bare.stdout.splitlines()[0].endswith("checked by image name only")
    assert "no lesion ids: only image names were compared; give --metadata or --images" in bare.stdout
    told = json.loads(leakage(clean, "--json").stdout)
    assert told["leak"] is False and told["groups"]["in_several_parts"] == {"total": 0, "first": []}


SPLIT = ("image,split,label", "a,train,nv", "b,test,mel")


@pytest.mark.parametrize(
    ("metadata", "duplicates"),
    [
        (("image,lesion_id,patient_id,dx", "a,l1,,nv", "x,l1,p1,mel", "b,,p1,mel"), ()),
        ((), ("from_img,to_img", "a,x", "x,b")),
        ((), ("from_img,to_img", "b,y", "x,a", "X.jpg,Y")),
        (("image,lesion_id,dx", "a,l1,nv", "X,l1,mel", "b,l2,mel"), ("from_img,to_img", "x.jpg,b")),
    ],
)
def test_images_that_are_not_in_the_split_connect_and_are_not_counted(
    tmp_path: Path, metadata: tuple[str, ...], duplicates: tuple[str, ...]
) -> None:
    given = [write(tmp_path / "split.csv", *SPLIT)]
    if metadata:
        given += ["--metadata", write(tmp_path / "metadata.csv", *metadata)]
    if duplicates:
        given += ["--duplicates", write(tmp_path / "duplicates.csv", *duplicates)]
    done = leakage(*given, "--json", "--out", tmp_path / "leaking.csv")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["verdict"] == "LEAK: 1 of 1 test images (100.0 %) have a sibling in training"
    assert told["parts"] == {"train": 1, "test": 1} and told["left_out"] == 0
    assert told["groups"]["by_kind"] == {"through_others": {"groups": 1, "images": 2}}
    assert all(one["total"] == 0 for one in (*told["conflicting_labels"].values(), *told["listed_twice"].values()))
    assert set(told["without_id"]["first"]) == (set() if metadata else {"a", "b"})
    assert pd.read_csv(tmp_path / "leaking.csv").to_numpy().tolist() == [
        ["b", "test", "a", "through_others"],
        ["a", "train", "a", "through_others"],
    ]


def test_images_that_are_not_in_the_split_tie_nothing_by_what_they_lack(tmp_path: Path) -> None:
    split = write(tmp_path / "split.csv", *SPLIT)
    metadata = write(tmp_path / "metadata.csv", "image,lesion_id,patient_id", "a,l1,p1", "b,l2,", "x,,p1", ",l2,p1")
    duplicates = write(tmp_path / "duplicates.csv", "from_img,to_img", "a,", "b,", "a,y", "b,z")
    done = leakage(split, "--metadata", metadata, "--duplicates", duplicates)
    assert done.returncode == 0 and done.stdout.startswith("no leak found among 1 train, 1 test images")


def test_names_that_differ_in_case_are_one_image_told_as_given(tmp_path: Path) -> None:
    split = write(tmp_path / "split.csv", "image,split", "ISIC_1,train", "isic_1.JPG,test", "Isic_2,train", "d,test")
    metadata = write(tmp_path / "metadata.csv", "image,lesion_id", "isic_1,l1", "ISIC_2.jpg,l2", "D,l2")
    duplicates = write(tmp_path / "duplicates.csv", "from_img,to_img", "isic_2,D.png")
    for by_path in ((), ("--ids", "path")):
        done = leakage(split, "--metadata", metadata, "--duplicates", duplicates, "--json", *by_path)
        assert done.returncode == 1
        told = json.loads(done.stdout)
        assert told["listed_twice"]["in_several_parts"]["first"] == [{"image": "ISIC_1", "parts": ["test", "train"]}]
        assert told["groups"]["by_kind"] == {
            "image_name": {"groups": 1, "images": 1},
            "lesion_id": {"groups": 2, "images": 3},
            "duplicates_list": {"groups": 1, "images": 2},
        }
        members = [one["image"] for one in told["groups"]["in_several_parts"]["first"][1]["images"]["first"]]
        assert members == ["d", "Isic_2"]
        assert not any("folders" in note or "not in" in note for note in told["notes"])


def test_a_leak_past_the_training_part_is_a_leak(tmp_path: Path) -> None:
    done = leakage(write(tmp_path / "split.csv", HEADER, "a,train,mel,l1", "b,test,mel,l2", "c,val,mel,l2"))
    assert done.returncode == 1
    assert done.stdout.startswith("LEAK: 1 group of images in two or more of test, val; none reaches training\n")


def test_folds_and_pictures(tmp_path: Path) -> None:
    for number, name in enumerate("abcdef"):
        save(tmp_path / f"images/{name}.jpg", photograph(number))
    save(tmp_path / "images/f.jpg", photograph(0).resize((200, 150)))
    split = write(tmp_path / "split.csv", "image,fold", *(f"{name},{n % 5}" for n, name in enumerate("abcde")), "f,4")
    done = leakage(split, "--images", tmp_path / "images", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["verdict"] == "LEAK: 2 of 6 images (33.3 %) have a sibling in another fold" and told["train"] is None
    assert told["alike_across_parts"]["by_kind"] == {"near_identical": 1}
    assert "reading images" in done.stderr
    assert re.search(r"fold 4 +1 of 2 +50\.0 %", leakage(split, "--images", tmp_path / "images").stdout)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("image,split\na,train\nb,train\n", "only one part, train"),
        ("image,split\na,dev\nb,test\n", "name it with --train"),
        ("image,quality\na,1\n", "no split column among image, quality: name it with --split-column"),
        ("name,split\na,1\n", "no image column among name, split: name it with --image-column"),
        ("image,split\na,train,x\n", "line 2 has 3 values, the header has 2"),
        ("image,split\n\xe9,train\n", "is not UTF-8 text (line 2"),
        ("image,split\n", "has a header and no rows"),
        ("", "is empty"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "split.csv").write_bytes(content.encode("latin-1"))
    done = leakage(tmp_path / "split.csv", "--json")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert str(tmp_path / "split.csv") in done.stderr and told in done.stderr


def test_files_that_are_read_are_not_written_over(split: Path, tmp_path: Path) -> None:
    before = split.read_bytes()
    for out in (split, tmp_path):
        done = leakage(split, "--out", out)
        assert done.returncode == 1 and done.stderr.startswith("error: --out ") and done.stderr.count("\n") == 1
    assert split.read_bytes() == before
