"""The synthetic sample: HAM10000's layout, the same bytes from the same seed, lesions that look like themselves."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError

from derm.files import file_digest
from derm.params import load
from derm.synthetic.artefacts import draw_artefacts
from derm.synthetic.dataset import (
    DUPLICATES,
    IMAGE_FOLDERS,
    MASK_FOLDER,
    METADATA,
    SHARES,
    SampleParams,
    draw_sample,
    lesions_per_class,
    photographs_of,
    plan,
)
from derm.synthetic.lesions import draw_lesion
from derm.synthetic.looks import CLASSES, Look, draw_look
from tests.closure import ROOT

PARAMS = SampleParams(lesions=60, images=90, seed=3)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    draw_sample(folder, PARAMS)
    return folder


@pytest.fixture(scope="module")
def metadata(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / METADATA, dtype=str, keep_default_na=False)


def images(root: Path) -> dict[str, Path]:
    return {path.stem: path for folder in IMAGE_FOLDERS for path in (root / folder).iterdir()}


def mean_lesion_colour(image: Image.Image, mask: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=float)[np.asarray(mask)].mean(axis=0)


def test_layout_is_that_of_ham10000(root, metadata):
    assert list(metadata) == ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization", "dataset"]
    assert len(metadata) == PARAMS.images
    assert metadata["lesion_id"].nunique() == PARAMS.lesions
    assert set(images(root)) == set(metadata["image_id"])
    assert all(any((root / folder).iterdir()) for folder in IMAGE_FOLDERS)
    masks = {path.name for path in (root / MASK_FOLDER).iterdir()}
    assert masks == {f"{image_id}_segmentation.png" for image_id in metadata["image_id"]}
    assert "synthetic" in (root / "README.txt").read_text().lower()


def test_ids_cannot_be_mistaken_for_real_ones(metadata):
    assert metadata["lesion_id"].str.fullmatch(r"HAM_9\d{6}").all()
    assert metadata["image_id"].str.fullmatch(r"ISIC_9\d{6}").all()


def test_metadata_use_the_words_of_ham10000(metadata):
    assert set(metadata["dx_type"]) <= {"histo", "follow_up", "consensus", "confocal"}
    assert set(metadata["sex"]) <= {"male", "female", "unknown"}
    assert metadata["age"].str.fullmatch(r"(\d+\.0)?").all()
    assert set(metadata.loc[metadata["dx"].isin(["mel", "bcc", "akiec"]), "dx_type"]) == {"histo"}


def test_every_class_is_there_and_a_lesion_has_one(metadata):
    assert set(metadata["dx"]) == set(CLASSES)
    assert (metadata.groupby("lesion_id")["dx"].nunique() == 1).all()


def test_the_default_has_enough_lesions_of_every_class_and_most_are_nevi():
    counts = dict(
        zip(SHARES, lesions_per_class(load("sample", SampleParams, ROOT / "params.yaml").lesions - 3), strict=True)
    )
    assert sum(counts.values()) == 597
    assert min(counts.values()) >= 40
    assert max(counts, key=counts.__getitem__) == "nv"


def test_masks_match_their_images_and_cover_a_plausible_share(root):
    for image_id, path in images(root).items():
        with Image.open(path) as image, Image.open(root / MASK_FOLDER / f"{image_id}_segmentation.png") as mask:
            assert image.format == "JPEG"
            assert image.mode == "RGB"
            assert mask.mode == "1"
            assert image.size == mask.size == (300, 225)
            assert 0.02 < np.asarray(mask).mean() < 0.70


def test_duplicates_are_one_lesion_under_two_ids(root, metadata):
    pairs = pd.read_csv(root / DUPLICATES)
    assert list(pairs) == ["similarity", "from_img", "to_img"]
    assert len(pairs) == 3
    assert pairs["similarity"].between(0.85, 1).all()
    rows = metadata.set_index("image_id")
    for first, second in zip(pairs["from_img"], pairs["to_img"], strict=True):
        assert rows.loc[first, "lesion_id"] != rows.loc[second, "lesion_id"]
        assert rows.loc[first, "dx"] == rows.loc[second, "dx"]


def test_same_seed_same_bytes_also_over_an_earlier_sample(root, tmp_path):
    stale = tmp_path / IMAGE_FOLDERS[0] / "ISIC_9999999.jpg"
    stale.parent.mkdir()
    stale.write_bytes(b"from a larger sample")
    draw_sample(tmp_path, PARAMS)
    digests = [
        {path.relative_to(folder): file_digest(path) for path in folder.rglob("*") if path.is_file()}
        for folder in (root, tmp_path)
    ]
    assert digests[0] == digests[1]


def test_another_seed_gives_other_photographs():
    subject = plan(PARAMS)[0]
    one, other = (photographs_of(subject, seed)[0].image.tobytes() for seed in (3, 4))
    assert one != other


def test_a_lesion_does_not_depend_on_how_many_photographs_are_taken():
    subject = next(subject for subject in plan(PARAMS) if len(subject.image_ids) > 1)
    fewer = type(subject)(subject.number, subject.diagnosis, subject.lesion_id, subject.image_ids[:1], None)
    assert photographs_of(fewer, 3)[0].image.tobytes() == photographs_of(subject, 3)[0].image.tobytes()


def test_photographs_of_one_lesion_look_alike(root, metadata):
    paths = images(root)
    colours = defaultdict(list)
    for row in metadata.itertuples():
        with (
            Image.open(paths[row.image_id]) as image,
            Image.open(root / MASK_FOLDER / f"{row.image_id}_segmentation.png") as mask,
        ):
            colours[row.dx, row.lesion_id].append(mean_lesion_colour(image, mask))
    own, others = [], []
    for (dx, lesion_id), mine in colours.items():
        own += [np.linalg.norm(a - b) for i, a in enumerate(mine) for b in mine[:i]]
        strangers = [c for (d, other), theirs in colours.items() if d == dx and other != lesion_id for c in theirs]
        others += [np.linalg.norm(a - b) for a in mine for b in strangers]
    assert np.mean(own) < 0.5 * np.mean(others)


def test_artefacts_are_drawn_without_knowing_the_class():
    drawn = [draw_artefacts(np.random.default_rng(number)) for number in range(500)]
    for name, expected in {"hair": 0.3, "ruler": 0.12, "dark_corners": 0.18, "gel_bubbles": 0.08}.items():
        assert np.mean([getattr(artefacts, name) for artefacts in drawn]) == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize("diagnosis", CLASSES)
def test_looks_stay_between_absent_and_full(diagnosis):
    for number in range(50):
        look = draw_look(np.random.default_rng(number), diagnosis)
        assert all(0 <= strength <= 1 for strength in vars(look).values())


def test_a_lesion_without_features_is_colourless_and_with_melanin_is_dark():
    plain = draw_lesion(np.random.default_rng(0), Look())
    pigmented = draw_lesion(np.random.default_rng(0), Look(melanin=0.8))
    assert pigmented.absorbance[pigmented.inside].mean() > 4 * plain.absorbance[plain.inside].mean()
    blue_over_red = pigmented.absorbance[pigmented.inside].mean(axis=0)
    assert blue_over_red[2] > blue_over_red[0], "melanin absorbs blue more than red"


@pytest.mark.parametrize(
    "wrong", [{"lesions": 10}, {"lesions": 100, "images": 99}, {"lesions": 100, "images": 586}, {"sed": 1}]
)
def test_impossible_numbers_are_refused(wrong):
    with pytest.raises(ValidationError):
        SampleParams(**wrong)
