"""What an external set shares with the home set is found, whichever way it shows, and goes out group by group."""

from hashlib import sha256
from pathlib import Path

import pandas as pd
from PIL import Image

from derm.dataset import read_dataset
from derm.external import overlap
from derm.folder_digest import folder_digest
from derm.image_table import COLUMNS
from derm.sources.reader import DataParams
from tests.derm.sources.folder import picture


def table(root: Path) -> pd.DataFrame:
    """The image table of class folders."""
    params = DataParams(source="folders", root=str(root), external=[], min_side=1, max_pixels=10**6, max_rejected=0.0)
    return read_dataset(params, params).images


def described(**rows: dict[str, str]) -> pd.DataFrame:
    """Image tables of images that have nothing in common but what is said; hashes far apart."""
    records = []
    for name, given in rows.items():
        record = dict.fromkeys(COLUMNS, "") | {"image_id": name, "group": name, "diagnosis": "nv", "sha256": name}
        records.append(record | {"perceptual_hash": sha256(name.encode()).hexdigest()} | given)
    return pd.DataFrame(records)


def test_ids_bytes_and_pixels(tmp_path: Path) -> None:
    shared = picture(tmp_path / "home/nevus/h1.png", 1, (96, 64))
    copied = picture(tmp_path / "home/nevus/h2.png", 2, (96, 64))
    picture(tmp_path / "home/nevus/x.png", 3, (96, 64))
    away = tmp_path / "away/nv"
    away.mkdir(parents=True)
    with Image.open(shared) as image:
        image.resize((64, 64)).save(away / "resized.png")
    (away / "copied.png").write_bytes(copied.read_bytes())
    picture(away / "x.png", 4, (96, 64))
    picture(away / "new.png", 5, (96, 64))
    found = overlap(table(tmp_path / "away"), table(tmp_path / "home")).set_index("image_id")
    assert found["reason"].to_dict() == {"resized": "near-identical", "copied": "bytes", "x": "image id"}
    assert found["home_image_id"].to_dict() == {"resized": "h1", "copied": "h2", "x": "x"}
    assert found.loc["resized", "home_diagnosis"] == "nevus" and found["similarity"].astype(float)["resized"] > 0.65


def test_lesions_and_patients_and_the_rest_of_their_groups() -> None:
    home = described(h1={"lesion_id": "L1", "patient_id": ""}, h2={"patient_id": "P2"})
    away = described(
        e1={"lesion_id": "L1", "group": "g1"},
        e2={"group": "g1"},
        e3={"patient_id": "P2"},
        e4={"lesion_id": "P2"},
        e5={"lesion_id": "L2", "patient_id": "L1"},
    )
    found = overlap(away, home).set_index("image_id")
    assert found["reason"].to_dict() == {"e1": "lesion id", "e2": "group", "e3": "patient id"}
    assert found["home_image_id"].to_dict() == {"e1": "h1", "e2": "", "e3": "h2"}


def test_sets_that_share_nothing() -> None:
    assert overlap(described(e1={}, e2={}), described(h1={}, h2={}).assign(perceptual_hash="f" * 64)).empty


def test_the_digest_of_a_folder_knows_names_and_contents(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep/x.txt").write_text("1")
        (tmp_path / name / "y.txt").write_text("2")
    first = folder_digest(tmp_path / "a")
    assert folder_digest(tmp_path / "b") == first
    (tmp_path / "b/.DS_Store").write_text("noise")
    assert folder_digest(tmp_path / "b") == first
    (tmp_path / "b/y.txt").write_text("3")
    assert folder_digest(tmp_path / "b") != first
    (tmp_path / "b/y.txt").write_text("2")
    (tmp_path / "b/y.txt").rename(tmp_path / "b/z.txt")
    assert folder_digest(tmp_path / "b") != first
