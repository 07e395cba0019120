"""What is common to all layouts: label maps, and the one loud line about unknown lesions."""

from pathlib import Path
from typing import Any

import pytest

from derm.errors import UserError
from derm.sources.detect import detect_source
from derm.sources.listing import check_rows
from derm.sources.reader import DatasetParams, read_source
from tests.derm.sources.folder import listed, picture


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, label in enumerate(["Melanoma", "nevus", "Lentigo NOS", "unknown"]):
        picture(tmp_path / label / f"{label[0]}.jpg", number)
    return tmp_path


def read(root: Path, **changes: Any) -> dict[str, tuple[str, str]]:
    return listed(read_source(params(root, **changes)).images)


def params(root: Path, **changes: Any) -> DatasetParams:
    return DatasetParams.model_validate({"source": "folders", "root": str(root)} | changes)


def test_classes_are_renamed_merged_and_left_out(root: Path) -> None:
    labels = {"MELANOMA": "mel", "nevus": "nv", "lentigo  nos": "NV", "unknown": None}
    listing = read_source(params(root, label_map=labels))
    stays = listing.images[~listing.images["leaves"]]
    assert listed(stays) == {"M": ("mel", ""), "n": ("nv", ""), "L": ("nv", "")}
    assert any("1 images of unknown are left out" in told for told in listing.warnings)


def test_a_name_that_no_image_has_is_told_with_those_that_are_there(root: Path) -> None:
    with pytest.raises(UserError, match=r"names 'naevus', which no image has; there are: .*nevus \(1\)"):
        read(root, label_map={"naevus": "nv"})
    with pytest.raises(UserError, match="empty name"):
        read(root, label_map={"nevus": " "})


def test_unknown_lesions_are_one_loud_line(root: Path) -> None:
    loud = [told for told in read_source(params(root)).warnings if told.startswith("WARNING")]
    assert len(loud) == 1 and "4 of 4 images have no lesion_id and no patient_id" in loud[0]


def test_ham10000_knows_its_names_also_with_a_label_map(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    (tmp_path / "HAM10000_metadata.csv").write_text("image_id,dx\na,mel\nb,melanom\nc,\n")
    listing = read_source(DatasetParams(source="ham10000", root=str(tmp_path), label_map={"mel": "malignant"}))
    kept, rejected = check_rows(listing.images)
    assert list(kept["diagnosis"]) == ["malignant"]
    assert "unknown diagnosis 'melanom': expected one of akiec" in rejected["reason"].iloc[0]
    assert "no diagnosis: expected one of" in rejected["reason"].iloc[1]


def test_the_layout_is_found_by_a_look_at_the_folder(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert detect_source(root) == "folders"
    other = tmp_path_factory.mktemp("other")
    picture(other / "nevus/a.jpg")
    with pytest.raises(UserError, match="no layout that is known"):
        detect_source(other)
    (other / "labels.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="--source table --table FILE"):
        detect_source(other)
    (other / "ISIC_2019_Training_GroundTruth.csv").write_text("image,MEL\n")
    assert detect_source(other) == "isic"
    (other / "HAM10000_metadata.tab").write_text("image_id\tdx\n")
    assert detect_source(other) == "ham10000"


def test_ham10000_without_its_metadata_is_not_taken_for_class_folders(tmp_path: Path) -> None:
    for number, folder in enumerate(["ham10000_images_part_1", "HAM10000_images_part_2"]):
        picture(tmp_path / folder / f"ISIC_{number}.jpg", number)
    with pytest.raises(UserError, match=r"its metadata file HAM10000_metadata\.csv is missing"):
        detect_source(tmp_path)


def test_a_table_in_a_linked_folder_is_seen(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    tables = tmp_path_factory.mktemp("tables")
    (tables / "labels.CSV").write_text("a,b\n1,2\n")
    (root / "tables").symlink_to(tables)
    with pytest.raises(UserError, match=r"holds the table tables/labels\.CSV"):
        detect_source(root)
