"""Folders of the ISIC challenges, each year in the form in which it is handed out."""

import time
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from derm.errors import UserError
from derm.sources.isic import read
from derm.sources.isic_columns import agree
from derm.sources.listing import COLUMNS, check_rows
from tests.derm.sources.folder import listed, picture


def table(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def pictures(folder: Path, *names: str) -> None:
    for seed, name in enumerate(names):
        picture(folder / f"{name}.jpg", seed)


def row_of(images: pd.DataFrame, image_id: str) -> dict[str, str]:
    (row,) = images[images["image_id"] == image_id].to_dict("records")
    return {str(column): value for column, value in row.items()}


def of_2018(root: Path) -> None:
    table(
        root / "ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv",
        "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\n"
        "ISIC_0024306,0.0,1.0,0.0,0.0,0.0,0.0,0.0\n"
        "ISIC_0024307,0.0,0.0,0.0,1.0,0.0,0.0,0.0\n"
        "ISIC_0024308,1.0,0.0,0.0,0.0,0.0,0.0,0.0\n",
    )
    table(
        root / "ISIC2018_Task3_Training_LesionGroupings.csv",
        "image,lesion_id,diagnosis_confirm_type\n"
        "ISIC_0024306,HAM_0000550,serial imaging showing no change\n"
        "ISIC_0024307,HAM_0003577,histopathology\n"
        "ISIC_0024308,HAM_0001477,single image expert consensus\n",
    )
    pictures(root / "ISIC2018_Task3_Training_Input", "ISIC_0024306", "ISIC_0024307", "ISIC_0024308")


def of_2019(root: Path, labels: str = "") -> None:
    table(
        root / "ISIC_2019_Training_GroundTruth.csv",
        "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK\n"
        + (
            labels
            or "ISIC_0024306,0.0,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\n"
            "ISIC_0024307,0.0,0.0,0.0,1.0,0.0,0.0,0.0,0.0,0.0\n"
            "ISIC_0000017_downsampled,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0,0.0\n"
        ),
    )
    table(
        root / "ISIC_2019_Training_Metadata.csv",
        "image,age_approx,anatom_site_general,lesion_id,sex\n"
        "ISIC_0024306,45,anterior torso,HAM_0000550,male\n"
        "ISIC_0024307,50,,HAM_0003577,female\n"
        "ISIC_0000017_downsampled,,posterior torso,,\n",
    )
    pictures(root / "ISIC_2019_Training_Input", "ISIC_0024306", "ISIC_0024307", "ISIC_0000017_downsampled")


def test_2016_without_a_header(tmp_path: Path) -> None:
    table(tmp_path / "ISBI2016_ISIC_Part3_Training_GroundTruth.csv", "ISIC_0000000,benign\nISIC_0000002,malignant\n")
    table(tmp_path / "ISBI2016_ISIC_Part3_Test_GroundTruth.csv", "ISIC_0000003,0.0\nISIC_0000013,1.0\n")
    pictures(tmp_path / "ISBI2016_ISIC_Part3_Training_Data", "ISIC_0000000", "ISIC_0000002")
    pictures(tmp_path / "ISBI2016_ISIC_Part3_Test_Data", "ISIC_0000003", "ISIC_0000013")
    listing = read(tmp_path)
    assert listed(listing.images) == {
        "ISIC_0000000": ("benign", "train"),
        "ISIC_0000002": ("malignant", "train"),
        "ISIC_0000003": ("benign", "test"),
        "ISIC_0000013": ("malignant", "test"),
    }
    row = row_of(listing.images, "ISIC_0000013")
    assert row["where"] == "ISBI2016_ISIC_Part3_Test_GroundTruth.csv line 2"
    assert row["path"] == f"{tmp_path.as_posix()}/ISBI2016_ISIC_Part3_Test_Data/ISIC_0000013.jpg"
    assert listing.diagnoses is None and listing.duplicates == [] and listing.warnings == []


def test_2017_with_superpixels_and_a_nevus_by_two_zeros(tmp_path: Path) -> None:
    header = "image_id,melanoma,seborrheic_keratosis\n"
    table(
        tmp_path / "ISIC-2017_Training_Part3_GroundTruth.csv",
        f"{header}ISIC_0000000,0.0,0.0\nISIC_0000002,1.0,0.0\nISIC_0007038,0.0,1.0\nISIC_0007039,1.0,1.0\n",
    )
    table(tmp_path / "ISIC-2017_Validation_Part3_GroundTruth.csv", f"{header}ISIC_0001769,0.0,0.0\n")
    table(tmp_path / "ISIC-2017_Test_v2_Part3_GroundTruth.csv", f"{header}ISIC_0012086,0.0,1.0\n")
    inputs = tmp_path / "ISIC-2017_Training_Data"
    table(
        inputs / "ISIC-2017_Training_Data_metadata.csv",
        "image_id,age_approximate,sex\nISIC_0000000,55,female\nISIC_0000002,unknown,unknown\n",
    )
    pictures(inputs, "ISIC_0000000", "ISIC_0000002", "ISIC_0007038", "ISIC_0007039")
    picture(inputs / "ISIC_0000000_superpixels.png")
    pictures(tmp_path / "ISIC-2017_Validation_Data", "ISIC_0001769")
    pictures(tmp_path / "ISIC-2017_Test_v2_Data", "ISIC_0012086")
    listing = read(tmp_path)
    kept, rejected = check_rows(listing.images)
    assert listed(kept) == {
        "ISIC_0000000": ("nevus", "train"),
        "ISIC_0000002": ("melanoma", "train"),
        "ISIC_0007038": ("seborrheic keratosis", "train"),
        "ISIC_0001769": ("nevus", "val"),
        "ISIC_0012086": ("seborrheic keratosis", "test"),
    }
    assert list(kept["age"]) == ["", "55", "", "", ""] and list(kept["sex"]) == ["", "female", "", "", ""]
    (reason,) = rejected["reason"]
    assert reason.startswith(
        "ISIC-2017_Training_Part3_GroundTruth.csv line 5: melanoma is 1.0, seborrheic_keratosis is 1.0"
    )
    assert listing.warnings == []


def test_2018_with_lesion_groupings(tmp_path: Path) -> None:
    of_2018(tmp_path)
    row = row_of(read(tmp_path).images, "ISIC_0024307")
    assert row == dict.fromkeys([*COLUMNS, "problem"], "") | {
        "where": "ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv line 3",
        "image_id": "ISIC_0024307",
        "path": f"{tmp_path.as_posix()}/ISIC2018_Task3_Training_Input/ISIC_0024307.jpg",
        "diagnosis": "akiec",
        "lesion_id": "HAM_0003577",
        "confirmation": "histopathology",
        "source_part": "train",
    }


def test_2018_rows_that_are_not_one_hot(tmp_path: Path) -> None:
    table(
        tmp_path / "ISIC2018_Task3_Validation_GroundTruth.csv",
        "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\n"
        "ISIC_0034321,0,0,0,0,0,0,0\n"
        "ISIC_0034322,1,1,0,0,0,0,0\n"
        "ISIC_0034323,1,,0,0,0,0,0\n"
        "ISIC_0034324,1,0.3,0,0,0,0,0\n"
        "ISIC_0034325,0,0,0,0,0,0,1\n",
    )
    pictures(tmp_path, *(f"ISIC_003432{number}" for number in range(1, 6)))
    kept, rejected = check_rows(read(tmp_path).images)
    assert listed(kept) == {"ISIC_0034325": ("vasc", "val")}
    file = "ISIC2018_Task3_Validation_GroundTruth.csv"
    for line, told, reason in zip(
        range(2, 6),
        ("all are 0;", "MEL is 1, NV is 1;", "MEL is 1, NV is empty;", "MEL is 1, NV is 0.3;"),
        rejected["reason"],
        strict=True,
    ):
        assert reason.startswith(f"{file} line {line}: {told} expected one 1")


def test_2019_with_smaller_pictures_and_weights_in_the_test(tmp_path: Path) -> None:
    of_2019(tmp_path)
    table(
        tmp_path / "ISIC_2019_Test_GroundTruth.csv",
        "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK,score_weight,validation_weight\n"
        "ISIC_0034321,0,0,0,0,0,0,0,0,1,0.0,1.0\n"
        "ISIC_0034322,0,0,0,1,0,0,0,0,0,1.0,0.0\n",
    )
    table(
        tmp_path / "ISIC_2019_Test_Metadata.csv",
        "image,age_approx,anatom_site_general,sex\nISIC_0034321,30,head/neck,nan\nISIC_0034322,85,palms/soles,male\n",
    )
    pictures(tmp_path / "ISIC_2019_Test_Input", "ISIC_0034321", "ISIC_0034322")
    listing = read(tmp_path)
    assert listed(listing.images) == {
        "ISIC_0024306": ("nv", "train"),
        "ISIC_0024307": ("ak", "train"),
        "ISIC_0000017_downsampled": ("scc", "train"),
        "ISIC_0034321": ("unk", "test"),
        "ISIC_0034322": ("ak", "test"),
    }
    described = ["age", "sex", "body_site", "lesion_id"]
    rows = {image: [row_of(listing.images, image)[name] for name in described] for image in listed(listing.images)}
    assert rows["ISIC_0024306"] == ["45", "male", "anterior torso", "HAM_0000550"]
    assert rows["ISIC_0000017_downsampled"] == ["", "", "posterior torso", ""]
    assert rows["ISIC_0034321"] == ["30", "", "head/neck", ""]
    assert (listing.images["path"] != "").all() and (listing.images["problem"] == "").all()


def test_2020_with_duplicates_and_a_test_without_labels(tmp_path: Path) -> None:
    table(
        tmp_path / "ISIC_2020_Training_GroundTruth_v2.csv",
        "image_name,patient_id,lesion_id,sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target\n"
        "ISIC_2637011,IP_7279968,IL_7972535,male,45,head/neck,unknown,benign,0\n"
        "ISIC_0015719,IP_3075186,IL_4649854,female,45,upper extremity,Seborrheic keratosis,benign,0\n"
        "ISIC_0149568,IP_0962375,IL_6540984,female,55,,melanoma,malignant,1\n"
        "ISIC_0149569,IP_0962376,IL_6540985,female,55,torso,nevus,malignant,1\n",
    )
    table(  # the first version has no lesions, and is often kept beside the second
        tmp_path / "ISIC_2020_Training_GroundTruth.csv",
        "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target\n"
        "ISIC_2637011,IP_7279968,male,45.0,head/neck,unknown,benign,0\n",
    )
    table(tmp_path / "ISIC_2020_Training_Duplicates.csv", "image_name_1,image_name_2\nISIC_2637011,ISIC_0015719\n")
    table(
        tmp_path / "ISIC_2020_Test_Metadata.csv",
        "image,patient,sex,age_approx,anatom_site_general\nISIC_0052060,IP_3579794,male,70,\nISIC_0052349,IP_1,male,40,\n",
    )
    pictures(tmp_path / "train", "ISIC_2637011", "ISIC_0015719", "ISIC_0149568", "ISIC_0149569")
    pictures(tmp_path / "ISIC_2020_Test_Input", "ISIC_0052060", "ISIC_0052349")
    listing = read(tmp_path)
    kept, rejected = check_rows(listing.images)
    assert listed(kept) == {
        "ISIC_2637011": ("benign", "train"),
        "ISIC_0015719": ("seborrheic keratosis", "train"),
        "ISIC_0149568": ("melanoma", "train"),
    }
    row = row_of(listing.images, "ISIC_2637011")
    assert row["where"] == "ISIC_2020_Training_GroundTruth.csv line 2"
    described = [row[name] for name in ("patient_id", "lesion_id", "age", "body_site")]
    assert described == ["IP_7279968", "IL_7972535", "45.0", "head/neck"]
    assert list(rejected["reason"]) == [
        "ISIC_2020_Training_GroundTruth_v2.csv line 5: diagnosis is nevus, benign_malignant is malignant: keep the one "
        "that is right"
    ]
    assert listing.duplicates == [("ISIC_2637011", "ISIC_0015719")]
    assert listing.warnings == [
        "WARNING: 2 images have no ground truth and are left out, first ISIC_2020_Test_Input/ISIC_0052060.jpg"
    ]


def test_2024_from_three_tables(tmp_path: Path) -> None:
    table(
        tmp_path / "ISIC_2024_Training_GroundTruth.csv",
        "isic_id,malignant\nISIC_0015670,0.0\nISIC_0015845,1.0\nISIC_0015864,0.7\n",
    )
    table(
        tmp_path / "ISIC_2024_Training_Supplement.csv",
        "isic_id,attribution,copyright_license,lesion_id,iddx_full,iddx_1,iddx_2,mel_thick_mm,tbp_lv_dnn_lesion_confidence\n"
        "ISIC_0015670,Memorial Sloan Kettering Cancer Center,CC-BY,,Benign,Benign,,,97.5\n"
        'ISIC_0015845,"Hospital Clínic, Barcelona",CC-BY,IL_6727506,Malignant::Melanoma in situ,Malignant,,,3.1\n',
    )
    table(
        tmp_path / "ISIC_2024_Training_Input/metadata.csv",
        "isic_id,patient_id,age_approx,sex,anatom_site_general,clin_size_long_diam_mm,image_type,tbp_lv_A\n"
        "ISIC_0015670,IP_1235828,60.0,male,lower extremity,3.04,TBP tile: close-up,20.2\n"
        "ISIC_0015845,IP_8170065,60.0,,head/neck,1.1,TBP tile: close-up,31.7\n",
    )
    pictures(tmp_path / "ISIC_2024_Training_Input", "ISIC_0015670", "ISIC_0015845", "ISIC_0015864")
    images = read(tmp_path).images
    kept, rejected = check_rows(images)
    assert listed(kept) == {"ISIC_0015670": ("benign", "train"), "ISIC_0015845": ("malignant", "train")}
    row = row_of(images, "ISIC_0015845")
    assert row["source"] == "Hospital Clínic, Barcelona" and row["lesion_id"] == "IL_6727506"
    assert row["patient_id"] == "IP_8170065" and row["body_site"] == "head/neck" and row["sex"] == ""
    assert list(rejected["reason"]) == [
        "ISIC_2024_Training_GroundTruth.csv line 4: malignant is 0.7, expected 0 or 1, benign or malignant"
    ]


def test_2024_as_kaggle_hands_it_out(tmp_path: Path) -> None:
    table(
        tmp_path / "train-metadata.csv",
        "isic_id,target,patient_id,age_approx,sex,anatom_site_general,image_type,attribution,copyright_license,lesion_id,"
        "iddx_full,iddx_1\n"
        "ISIC_0015670,0,IP_1235828,60.0,male,lower extremity,TBP tile: close-up,MSK,CC-BY,,Benign,Benign\n"
        "ISIC_0104229,1,IP_9057861,80.0,male,lower extremity,TBP tile,ACEMID,CC-0,IL_9520694,Malignant,Malignant\n",
    )
    table(tmp_path / "test-metadata.csv", "isic_id,patient_id,age_approx,sex\nISIC_0015657,IP_6074337,45.0,male\n")
    table(tmp_path / "sample_submission.csv", "isic_id,target\nISIC_0015670,1\nISIC_0015657,0.3\n")
    (tmp_path / "train-image.hdf5").write_bytes(b"packed")
    pictures(tmp_path / "train-image/image", "ISIC_0015670", "ISIC_0104229")
    listing = read(tmp_path)
    assert listed(listing.images) == {"ISIC_0015670": ("benign", "train"), "ISIC_0104229": ("malignant", "train")}
    assert list(listing.images["lesion_id"]) == ["", "IL_9520694"] and list(listing.images["problem"]) == ["", ""]
    assert list(listing.images["path"]) == [
        f"{tmp_path.as_posix()}/train-image/image/{name}.jpg" for name in ("ISIC_0015670", "ISIC_0104229")
    ]


def test_2018_and_2019_in_one_folder(tmp_path: Path) -> None:
    of_2018(tmp_path / "2018")
    of_2019(tmp_path / "2019")
    listing = read(tmp_path)
    assert listed(listing.images) == {
        "ISIC_0024306": ("nv", "train"),
        "ISIC_0024307": ("akiec", "train"),  # ak in 2019: the first name stays
        "ISIC_0024308": ("mel", "train"),
        "ISIC_0000017_downsampled": ("scc", "train"),
    }
    assert (listing.images["problem"] == "").all()
    row = row_of(listing.images, "ISIC_0024306")
    assert row["where"].startswith("2018/") and row["age"] == "45"
    assert row["confirmation"] == "serial imaging showing no change"
    assert listing.warnings == [
        "WARNING: 2 images have several files; taken is the first, such as "
        "2018/ISIC2018_Task3_Training_Input/ISIC_0024306.jpg"
    ]


def test_tables_that_disagree_on_the_diagnosis_or_the_lesion(tmp_path: Path) -> None:
    of_2018(tmp_path)
    of_2019(
        tmp_path,
        "ISIC_0024306,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\n"
        "ISIC_0024307,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0,0.0\n"
        "ISIC_0024308,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\n",
    )
    table(tmp_path / "more.csv", "image,lesion_id,patient_id\nISIC_0024308,HAM_9999999,P1\nISIC_0024307,,P2\n")
    table(tmp_path / "people.csv", "image,patient_id\nISIC_0024307,P3\n")
    kept, rejected = check_rows(read(tmp_path).images)
    assert kept.empty
    truth = "ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv"
    assert dict(zip(rejected["image_id"], rejected["reason"], strict=True)) == {
        "ISIC_0024306": f"diagnosis is nv in {truth} line 2, mel in ISIC_2019_Training_GroundTruth.csv line 2",
        "ISIC_0024307": "patient_id is P2 in more.csv line 3, P3 in people.csv line 2",
        "ISIC_0024308": "lesion_id is HAM_0001477 in ISIC2018_Task3_Training_LesionGroupings.csv line 4, HAM_9999999 "
        "in more.csv line 2",
    }


def test_a_row_that_is_wrong_in_one_year_is_not_mended_by_another(tmp_path: Path) -> None:
    of_2018(tmp_path)
    of_2019(tmp_path, "ISIC_0024306,1.0,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\n")
    row = row_of(read(tmp_path).images, "ISIC_0024306")
    assert row["problem"].startswith("ISIC_2019_Training_GroundTruth.csv line 2: MEL is 1.0, NV is 1.0;")


def test_a_named_diagnosis_is_taken_before_benign_or_malignant(tmp_path: Path) -> None:
    table(
        tmp_path / "ISBI2016_ISIC_Part3_Training_GroundTruth.csv",
        "ISIC_0000000,benign\nISIC_0000001,benign\nISIC_0000002,malignant\n",
    )
    table(
        tmp_path / "ISIC-2017_Training_Part3_GroundTruth.csv",
        "image_id,melanoma,seborrheic_keratosis\nISIC_0000000,0.0,0.0\nISIC_0000002,0.0,1.0\n",
    )
    pictures(tmp_path, "ISIC_0000000", "ISIC_0000001", "ISIC_0000002")
    images = read(tmp_path).images
    assert row_of(images, "ISIC_0000000")["diagnosis"] == "nevus"
    assert row_of(images, "ISIC_0000000")["where"] == "ISIC-2017_Training_Part3_GroundTruth.csv line 2"
    assert row_of(images, "ISIC_0000001")["diagnosis"] == "benign"
    assert row_of(images, "ISIC_0000002")["problem"] == (
        "diagnosis is seborrheic keratosis in ISIC-2017_Training_Part3_GroundTruth.csv line 3, malignant in "
        "ISBI2016_ISIC_Part3_Training_GroundTruth.csv line 3"
    )


def test_a_row_without_a_diagnosis_gives_way_to_a_table_that_has_one(tmp_path: Path) -> None:
    table(
        tmp_path / "a.csv",
        "image_name,diagnosis\nISIC_0000001,unknown\nISIC_0000002,\nISIC_0000003,nevus\nISIC_0000004,nan\n",
    )
    table(tmp_path / "b.csv", "isic_id,malignant\nISIC_0000001,1\nISIC_0000003,0\nISIC_0000004,\n")
    pictures(tmp_path, *(f"ISIC_000000{number}" for number in range(1, 5)))
    kept, rejected = check_rows(read(tmp_path).images)
    assert dict(zip(kept["where"], kept["diagnosis"], strict=True)) == {
        "a.csv line 4": "nevus",
        "b.csv line 2": "malignant",
    }
    assert dict(zip(rejected["where"], rejected["reason"], strict=True)) == {
        "a.csv line 3": "no diagnosis",
        "a.csv line 5": "no diagnosis",
    }


def test_rows_without_an_id_are_told_of_every_table(tmp_path: Path) -> None:
    table(tmp_path / "a.csv", "isic_id,malignant\nISIC_0000001,1\n,0\n")
    table(tmp_path / "b.csv", "isic_id,malignant\n,1\n,0\n")
    pictures(tmp_path, "ISIC_0000001")
    kept, rejected = check_rows(read(tmp_path).images)
    assert list(kept["image_id"]) == ["ISIC_0000001"]
    assert list(rejected["where"]) == ["a.csv line 3", "b.csv line 2", "b.csv line 3"]


def test_training_of_one_year_and_test_of_another_is_test(tmp_path: Path) -> None:
    header = "image_id,melanoma,seborrheic_keratosis\n"
    table(tmp_path / "ISIC-2017_Training_Part3_GroundTruth.csv", f"{header}ISIC_0000003,0,0\nISIC_0000004,1,0\n")
    table(tmp_path / "ISIC-2017_Validation_Part3_GroundTruth.csv", f"{header}ISIC_0000004,1,0\nISIC_0000005,1,0\n")
    table(tmp_path / "ISBI2016_ISIC_Part3_Test_GroundTruth.csv", "ISIC_0000003,0.0\n")
    pictures(tmp_path, "ISIC_0000003", "ISIC_0000004", "ISIC_0000005")
    listing = read(tmp_path)
    assert listed(listing.images) == {
        "ISIC_0000003": ("nevus", "test"),
        "ISIC_0000004": ("melanoma", "val"),
        "ISIC_0000005": ("melanoma", "val"),
    }
    assert listing.warnings == [
        "WARNING: 2 images are in different parts, taken is test, else val; first ISIC_0000003: test by "
        "ISBI2016_ISIC_Part3_Test_GroundTruth.csv, train by ISIC-2017_Training_Part3_GroundTruth.csv"
    ]


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("labels.csv", ""),
        ("Test/labels.csv", "test"),
        ("Test/train-labels.csv", "train"),
        ("validation/2019/labels.csv", "val"),
        ("train_and_test.csv", ""),
        ("latest_contraining.csv", ""),
    ],
)
def test_the_part_is_in_the_name_or_else_in_a_folder(tmp_path: Path, file: str, part: str) -> None:
    table(tmp_path / file, "isic_id,malignant\nISIC_0015670,0.0\n")
    pictures(tmp_path, "ISIC_0015670")
    assert listed(read(tmp_path).images) == {"ISIC_0015670": ("benign", part)}


def test_tables_that_differ_on_age_or_sex_are_told_once(tmp_path: Path) -> None:
    of_2019(tmp_path)
    table(
        tmp_path / "ISIC_2019_Z.csv",
        "image,age_approx,sex\nISIC_0024306,45.0,Male\nISIC_0024307,55,male\nISIC_0000017_downsampled,30,male\n",
    )
    listing = read(tmp_path)
    row = row_of(listing.images, "ISIC_0024307")
    assert (row["age"], row["sex"], row["problem"]) == ("50", "female", "")
    assert row_of(listing.images, "ISIC_0000017_downsampled")["age"] == "30"
    assert listing.warnings == [
        "WARNING: tables differ on age, sex, site, confirmation or source of 1 images, the first value is kept, such "
        "as ISIC_0024307: age is 50 in ISIC_2019_Training_Metadata.csv line 3, 55 in ISIC_2019_Z.csv line 3"
    ]


def test_masks_are_matched_and_never_listed(tmp_path: Path) -> None:
    of_2018(tmp_path)
    masks = tmp_path / "ISIC2018_Task1_Training_GroundTruth"
    masks.mkdir()
    for name in ("ISIC_0024306_segmentation.png", "ISIC_0024307_Segmentation.png", "ISIC_0099999_segmentation.png"):
        Image.new("L", (64, 48), 255).save(masks / name)  # 2016 writes Segmentation, later years segmentation
    Image.new("L", (64, 48), 255).save(masks / "ISIC_0024308_attribute_milia_like_cyst.png")
    listing = read(tmp_path)
    assert list(listing.images["mask"]) == [
        f"{masks.as_posix()}/ISIC_0024306_segmentation.png",
        f"{masks.as_posix()}/ISIC_0024307_Segmentation.png",
        "",
    ]
    assert len(listing.images) == 3 and listing.warnings == []


def test_an_image_that_is_not_there_is_told(tmp_path: Path) -> None:
    of_2018(tmp_path)
    (tmp_path / "ISIC2018_Task3_Training_Input/ISIC_0024308.jpg").unlink()
    kept, rejected = check_rows(read(tmp_path).images)
    assert len(kept) == 2
    assert list(rejected["image_id"]) == ["ISIC_0024308"] and list(rejected["reason"]) == ["image file not found"]


def test_an_image_that_stands_twice_in_one_table(tmp_path: Path) -> None:
    table(
        tmp_path / "ISIC_2024_Training_GroundTruth.csv",
        "isic_id,malignant\nISIC_0000001,0\nISIC_0000001,0\nISIC_0000002,0\nISIC_0000002,1\n",
    )
    pictures(tmp_path, "ISIC_0000001", "ISIC_0000002")
    kept, rejected = check_rows(read(tmp_path).images)
    assert list(kept["where"]) == ["ISIC_2024_Training_GroundTruth.csv line 2"]
    assert [where[-6:] for where in rejected["where"]] == ["line 3", "line 4", "line 5"]


def test_an_id_with_the_ending_of_a_file_and_a_file_in_capitals(tmp_path: Path) -> None:
    table(tmp_path / "labels.csv", "\ufeffimage_name;target\nISIC_0000001.jpg;1\n")
    picture(tmp_path / "deep/er/ISIC_0000001.JPG")
    images = read(tmp_path).images
    assert row_of(images, "ISIC_0000001")["path"] == f"{tmp_path.as_posix()}/deep/er/ISIC_0000001.JPG"


def test_a_jpeg_is_taken_before_a_png_of_its_name(tmp_path: Path) -> None:
    table(tmp_path / "labels.csv", "image,patient,target\nISIC_0000001,P7,1\n")
    picture(tmp_path / "a/ISIC_0000001.png")
    picture(tmp_path / "b/ISIC_0000001.jpeg")
    listing = read(tmp_path)
    row = row_of(listing.images, "ISIC_0000001")
    assert row["path"] == f"{tmp_path.as_posix()}/b/ISIC_0000001.jpeg" and row["patient_id"] == "P7"
    assert listing.warnings == ["WARNING: 1 images have several files; taken is the first, such as b/ISIC_0000001.jpeg"]


def test_a_picture_of_2019_made_smaller_is_tied_to_the_one_of_2017(tmp_path: Path) -> None:
    of_2019(tmp_path)
    table(
        tmp_path / "ISIC-2017_Training_Part3_GroundTruth.csv",
        "image_id,melanoma,seborrheic_keratosis\nISIC_0000017,0.0,0.0\n",
    )
    table(tmp_path / "near_duplicates_across_lesion_ids.csv", "from_img,to_img\nISIC_0024306,ISIC_0024307\n")
    pictures(tmp_path / "ISIC-2017_Training_Data", "ISIC_0000017")
    assert set(read(tmp_path).duplicates) == {
        ("ISIC_0000017", "ISIC_0000017_downsampled"),
        ("ISIC_0024306", "ISIC_0024307"),
    }


def test_files_that_are_no_tables_of_images_are_passed_over(tmp_path: Path) -> None:
    of_2018(tmp_path)
    table(tmp_path / "my_Submission_3.csv", "image,MEL,NV\nISIC_0024306,1,0\n")
    table(tmp_path / "notes.csv", "image,remark\nISIC_0024306,a,b,c\n")
    table(tmp_path / "weights.csv", "MEL,NV\n0.5,0.5\n")
    table(tmp_path / "empty.csv", "")
    (tmp_path / "latin.csv").write_bytes("größe,größe\n1,2\n".encode("latin-1"))
    table(tmp_path / "._ISIC2018_Task3_Training_GroundTruth.csv", "image,MEL,NV\nISIC_0024306,1,0\n")
    (tmp_path / "folder.csv").mkdir()
    listing = read(tmp_path)
    assert len(listing.images) == 3 and (listing.images["problem"] == "").all() and listing.warnings == []


def test_predictions_are_left_out_with_a_warning(tmp_path: Path) -> None:
    of_2018(tmp_path)
    table(tmp_path / "a_result.csv", "image,MEL,NV\nISIC_0024306,0.9,0.1\nISIC_0024307,0.2,0.8\n")
    table(tmp_path / "b_result.csv", "image,target\nISIC_0024306,0.5\nISIC_0024307,0.5\n")
    listing = read(tmp_path)
    assert (listing.images["problem"] == "").all() and len(listing.images) == 3
    assert [warning.split(" is left out")[0] for warning in listing.warnings] == [
        "WARNING: a_result.csv",
        "WARNING: b_result.csv",
    ]


def test_a_table_of_images_whose_labels_are_all_unknown_only_describes(tmp_path: Path) -> None:
    of_2018(tmp_path)
    table(tmp_path / "archive.csv", "isic_id,diagnosis,sex\nISIC_0024306,unknown,male\nISIC_0099999,,male\n")
    listing = read(tmp_path)
    assert len(listing.images) == 3 and listing.warnings == []
    assert row_of(listing.images, "ISIC_0024306")["sex"] == "male"


def test_a_table_of_images_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    of_2018(tmp_path)
    table(tmp_path / "ISIC_2019_Training_GroundTruth.csv", "image,MEL,NV\nISIC_0024306,0\n")
    with pytest.raises(UserError, match=r"ISIC_2019_Training_GroundTruth\.csv: line 2 has 2 values, the header has 3"):
        read(tmp_path)


def test_no_ground_truth(tmp_path: Path) -> None:
    pictures(tmp_path, "ISIC_0052060")
    table(tmp_path / "ISIC_2020_Test_Metadata.csv", "image_name,patient_id,sex\nISIC_0052060,IP_3579794,male\n")
    table(tmp_path / "result.csv", "image_name,target\nISIC_0052060,0.3\n")
    with pytest.raises(UserError) as caught:
        read(tmp_path)
    told = str(caught.value)
    assert "\n" not in told and told.startswith(f"{tmp_path}: no ground-truth table")
    assert "ISIC_2019_Training_GroundTruth.csv" in told and "ISIC_2020_Test_Metadata.csv, result.csv" in told
    assert "result.csv is left out" in told


def test_no_image_at_all(tmp_path: Path) -> None:
    of_2018(tmp_path)
    for file in (tmp_path / "ISIC2018_Task3_Training_Input").iterdir():
        file.rename(file.with_name(f"{file.stem}_segmentation.png"))
    with pytest.raises(UserError, match="no image of a lesion") as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_images_only_in_hdf5(tmp_path: Path) -> None:
    table(tmp_path / "train-metadata.csv", "isic_id,target\nISIC_0015670,0\n")
    (tmp_path / "train-image.hdf5").write_bytes(b"packed")
    with pytest.raises(UserError, match=r"train-image\.hdf5, and HDF5 is not read: unpack the JPEG version"):
        read(tmp_path)


def test_a_link_that_leads_back_up_does_not_run_forever(tmp_path: Path) -> None:
    of_2018(tmp_path / "data")
    outside = tmp_path / "elsewhere"
    of_2019(outside)
    (tmp_path / "data/again").symlink_to(tmp_path / "data")
    (tmp_path / "data/linked").symlink_to(outside)
    listing = read(tmp_path / "data")
    assert "ISIC_0000017_downsampled" in listed(listing.images)
    assert [warning[:40] for warning in listing.warnings] == ["WARNING: 2 images have several files; ta"]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("mel", "melanoma", True),
        ("nv", "nevus", True),
        ("akiec", "ak", True),
        ("akiec", "scc", True),
        ("ak", "scc", False),
        ("bkl", "seborrheic keratosis", True),
        ("solar lentigo", "seborrheic keratosis", False),
        ("mel", "nevus", False),
        ("unk", "mel", False),
        ("benign", "malignant", False),
        ("benign", "nv", True),
        ("benign", "melanoma", False),
        ("malignant", "bcc", True),
        ("malignant", "df", False),
        ("benign", "akiec", True),
        ("malignant", "akiec", True),
        ("benign", "atypical melanocytic proliferation", True),
        ("lentigo nos", "nevus", False),
    ],
)
def test_which_names_agree(one: str, other: str, expected: bool) -> None:
    assert agree(one, other) is expected and agree(other, one) is expected


def test_time_grows_with_the_rows_and_not_with_their_square(tmp_path: Path) -> None:
    """Twenty thousand rows in three tables that differ on every image: a loop over pairs of rows would take hours."""
    count = 20_000
    folder = tmp_path / "ISIC_2024_Training_Input"
    folder.mkdir()
    names = [f"ISIC_{number:07d}" for number in range(count)]
    for name in names:
        (folder / f"{name}.jpg").touch()
    for file, sex in (("train-metadata.csv", "male"), ("train-metadata2.csv", "female")):
        rows = "\n".join(f"{name},{number % 2},IP_{number % 97},60.0,{sex}" for number, name in enumerate(names))
        table(tmp_path / file, f"isic_id,target,patient_id,age_approx,sex\n{rows}\n")
    rows = "\n".join(f"{name},{(number + 1) % 2}.0" for number, name in enumerate(names))
    table(tmp_path / "ISIC_2024_Training_GroundTruth.csv", f"isic_id,malignant\n{rows}\n")
    start = time.process_time()
    listing = read(tmp_path)
    assert time.process_time() - start < 20
    assert len(listing.images) == count and (listing.images["path"] != "").all()
    assert (listing.images["problem"] != "").all()
    assert f"source of {count} images" in listing.warnings[0]
