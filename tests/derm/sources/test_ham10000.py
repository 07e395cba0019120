"""HAM10000's folders as Dataverse and Kaggle hand them out, and the official test set beside them."""

from pathlib import Path

import pytest

from derm.errors import UserError
from derm.sources.ham10000 import read
from tests.derm.sources.folder import listed, picture

METADATA = """\
lesion_id,image_id,dx,dx_type,age,sex,localization
H1,ISIC_1,nv,histo,45.0,male,back
H2,ISIC_2,mel,histo,,unknown,
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    picture(tmp_path / "HAM10000_images_part_1/ISIC_1.jpg", 1)
    picture(tmp_path / "HAM10000_images_part_2/ISIC_2.jpg", 2)
    (tmp_path / "HAM10000_metadata.csv").write_text(METADATA)
    return tmp_path


def test_dataverse_layout(root: Path) -> None:
    picture(root / "HAM10000_segmentations_lesion_tschandl/ISIC_2_segmentation.png", 3)
    images = read(root).images.set_index("image_id")
    assert str(images.loc["ISIC_2", "mask"]).endswith("ISIC_2_segmentation.png") and images.loc["ISIC_1", "mask"] == ""
    assert list(images.loc["ISIC_2", ["age", "sex", "body_site", "lesion_id"]]) == ["", "", "", "H2"]
    assert images.loc["ISIC_1", "where"] == "HAM10000_metadata.csv line 2"
    assert set(images["source_part"]) == {"train"}


@pytest.mark.parametrize("name", ["HAM10000_metadata.tab", "HAM10000_metadata"])
def test_the_metadata_by_its_other_names(root: Path, name: str) -> None:
    (root / "HAM10000_metadata.csv").unlink()
    (root / name).write_text(METADATA.replace(",", "\t"))
    assert listed(read(root).images) == {"ISIC_1": ("nv", "train"), "ISIC_2": ("mel", "train")}


def test_kaggles_second_copy_of_every_image_is_passed_over_and_told(root: Path) -> None:
    picture(root / "ham10000_images_part_1/ISIC_1.jpg", 1)
    (root / "hmnist_8_8_L.csv").write_text("pixel0000\n1\n")
    listing = read(root)
    assert [Path(path).parent.name for path in listing.images["path"]] == [
        "HAM10000_images_part_1",
        "HAM10000_images_part_2",
    ]
    assert "1 images have several files" in listing.warnings[0]


@pytest.mark.parametrize(
    "table",
    [
        "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset\nHAMTEST_1,ISIC_9,bkl,histo,50,female,face,x\n",
        "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\nISIC_9,0.0,0.0,0.0,0.0,1.0,0.0,0.0\n",
    ],
    ids=["Dataverse", "challenge"],
)
@pytest.mark.parametrize("ending", [".csv", ".tab"])
def test_the_official_test_set(root: Path, table: str, ending: str) -> None:
    picture(root / "ISIC2018_Task3_Test_Images/ISIC_9.jpg", 9)
    text = table if ending == ".csv" else table.replace(",", "\t")
    (root / f"ISIC2018_Task3_Test_GroundTruth{ending}").write_text(text)
    listing = read(root)
    assert listed(listing.images)["ISIC_9"] == ("bkl", "test")
    assert listing.images["path"].iloc[-1].endswith("ISIC2018_Task3_Test_Images/ISIC_9.jpg")


def test_a_one_hot_row_that_says_two_things_has_no_diagnosis(root: Path) -> None:
    (root / "ISIC2018_Task3_Test_GroundTruth.csv").write_text(
        "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\nISIC_8,1,1,0,0,0,0,0\nISIC_9,0,0,0,0,0,0,0\n"
    )
    assert [label for label, part in listed(read(root).images).values() if part == "test"] == ["", ""]


def test_two_tables_that_agree_and_two_that_do_not(root: Path) -> None:
    (root / "HAM10000_metadata.tab").write_text(METADATA.replace(",", "\t"))
    assert len(read(root).images) == 2
    (root / "HAM10000_metadata.tab").write_text(METADATA.replace(",", "\t").replace("mel", "nv"))
    with pytest.raises(UserError, match=r"HAM10000_metadata\.tab disagree, first on ISIC_2"):
        read(root)
