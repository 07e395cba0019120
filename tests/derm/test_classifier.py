"""The packaged classifier predicts what the chain would have, from its folder alone, or says why it cannot."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from derm.appearance import appearance
from derm.classifier import Classifier, Fitted, write_classifier
from derm.decisions.outcome import Calibration, outcomes
from derm.decisions.quality import Quality
from derm.embedding.features import features_manifest
from derm.embedding.forward import CPU_BATCH_SIZE, Forward
from derm.embedding.views import apply_view, view_names
from derm.encoders.encoder import Encoder
from derm.encoders.registry import build_encoders
from derm.errors import UserError
from derm.heads.head import Head, Member
from derm.heads.metadata import fit_metadata
from derm.heads.predict import dropout_logits, image_logits, member_logits
from derm.heads.registry import head_kind
from derm.images import decode
from derm.nearest import TrainingLesions, training_lesions
from derm.out_of_distribution.distance import OutOfDistribution, Threshold
from derm.out_of_distribution.fit import fit_cloud
from derm.prediction import list_images, predict_files
from derm.uncertainty import UncertaintyParams, uncertainty
from tests.derm.decisions.calibrations import calibration
from tests.derm.encoders.params import section
from tests.derm.heads.data import inputs, random_head, shape

CLASSES = ["bcc", "mel", "nv"]
FILES = ["calibration.json", "classifier.json", "encoder-1.safetensors", "head.safetensors"]
FILES += ["nearest.safetensors", "ood.safetensors", "quality.json"]


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
    uncertain: UncertaintyParams
    distribution: OutOfDistribution
    quality: Quality
    lesions: TrainingLesions | None = None

    def features(self, images: list[Image.Image]) -> np.ndarray:
        """Float16 [n, views, dim] or [n, views, patches, channels], one image, view and encoder at a time."""
        views = self.manifest["views"]
        return np.array([[self.embedded([apply_view(image, view)])[0] for view in views] for image in images])

    def embedded(self, images: list[Image.Image]) -> np.ndarray:
        """The same of one view, one batch."""
        pooled, tokens = self.both(images)
        return tokens if self.reads == "tokens" else pooled

    def pooled(self, images: list[Image.Image]) -> np.ndarray:
        """Float16 [n, views, dim], whatever the head reads."""
        views = self.manifest["views"]
        return np.array([[self.both([apply_view(image, view)])[0][0] for view in views] for image in images])

    def both(self, images: list[Image.Image]) -> tuple[np.ndarray, np.ndarray]:
        """Pooled features and tokens (none: [0]) of one view, one batch."""
        pooled, tokens = [], [np.empty(0)]
        for encoder in self.encoders:
            forward = Forward(encoder, CPU_BATCH_SIZE, torch.device("cpu"), self.manifest["token_pooling"])
            embedded = forward.launch([encoder.transform(image) for image in images])()
            pooled.append(embedded.pooled)
            if embedded.tokens is not None:
                tokens = [embedded.tokens]
        return np.concatenate(pooled, axis=-1), tokens[0]

    @property
    def reads(self) -> str:
        return head_kind(self.head.shape.params.type).reads

    def expected(self, images: list[Image.Image], known: pd.DataFrame | None = None) -> pd.DataFrame:
        """What the chain's stages would tell."""
        encoding = self.head.shape.encoding
        metadata = None if encoding is None else np.stack([encoding.unknown()] * len(images))
        if encoding is not None and known is not None:
            metadata = encoding.encode(known)
        given = inputs(self.features(images), metadata)
        samples = member_logits(self.head, given)
        if self.uncertain.passes:
            samples = dropout_logits(self.head, given, self.uncertain.passes, self.uncertain.seed)
        told = outcomes(image_logits(self.head, given), self.calibration)
        far = self.distribution.told(self.pooled(images))
        table = pd.concat([told, uncertainty(samples, self.calibration.calibrator, CLASSES), far], axis=1)
        brightness = np.array([appearance(image, None).brightness for image in images])
        table["quality"] = np.where(brightness < self.quality.notes["dark"].threshold, "dark", "")
        return table.assign(nearest="" if self.lesions is None else self.lesions.nearest(self.pooled(images)))

    def write(self, folder: Path, limit: int = 10_000_000) -> list[str]:
        revisions = ["" for _ in self.encoders]
        return write_classifier(
            self.encoders,
            revisions,
            self.manifest,
            Fitted(self.head, self.calibration, self.distribution, self.quality, self.lesions),
            self.uncertain,
            limit,
            False,
            folder,
        )


def dark() -> Quality:
    """One note, on every other picture."""
    middle = float(np.median([appearance(picture, None).brightness for picture in pictures(6)]))
    told = {"images": 30, "groups": 30, "error": 0.5, "error_others": 0.1, "difference": 0.4, "low": 0.2, "high": 0.6}
    note = {"measure": "brightness", "threshold": middle, "shown": True} | told
    return Quality.model_validate({"share": 0.05, "images": 90, "groups": 90, "notes": {"dark": note}})


def package(
    folder: Path,
    changes: dict[str, Any] | None = None,
    views: int = 1,
    head: dict[str, Any] | None = None,
    passes: int = 0,
    token_pooling: int | None = None,
    **calibrated: Any,
) -> Package:
    """A classifier folder with a random head that tells the pictures apart."""
    encoders = build_encoders(section(**(changes or {})))
    manifest: dict[str, Any] = {"views": list(view_names(views)), "token_pooling": token_pooling}
    uncertain = UncertaintyParams(passes=passes, seed=3)
    first = random_head(shape(1, 3, type=(head or {}).get("type", "linear")))
    nowhere = OutOfDistribution(fit_cloud(np.zeros((2, 1, 1))), Threshold(score=1.0, share=0.5, lesions=1))
    made = Package(folder, encoders, manifest, first, calibration(**calibrated), uncertain, nowhere, dark())
    cloud = fit_cloud(made.pooled(pictures(8)))
    middle = float(np.median(cloud.scores(made.pooled(pictures(6)))))  # between two: none lies on it
    made.distribution = OutOfDistribution(cloud, Threshold(score=middle, share=0.5, lesions=5))
    names = [f"l{number}" for number in range(8)]
    rows = pd.DataFrame({"lesion_id": names, "group": names, "target": [number % 3 for number in range(8)]})
    made.lesions = training_lesions(made.pooled(pictures(8)), rows, CLASSES)
    mean, deviation = inputs(made.embedded(pictures(8))[:, None]).moments()
    made.head = random_head(shape(len(mean), 3, **(head or {})), seed=1)
    for member in made.head.members:
        assert isinstance(member, Member)
        member.set_standardisation(mean, deviation)
    manifests, batches = [encoder.manifest for encoder in encoders], [CPU_BATCH_SIZE for _ in encoders]
    sizes = [encoder.manifest["transform"]["size"] for encoder in encoders]
    dims = [encoder.embed(torch.zeros(1, 3, *size)).shape[1] for encoder, size in zip(encoders, sizes, strict=True)]
    made.manifest = features_manifest(manifests, dims, batches, "cpu", view_names(views), False, token_pooling)
    assert set(made.write(folder)) <= {"packaged", "none"}
    made.manifest = made.manifest | {"token_pooling": token_pooling}
    return made


ENCODERS: list[tuple[dict[str, Any], int, int]] = [
    ({}, 1, 10),
    ({"name": "timm/test_vit", "resize": "squash", "pooling": "mean"}, 1, 10),
    ({"name": "colour-texture", "weights": "none"}, 10, 3),
    ({"name": "colour-texture+timm/test_vit", "precision": "bfloat16"}, 2, 3),
]


@pytest.mark.parametrize(("changes", "views", "count"), ENCODERS)
def test_predicts_what_the_chain_gives(
    workspace: Path, cpu: torch.device, changes: dict[str, Any], views: int, count: int
) -> None:
    """The oracle goes through one image, view and encoder at a time."""
    made = package(workspace / "classifier", changes, views)
    paths = photographs(workspace / "images", count)
    expected = made.expected([decode(path.read_bytes()) for path in paths])
    classifier = Classifier.load(workspace / "classifier")
    assert classifier.classes == CLASSES and not classifier.uses_metadata
    actual = classifier.predict([decode(path.read_bytes()) for path in paths])
    # the head was stored as float32
    pd.testing.assert_frame_equal(actual, expected, rtol=1e-4, atol=1e-6)
    assert expected["p_mel"].std() > 1e-4, "all images look the same to this classifier: the test would see nothing"
    # one image alone, as in a clinic, gives what it gave among others
    alone = classifier.predict([decode(paths[2].read_bytes())])
    pd.testing.assert_frame_equal(alone, actual.iloc[2:3].reset_index(drop=True), rtol=1e-9, atol=0)


PEOPLE = pd.DataFrame(
    {
        "age": ["40", "", "70", "55", "", "30", "62", "81", "", "49"],
        "sex": ["male", "female", "", "female", "", "male", "female", "", "male", "female"],
        "body_site": ["back", "back", "scalp", "", "", "knee", "back", "scalp", "knee", "back"],
    }
)
SMALL: dict[str, Any] = {
    **{"hidden": [6], "convolution": 6, "lstm": 5, "attention": 4, "queries": 2, "query_width": 4},
    **{"metadata_hidden": [3], "dropout": 0.4},
}
FUSION: dict[str, Any] = {"metadata": True, "encoding": fit_metadata(PEOPLE, missing=False)}
HEADS: dict[str, tuple[dict[str, Any], int, int | None]] = {
    "tokens": ({"type": "acrnn"}, 0, 1),
    "pooled tokens with metadata": ({"type": "attention_pool", "input_dropout": 0.2} | FUSION, 4, 2),
    "pooled features beside stored tokens": ({"type": "mlp"}, 0, 2),
    "knn": ({"type": "knn", "bank": 9, "sharpness": 1.0}, 0, None),
    "fusion": ({"type": "linear"} | FUSION, 0, None),
    "ensemble with passes": ({"type": "mlp", "members": 3, "batch_norm": True}, 6, None),
    "ensemble": ({"type": "mlp", "members": 3}, 0, None),
}


@pytest.mark.parametrize("kind", HEADS)
def test_every_kind_of_head_predicts_what_the_chain_gives(workspace: Path, cpu: torch.device, kind: str) -> None:
    """Two views, nine images in two batches, drawn dropout and metadata included."""
    head, passes, token_pooling = HEADS[kind]
    made = package(workspace / "classifier", {"image_size": 128}, 2, SMALL | head, passes, token_pooling)
    classifier, images = Classifier.load(workspace / "classifier"), pictures(9)
    known = PEOPLE.head(9) if "metadata" in head else None
    assert classifier.uses_metadata == (known is not None)
    expected, actual = made.expected(images, known), classifier.predict(images, known)
    pd.testing.assert_frame_equal(actual, expected, rtol=1e-4, atol=1e-6)
    assert expected["p_mel"].std() > 1e-4
    drawn = passes > 0 or head.get("members", 1) > 1
    told = ["aleatoric", "epistemic", "low_mel", "high_mel"]
    assert (expected[told].notna() if drawn else expected[told].isna()).all(axis=None)
    if drawn:
        assert (expected["high_mel"] > expected["low_mel"]).all()
    # one image alone gives what it gave among others
    alone = classifier.predict(images[5:6], None if known is None else known.iloc[5:6])
    pd.testing.assert_frame_equal(alone, actual.iloc[5:6].reset_index(drop=True), rtol=1e-7, atol=1e-9)
    if known is not None:  # what is known counts, and without a table nothing is known
        nothing = classifier.predict(images)
        pd.testing.assert_frame_equal(nothing, made.expected(images), rtol=1e-4, atol=1e-6)
        assert np.abs(nothing["p_mel"] - actual["p_mel"]).max() > 1e-3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (None, "is not a packaged classifier's"),
        ({"passes": -1, "seed": 1}, "uncertainty.passes is -1"),
        ({"passes": 1}, "uncertainty.seed is missing"),
    ],
)
def test_a_description_without_its_uncertainty_is_refused(
    workspace: Path, cpu: torch.device, change: dict[str, int] | None, told: str
) -> None:
    package(workspace / "classifier")
    path = workspace / "classifier/classifier.json"
    description = json.loads(path.read_text())
    description["uncertainty"] = change
    if change is None:
        del description["uncertainty"]
    path.write_text(json.dumps(description))
    message = refusal(workspace / "classifier")
    assert told in message and "classifier.json" in message


def test_the_same_package_has_the_same_bytes(workspace: Path, cpu: torch.device) -> None:
    for name in ("one", "two"):
        package(workspace / name)
    files = sorted(path.name for path in (workspace / "one").iterdir())
    assert files == sorted(FILES)
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


@pytest.mark.parametrize("name", FILES)
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


@pytest.mark.parametrize("name", FILES)
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
    named = ["", "_name", "_in_full"]
    expected = ["image", *probabilities, *(f"{column}{end}" for column in ("predicted", "decision") for end in named)]
    expected += ["flag", "set"]
    expected += ["entropy", "aleatoric", "epistemic", *(f"{end}_{name}" for name in CLASSES for end in ("low", "high"))]
    expected += ["ood_score", "ood", "quality", "nearest", "status"]
    assert list(table) == list(told) == expected
    assert list(table["image"]) == [path.as_posix() for path in paths]
    assert (table["status"] == "ok").all()
    np.testing.assert_allclose(table[probabilities].sum(axis=1), 1, atol=2e-6)
    assert list(table["predicted_name"]) == [CLASSES[index] for index in table[probabilities].to_numpy().argmax(axis=1)]
    full = {"bcc": "basal cell carcinoma", "mel": "melanoma", "nv": "melanocytic nevus"}
    assert list(table["predicted_in_full"]) == [full[name] for name in table["predicted_name"]]
    assert list(table["flag"]) == list((table["p_mel"] >= made.calibration.threshold).astype(int))
    assert 0 < table["flag"].sum() < 6
    assert list(table["ood"]) == list((table["ood_score"] > made.distribution.threshold.score).astype(int))
    assert 0 < table["ood"].sum() < 6


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
    assert f"{gone.as_posix()}{',' * 25}file not found" in lines
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


def test_what_is_known_goes_to_its_own_image(
    workspace: Path, cpu: torch.device, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eleven files, one of them broken and the last ones in a second batch."""
    made = package(workspace / "classifier", head=SMALL | {"type": "linear"} | FUSION)
    paths = photographs(workspace / "images", 10)
    broken = workspace / "images/25.png"  # between 2 and 3
    broken.write_bytes(b"no image")
    table = workspace / "known.csv"
    stems = pd.DataFrame({"image": [path.stem for path in paths], **PEOPLE.to_dict("list")})
    stems.sample(frac=1, random_state=0).to_csv(table, index=False)
    told = predict_files(
        [workspace / "images"], workspace / "classifier", workspace / "out.csv", metadata=table
    ).set_index("image")
    assert "--metadata" not in capsys.readouterr().err
    images = [decode(path.read_bytes()) for path in paths]
    expected = made.expected(images, PEOPLE)
    kept = told.loc[[path.as_posix() for path in paths]]
    assert list(told["status"] == "ok") == [path != broken.as_posix() for path in told.index]
    for column in ("p_bcc", "p_mel", "p_nv", "entropy"):
        np.testing.assert_allclose(kept[column].astype(float), expected[column], rtol=1e-4, atol=1e-6)
    # without a table nothing is known, which is said
    without = predict_files(paths, workspace / "classifier", workspace / "without.csv")
    assert "give them by --metadata" in capsys.readouterr().err
    np.testing.assert_allclose(without["p_mel"].astype(float), made.expected(images)["p_mel"], rtol=1e-4, atol=1e-6)
    with pytest.raises(UserError, match="none of its images is among those"):
        predict_files([broken], workspace / "classifier", workspace / "out.csv", metadata=table)


def test_a_classifier_of_images_only_takes_no_metadata(workspace: Path, cpu: torch.device) -> None:
    package(workspace / "classifier")
    (workspace / "known.csv").write_text("image,age\n1,40\n")
    with pytest.raises(UserError, match="looks at images only"):
        predict_files(
            photographs(workspace / "images", 2),
            workspace / "classifier",
            workspace / "out.csv",
            metadata=workspace / "known.csv",
        )


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
