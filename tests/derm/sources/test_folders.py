"""Class folders, with and without folders for the parts."""

from pathlib import Path

import pytest

from derm.errors import UserError
from derm.sources.folders import read
from derm.sources.listing import check_rows
from tests.derm.sources.folder import listed, picture


def test_class_folders_alone(tmp_path: Path) -> None:
    picture(tmp_path / "Melanoma/a.JPG")
    picture(tmp_path / "basal  cell carcinoma/deeper/b.v2.jpeg")
    picture(tmp_path / "nevus/c.png")
    (tmp_path / "nevus/readme.txt").write_text("no image")
    picture(tmp_path / ".cache/nevus/d.jpg")
    picture(tmp_path / "nevus/._c.png")
    assert listed(read(tmp_path, "name").images) == {
        "a": ("melanoma", ""),
        "b.v2": ("basal cell carcinoma", ""),
        "c": ("nevus", ""),
    }


@pytest.mark.parametrize(("train", "test"), [("Train", "Test"), ("training", "TESTING")])
def test_parts_above_the_classes(tmp_path: Path, train: str, test: str) -> None:
    picture(tmp_path / train / "melanoma/a.jpg")
    picture(tmp_path / "valid/melanoma/b.jpg")
    picture(tmp_path / test / "nevus/c.jpg")
    assert listed(read(tmp_path, "name").images) == {
        "a": ("melanoma", "train"),
        "b": ("melanoma", "val"),
        "c": ("nevus", "test"),
    }


def test_one_name_in_two_class_folders_is_set_aside_with_both_labels(tmp_path: Path) -> None:
    for place in ("Train/melanoma/a.jpg", "Test/nevus/a.jpg", "Train/nevus/b.jpg"):
        picture(tmp_path / place)
    kept, rejected = check_rows(read(tmp_path, "name").images)
    assert list(kept["image_id"]) == ["b"]
    assert list(rejected["where"]) == ["Test/nevus/a.jpg", "Train/melanoma/a.jpg"]
    assert all(reason.endswith("with different diagnoses: melanoma, nevus") for reason in rejected["reason"])


def test_names_that_repeat_are_told_apart_by_their_path(tmp_path: Path) -> None:
    picture(tmp_path / "melanoma/1.jpg", 1)
    picture(tmp_path / "nevus/1.jpg", 2)
    kept, rejected = check_rows(read(tmp_path, "path").images)
    assert list(kept["image_id"]) == ["melanoma__1", "nevus__1"] and rejected.empty


def test_images_outside_of_class_folders_are_told(tmp_path: Path) -> None:
    picture(tmp_path / "loose.jpg")
    picture(tmp_path / "Train/loose.jpg")
    picture(tmp_path / "nevus/a.jpg")
    assert "2 images stand outside of every class folder" in read(tmp_path, "name").warnings[0]


def test_no_class_folder(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    with pytest.raises(UserError, match="<class>/<image>"):
        read(tmp_path, "name")


def test_a_link_that_leads_back_up_does_not_run_forever(tmp_path: Path) -> None:
    picture(tmp_path / "nevus/a.jpg")
    (tmp_path / "nevus/again").symlink_to(tmp_path)
    assert "a" in listed(read(tmp_path, "name").images)
