"""What an external set shares with the home set is found, whichever way it shows, and goes out group by group."""

import os
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from derm.dataset import Dataset, read_dataset
from derm.errors import UserError
from derm.external import overlap
from derm.folder_digest import folder_digest
from derm.image_table import COLUMNS
from derm.sources.reader import DataParams
from tests.derm.sources.folder import picture


def read(root: Path) -> Dataset:
    """Class folders."""
    params = DataParams(source="folders", root=str(root), external=[], min_side=1, max_pixels=10**6, max_rejected=0.0)
    return read_dataset(params, params)


def found_in(away: Dataset, home: Dataset) -> pd.DataFrame:
    return overlap(away.images, away.linked, home.images, home.linked)


def described(**rows: dict[str, str]) -> Dataset:
    """Datasets of images that have nothing in common but what is said; hashes far apart."""
    records = []
    for name, given in rows.items():
        record = dict.fromkeys(COLUMNS, "") | {"image_id": name, "group": name, "diagnosis": "nv", "sha256": name}
        records.append(record | {"perceptual_hash": sha256(name.encode()).hexdigest()} | given)
    images = pd.DataFrame(records)
    linked = images[["image_id", "lesion_id", "patient_id", "group"]]
    return Dataset(images, images.head(0), images.head(0), images.head(0), linked, len(images), 0)


def test_ids_bytes_and_pixels(tmp_path: Path) -> None:
    original = picture(tmp_path / "home/nevus/h1.png", 1, (96, 64))
    copied = picture(tmp_path / "home/nevus/h2.png", 2, (96, 64))
    picture(tmp_path / "home/nevus/x.png", 3, (96, 64))
    away = tmp_path / "away/nv"
    away.mkdir(parents=True)
    with Image.open(original) as image:
        image.resize((64, 64)).save(away / "resized.png")
    (away / "copied.png").write_bytes(copied.read_bytes())
    picture(away / "x.png", 4, (96, 64))
    picture(away / "new.png", 5, (96, 64))
    found = found_in(read(tmp_path / "away"), read(tmp_path / "home")).set_index("image_id")
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
    found = found_in(away, home).set_index("image_id")
    assert found["reason"].to_dict() == {"e1": "lesion id", "e2": "group", "e3": "patient id"}
    assert found["home_image_id"].to_dict() == {"e1": "h1", "e2": "", "e3": "h2"}


def test_sets_that_share_nothing() -> None:
    assert found_in(described(e1={}, e2={}), described(h1={}, h2={})).empty


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


def test_siblings_that_are_only_listed_count_too() -> None:
    """A copy that could not be read, and an image that only a list of duplicates names."""
    home, away = described(h1={}, h2={}), described(e1={"group": "g1"}, e2={"group": "g2"}, e3={"group": "g3"})
    unread = pd.DataFrame({"image_id": ["h9"], "lesion_id": ["L9"], "patient_id": "", "group": ["h2"]})
    named = pd.DataFrame({"image_id": ["h1", "x9"], "lesion_id": ["", "L9"], "patient_id": "", "group": ["g1", "g2"]})
    found = overlap(
        away.images, pd.concat([away.linked, named]), home.images, pd.concat([home.linked, unread])
    ).set_index("image_id")
    assert found["reason"].to_dict() == {"e1": "group", "e2": "group"}


def test_the_digest_of_a_folder_knows_what_is_linked_into_it(tmp_path: Path) -> None:
    (tmp_path / "elsewhere/deep").mkdir(parents=True)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/images").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/deep/up").symlink_to(tmp_path / "a")  # a loop
    first = folder_digest(tmp_path / "a")
    (tmp_path / "elsewhere/deep/x.jpg").write_text("1")
    second = folder_digest(tmp_path / "a")
    (tmp_path / "elsewhere/deep/x.jpg").write_text("2")
    assert len({first, second, folder_digest(tmp_path / "a")}) == 3


def test_the_digest_of_names_that_are_not_utf_8(tmp_path: Path) -> None:
    digests = set()
    for name in (b"n\xe9vus.jpg", b"n\xe8vus.jpg"):
        folder = tmp_path / str(len(digests))
        folder.mkdir()
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_text("1")
        digests.add(folder_digest(folder))
    assert len(digests) == 2


def test_no_digest_of_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    scan = os.scandir

    def guarded(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", guarded)  # access rights do not hold for root
    with pytest.raises(UserError, match=r"closed.* cannot be read \(Permission denied\)"):
        folder_digest(tmp_path)
