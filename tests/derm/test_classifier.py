"""The packaged classifier predicts what the chain would have, from its folder alone, or says why it cannot."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from derm.classifier import Classifier, write_classifier
from derm.decisions.outcome import Calibration, outcomes
from derm.embedding.extract import extract
from derm.encoders.encoder import Encoder
from derm.encoders.registry import build_encoder
from derm.errors import UserError
from derm.heads.head import Head, head_logits
from derm.images import decode, digest
from derm.prediction import list_images, predict_files
from tests.derm.decisions.calibrations import calibration
from tests.derm.encoders.params import params

CLASSES = ["bcc", "mel", "nv"]
BATCH = 4


def pictures(count: int) -> list[Image.Image]:
    """Different pictures of soft colours."""
    generator = np.random.default_rng(2)
    small = generator.integers(0, 256, (count, 6, 8, 3), dtype=np.uint8)
    return [Image.fromarray(colours).resize((80, 60), Image.Resampling.BICUBIC) for colours in small]


def photographs(folder: Path, count: int = 7) -> list[Path]:
    """The pictures as files, half of them JPEG."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.{'jpg' if number % 2 else 'png'}" for number in range(count)]
    for path, picture in zip(paths, pictures(count), strict=True):
        picture.save(path)
    return paths


@dataclass
class Package:
    folder: Path
    encoder: Encoder
    head: Head
    calibration: Calibration


def package(folder: Path, changes: dict[str, Any] | None = None, **calibrated: Any) -> Package:
    """A classifier folder with a random head that tells the pictures apart."""
    encoder = build_encoder(params(**(changes or {})))
    images = torch.stack([encoder.transform(picture) for picture in pictures(12)])
    with torch.inference_mode():
        features = encoder.embed(images).numpy().astype(np.float64)
    torch.manual_seed(1)
    head = Head(features.shape[1], [], 3, 0.0)
    head.fit_standardisation(features)
    manifest = {"encoder": encoder.manifest, "batch_size": BATCH, "views": 1}
    made = Package(folder, encoder, head, calibration(**calibrated))
    assert write_classifier(encoder, manifest, head, made.calibration, 10_000_000, False, False, folder) in (
        "packaged",
        "none",
    )
    return made


ENCODERS: list[dict[str, Any]] = [
    {},
    {"name": "timm/test_vit"},
    {"name": "colour-texture", "weights": "none"},
    {"model_args": {"global_pool": "max"}},
]


@pytest.mark.parametrize("changes", ENCODERS)
def test_predicts_what_the_chain_gives(workspace: Path, cpu: torch.device, changes: dict[str, Any]) -> None:
    """The oracle is the chain: featurize through the cache, the head's logits, the outcomes."""
    made = package(workspace / "classifier", changes)
    paths = photographs(workspace / "images")
    digests = [digest(path.read_bytes()) for path in paths]
    features = extract(made.encoder, [str(path) for path in paths], digests, BATCH, cpu).features
    expected = outcomes(head_logits(made.head, features), made.calibration)
    classifier = Classifier.load(workspace / "classifier")
    assert classifier.classes == CLASSES
    actual = classifier.predict([decode(path.read_bytes()) for path in paths])
    # the head was stored as float32
    pd.testing.assert_frame_equal(actual, expected, rtol=1e-4, atol=1e-6)
    assert expected["p_mel"].std() > 1e-4, "all images look the same to this classifier: the test would see nothing"
    # one image alone, as in a clinic, gives what it gave among others
    alone = classifier.predict([decode(paths[5].read_bytes())])
    pd.testing.assert_frame_equal(alone, actual.iloc[5:6].reset_index(drop=True), rtol=1e-9, atol=0)


def test_the_same_package_has_the_same_bytes(workspace: Path, cpu: torch.device) -> None:
    for name in ("one", "two"):
        package(workspace / name)
    files = sorted(path.name for path in (workspace / "one").iterdir())
    assert files == ["calibration.json", "classifier.json", "encoder.safetensors", "head.safetensors"]
    for name in files:
        assert (workspace / "one" / name).read_bytes() == (workspace / "two" / name).read_bytes(), name


def test_an_encoder_with_many_decimals_in_its_manifest_can_be_loaded(workspace: Path, cpu: torch.device) -> None:
    """The means of CLIP models have eight decimals."""
    overlay = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
    made = package(workspace / "classifier", {"model_args": {"pretrained_cfg_overlay": overlay}})
    assert Classifier.load(workspace / "classifier").encoder.fingerprint == made.encoder.fingerprint


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        Classifier.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["classifier.json", "calibration.json", "head.safetensors", "encoder.safetensors"])
def test_a_missing_file_is_named(workspace: Path, cpu: torch.device, name: str) -> None:
    package(workspace / "classifier")
    (workspace / "classifier" / name).unlink()
    assert name in refusal(workspace / "classifier")


def test_weights_that_were_tampered_with_are_refused(workspace: Path, cpu: torch.device) -> None:
    package(workspace / "classifier")
    path = workspace / "classifier/encoder.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "weights_digest" in refusal(workspace / "classifier")
    state = load_file(path)
    save_file({name: tensor for name, tensor in state.items() if not name.startswith("bn1")}, path)
    assert "bn1.weight is missing" in refusal(workspace / "classifier")


@pytest.mark.parametrize(
    "name",
    [
        "head.safetensors",
        "calibration.json",
        "classifier.json",
        pytest.param("encoder.safetensors"),
    ],
)
def test_a_file_that_was_cut_is_named(workspace: Path, cpu: torch.device, name: str) -> None:
    package(workspace / "classifier")
    path = workspace / "classifier" / name
    path.write_bytes(path.read_bytes()[:-20])
    assert name in refusal(workspace / "classifier")


def test_an_encoder_over_the_limit_is_named_and_not_copied(workspace: Path, cpu: torch.device) -> None:
    made = package(workspace / "classifier")
    size = sum(tensor.numel() * tensor.element_size() for tensor in made.encoder.weights.values())
    manifest = {"encoder": made.encoder.manifest, "batch_size": BATCH, "views": 1}
    for limit, where in ((size, "packaged"), (size - 1, "hub")):
        folder = workspace / where
        assert (
            write_classifier(made.encoder, manifest, made.head, made.calibration, limit, True, False, folder) == where
        )
        assert (folder / "encoder.safetensors").is_file() == (where == "packaged")
    with pytest.raises(UserError, match=r"package\.max_encoder_mb"):
        write_classifier(
            made.encoder, manifest, made.head, made.calibration, size - 1, False, False, workspace / "no_hub"
        )


def test_files_in_and_a_table_out(workspace: Path, cpu: torch.device) -> None:
    made = package(workspace / "classifier")
    paths = photographs(workspace / "images", 6)
    told = predict_files([workspace / "images"], workspace / "classifier", workspace / "out.csv")
    table = pd.read_csv(workspace / "out.csv")
    probabilities = [f"p_{name}" for name in CLASSES]
    expected = ["image", *probabilities, "predicted", "predicted_name", "decision", "decision_name", "flag", "status"]
    assert list(table) == list(told) == expected
    assert list(table["image"]) == [path.as_posix() for path in paths]
    assert (table["status"] == "ok").all()
    np.testing.assert_allclose(table[probabilities].sum(axis=1), 1, atol=2e-6)
    assert list(table["predicted_name"]) == [CLASSES[index] for index in table[probabilities].to_numpy().argmax(axis=1)]
    assert list(table["flag"]) == list((table["p_mel"] >= made.calibration.threshold).astype(int))
    assert 0 < table["flag"].sum() < 6


def test_a_bad_file_costs_its_own_row_and_says_why(workspace: Path, cpu: torch.device) -> None:
    package(workspace / "classifier")
    good = photographs(workspace / "images", 5)
    broken, empty, gone = workspace / "broken.jpg", workspace / "empty.png", workspace / "gone.png"
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "JPEG")
    broken.write_bytes(buffer.getvalue()[:200])
    empty.write_bytes(b"")
    # the last batch holds no good image at all
    paths = [good[0], broken, *good[1:], empty, gone]
    told = predict_files(paths, workspace / "classifier", workspace / "out.csv")
    assert list(told["image"]) == [path.as_posix() for path in paths]
    status = dict(zip(told["image"], told["status"], strict=True))
    assert status[empty.as_posix()] == "file is empty"
    assert status[gone.as_posix()] == "file not found"
    assert status[broken.as_posix()].startswith("cannot be decoded")
    assert [status[path.as_posix()] for path in good] == ["ok"] * 5
    alone = predict_files(good, workspace / "classifier", workspace / "good.csv")
    lines = (workspace / "out.csv").read_text().splitlines()
    assert f"{gone.as_posix()},,,,,,,,,file not found" in lines
    probabilities = [f"p_{name}" for name in CLASSES]
    kept = told[told["status"] == "ok"]
    np.testing.assert_allclose(kept[probabilities].astype(float), alone[probabilities].astype(float), rtol=1e-6)
    assert list(kept["decision_name"]) == list(alone["decision_name"])


def test_good_rows_are_written_the_same_with_and_without_a_bad_file(workspace: Path, cpu: torch.device) -> None:
    package(workspace / "classifier")
    good = photographs(workspace / "images", 3)
    predict_files(good, workspace / "classifier", workspace / "good.csv")
    predict_files([*good, workspace / "gone.png"], workspace / "classifier", workspace / "all.csv")
    assert (workspace / "all.csv").read_text().splitlines()[:4] == (workspace / "good.csv").read_text().splitlines()


def test_without_a_positive_class_the_flag_is_empty(workspace: Path, cpu: torch.device) -> None:
    package(workspace / "classifier", positive=None, threshold=None)
    predict_files(photographs(workspace / "images", 2), workspace / "classifier", workspace / "out.csv")
    assert pd.read_csv(workspace / "out.csv")["flag"].isna().all()


def test_folders_are_searched_and_one_without_images_is_told(tmp_path: Path) -> None:
    inside = photographs(tmp_path / "a/b", 3)
    (tmp_path / "a/notes.txt").write_text("no image")
    assert list_images([tmp_path / "a"]) == inside
    assert list_images([inside[2], tmp_path / "a", tmp_path / "gone.png"]) == [
        inside[2],
        *inside,
        tmp_path / "gone.png",
    ]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: no image"):
        list_images([tmp_path / "empty"])
