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
from derm.embedding.features import features_manifest
from derm.embedding.forward import CPU_BATCH_SIZE, embed_batch
from derm.embedding.views import apply_view, view_names
from derm.encoders.encoder import Encoder
from derm.encoders.registry import build_encoders
from derm.errors import UserError
from derm.heads.head import Head, image_logits
from derm.images import decode
from derm.prediction import list_images, predict_files
from tests.derm.decisions.calibrations import calibration
from tests.derm.encoders.params import section

CLASSES = ["bcc", "mel", "nv"]


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
    encoders: list[Encoder]
    manifest: dict[str, Any]
    head: Head
    calibration: Calibration

    def features(self, images: list[Image.Image]) -> np.ndarray:
        """Float16 [n, views, dim], one image, view and encoder at a time."""
        cpu = torch.device("cpu")
        rows = [
            [
                np.concatenate(
                    [
                        embed_batch(encoder, encoder.transform(apply_view(image, view))[None], CPU_BATCH_SIZE, cpu)[0]
                        for encoder in self.encoders
                    ]
                )
                for view in self.manifest["views"]
            ]
            for image in images
        ]
        return np.array(rows)

    def write(self, folder: Path, limit: int = 10_000_000) -> list[str]:
        revisions = ["" for _ in self.encoders]
        return write_classifier(
            self.encoders, revisions, self.manifest, self.head, self.calibration, limit, False, folder
        )


def package(folder: Path, changes: dict[str, Any] | None = None, views: int = 1, **calibrated: Any) -> Package:
    """A classifier folder with a random head that tells the pictures apart."""
    encoders = build_encoders(section(**(changes or {})))
    made = Package(folder, encoders, {"views": list(view_names(views))}, Head(1, [], 1, 0.0), calibration(**calibrated))
    features = made.features(pictures(12)).astype(np.float64)
    torch.manual_seed(1)
    made.head = Head(features.shape[-1], [], 3, 0.0)
    made.head.fit_standardisation(features)
    manifests, batches = [encoder.manifest for encoder in encoders], [CPU_BATCH_SIZE for _ in encoders]
    sizes = [encoder.manifest["transform"]["size"] for encoder in encoders]
    dims = [encoder.embed(torch.zeros(1, 3, *size)).shape[1] for encoder, size in zip(encoders, sizes, strict=True)]
    made.manifest = features_manifest(manifests, dims, batches, "cpu", view_names(views), False, None)
    assert set(made.write(folder)) <= {"packaged", "none"}
    return made


ENCODERS: list[tuple[dict[str, Any], int]] = [
    ({}, 1),
    ({"name": "timm/test_vit", "resize": "squash", "pooling": "mean"}, 1),
    ({"name": "colour-texture", "weights": "none"}, 10),
    ({"name": "colour-texture+timm/test_vit", "precision": "bfloat16"}, 2),
]


@pytest.mark.parametrize(("changes", "views"), ENCODERS)
def test_predicts_what_the_chain_gives(workspace: Path, cpu: torch.device, changes: dict[str, Any], views: int) -> None:
    """The oracle goes through one image, view and encoder at a time."""
    made = package(workspace / "classifier", changes, views)
    paths = photographs(workspace / "images", 10)
    features = made.features([decode(path.read_bytes()) for path in paths])
    expected = outcomes(image_logits(made.head, features), made.calibration)
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
    assert files == ["calibration.json", "classifier.json", "encoder-1.safetensors", "head.safetensors"]
    for name in files:
        assert (workspace / "one" / name).read_bytes() == (workspace / "two" / name).read_bytes(), name


def test_an_encoder_with_many_decimals_in_its_manifest_can_be_loaded(workspace: Path, cpu: torch.device) -> None:
    """The means of CLIP models have eight decimals."""
    overlay = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
    made = package(workspace / "classifier", {"model_args": {"pretrained_cfg_overlay": overlay}})
    assert Classifier.load(workspace / "classifier").encoders[0].fingerprint == made.encoders[0].fingerprint


def test_a_gpu_computes_in_full_float32_as_it_did_for_the_features(workspace: Path, cpu: torch.device) -> None:
    """The switches themselves: there need not be a GPU."""
    package(workspace / "classifier")
    torch.backends.cudnn.allow_tf32 = True
    Classifier.load(workspace / "classifier")
    assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        Classifier.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["classifier.json", "calibration.json", "head.safetensors", "encoder-1.safetensors"])
def test_a_missing_file_is_named(workspace: Path, cpu: torch.device, name: str) -> None:
    package(workspace / "classifier")
    (workspace / "classifier" / name).unlink()
    assert name in refusal(workspace / "classifier")


def test_weights_that_were_tampered_with_are_refused(workspace: Path, cpu: torch.device) -> None:
    package(workspace / "classifier")
    path = workspace / "classifier/encoder-1.safetensors"
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
        pytest.param("encoder-1.safetensors"),
    ],
)
def test_a_file_that_was_cut_is_named(workspace: Path, cpu: torch.device, name: str) -> None:
    package(workspace / "classifier")
    path = workspace / "classifier" / name
    path.write_bytes(path.read_bytes()[:-20])
    assert name in refusal(workspace / "classifier")


def test_an_encoder_over_the_limit_is_named_and_not_copied(workspace: Path, cpu: torch.device) -> None:
    """Whoever uses it says where the weights are; others are refused."""
    made = package(workspace / "classifier")
    weights = made.encoders[0].weights
    size = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    for limit, where in ((size, "packaged"), (size - 1, "named")):
        folder = workspace / where
        assert made.write(folder, limit) == [where]
        assert (folder / "encoder-1.safetensors").is_file() == (where == "packaged")
    save_file(weights, workspace / "weights.safetensors")
    image = pictures(1)
    named = Classifier.load(workspace / "named", [workspace / "weights.safetensors"])
    pd.testing.assert_frame_equal(named.predict(image), Classifier.load(workspace / "packaged").predict(image))
    weights["conv1.0.weight"] = weights["conv1.0.weight"] + 1
    save_file(weights, workspace / "others.safetensors")
    with pytest.raises(UserError, match="weights_digest differ"):
        Classifier.load(workspace / "named", [workspace / "others.safetensors"])
    with pytest.raises(UserError, match="needs no such weights"):
        Classifier.load(workspace / "packaged", [workspace / "weights.safetensors"])


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
