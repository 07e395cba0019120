"""Equal bytes and the same photograph saved again, found in files."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from derm.errors import UserError
from derm.leakage.audit import Share
from derm.leakage.audited import Given
from derm.leakage.command import audit_files
from derm.leakage.pictures import lookalikes, read_pictures
from tests.derm.leakage.photographs import photograph, save
from tests.derm.leakage.tables import write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five photographs: `again` is `first` of another size and quality, `copy` is `second` to the byte."""
    folder = tmp_path / "images"
    save(folder / "first.jpg", photograph(1))
    save(folder / "deep/again.jpg", photograph(1).resize((200, 150)), quality=60)
    save(folder / "second.jpg", photograph(2))
    shutil.copy(folder / "second.jpg", folder / "deep/copy.jpg")
    save(folder / "other.jpg", photograph(3))
    return folder


def test_a_photograph_saved_again_and_an_equal_file_are_found(folder: Path, tmp_path: Path) -> None:
    split = write(
        tmp_path / "split.csv",
        "file,split,label",
        "first.jpg,train,nv",
        "deep/again.jpg,test,mel",
        "/elsewhere/second.jpg,train,nv",
        "copy,test,nv",
        "other.jpg,test,nv",
    )
    audited = audit_files(Given(split, images=folder))
    report = audited.report
    assert audited.problems.empty
    assert report.groups_by_kind == {"equal_bytes": (1, 2), "near_identical": (1, 2)}
    assert report.share_of_test_with_sibling["test"].all == Share(2, 3)
    assert set(report.leaking["image"]) == {"first", "again", "second", "copy"}
    (near,) = report.alike[report.alike["kind"] == "near_identical"].to_dict("records")
    assert {near["image_one"], near["image_other"]} == {"first", "again"}
    assert 0 <= near["distance"] <= 31 and 0.65 <= near["similarity"] < 1
    assert [one.images for one in report.conflicts["near_identical"]] == [("again", "first")]
    assert audited.notes == ["no lesion ids: only image names and pictures were compared; give --metadata"]


def test_bad_files_are_named_and_not_fatal(folder: Path) -> None:
    (folder / "cut.jpg").write_bytes((folder / "first.jpg").read_bytes()[:2000])
    (folder / "text.jpg").write_text("no picture")
    shutil.copy(folder / "other.jpg", folder / "deep/other.jpg")
    names = pd.Series(["first.jpg", "cut", "text.jpg", "absent", "other", "../../secret.jpg"])
    rows, problems = read_pictures(pd.DataFrame({"given": names, "image": names}), folder, by_path=False)
    assert list(rows["sha256"] != "") == [True, False, False, False, False, False]
    reasons = problems.set_index("image")["reason"].to_dict()
    assert reasons["cut"].startswith("cannot be decoded")
    assert reasons["text.jpg"].startswith("not an image in a known format")
    assert reasons["absent"] == reasons["../../secret.jpg"] == "image file not found"
    assert reasons["other"] == "'other' may be deep/other.jpg or other.jpg"
    assert lookalikes(rows).empty and lookalikes(rows[1:]).empty


def test_by_path_no_file_of_another_folder_is_taken(folder: Path) -> None:
    rows = pd.DataFrame({"given": ["first.jpg", "x/second.jpg"], "image": ["first", "x/second"]})
    found, problems = read_pictures(rows, folder, by_path=True)
    assert list(found["sha256"] != "") == [True, False] and list(problems["image"]) == ["x/second"]


def test_a_folder_without_the_images_is_refused(folder: Path, tmp_path: Path) -> None:
    rows = pd.DataFrame({"given": ["nothing"], "image": ["nothing"]})
    with pytest.raises(UserError, match=r"none of the split's images is in .*, such as 'nothing'"):
        read_pictures(rows, folder, by_path=False)
    with pytest.raises(UserError, match="no folder"):
        read_pictures(rows, tmp_path / "absent", by_path=False)
