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
