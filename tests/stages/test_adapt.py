"""An encoder that was trained here goes through the whole chain as any other; what contradicts itself is one line."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from derm.classifier import Classifier
from derm.embedding.features import read_manifest
from derm.encoders.adapted import read_adapted
from derm.errors import UserError
from derm.files import read_json
from derm.folder_digest import folder_digest
from stages import adapt, calibrate, featurize, package, train_head
from tests.stages.chain import change_params, check_results, run_chain, write_checkpoint

QUICK: dict[str, Any] = {"epochs": 2, "batch_size": 16, "classifier_learning_rate": 0.01, "learning_rate": 0.003}


@pytest.mark.parametrize(
    ("checkpoint", "changes"),
    [
        ("gemma3", {"method": "lora", "averaging": 0.5}),
        ("siglip", {"method": "full", "layer_decay": 0.8, "precision": "bfloat16", "augmentation": "strong"}),
    ],
)
def test_a_trained_encoder_goes_through_the_whole_chain(
    checkpoint: str, changes: dict[str, Any], prepared_workspace: Path
) -> None:
    folder = prepared_workspace / "weights"
    name = write_checkpoint(checkpoint, folder)
    change_params({"adapt": QUICK | changes})
    run_chain({"name": name, "weights": str(folder), "weights_sha256": folder_digest(folder)})
    check_results()
    card = Path("plots/report/model_card.md").read_text()
    assert f"trained first on the training part (adapt.method {changes['method']}" in card
    (manifest,) = read_manifest()["encoders"]
    trained, _ = read_adapted()[name]
    assert manifest == trained and manifest["weights"] == "adapted"
    curves = pd.read_csv("plots/adapt/curves.csv")
    assert list(curves["step"]) == [0, 1]
    assert read_json(Path("metrics/adapt.json"))["method"] == changes["method"]
    assert Path("plots/adapt/augmentation.png").stat().st_size > 1000
    assert not list(Path(".derm/adapt").iterdir())  # nothing is left to go on from


def test_simple_cnn_from_scratch_beside_colour_texture(prepared_workspace: Path) -> None:
    """One of the joined encoders is trained; another size than its own; classifier with hidden layers."""
    change_params({"adapt": QUICK | {"method": "scratch", "hidden": [16], "dropout": 0.5, "epochs": 1}})
    change_params(
        {"encoder": {"name": "colour-texture+simple-cnn", "weights": ["none", "random"], "image_size": ["auto", 64]}}
    )
    adapt.main()
    featurize.main()
    assert [manifest["weights"] for manifest in read_manifest()["encoders"]] == ["none", "adapted"]


def test_a_package_without_the_weights_says_where_they_are(prepared_workspace: Path) -> None:
    """Over the limit they are not packed: the file is named, and nothing else is needed."""
    folder = prepared_workspace / "weights"
    change_params({"adapt": QUICK | {"method": "lora", "epochs": 1}, "package": {"max_encoder_mb": 0}})
    name = write_checkpoint("siglip", folder)
    change_params({"encoder": {"name": name, "weights": str(folder), "weights_sha256": folder_digest(folder)}})
    for stage in (adapt, featurize, train_head, calibrate, package):
        stage.main()
    with pytest.raises(UserError, match=r"its weights are not here: name the file with --encoder-weights"):
        Classifier.load()
    shutil.rmtree(folder)
    (encoder,) = Classifier.load(encoder_weights=[Path("models/encoder/encoder-1.safetensors")]).encoders
    assert encoder.manifest == read_adapted()[name][0]


def test_positions_are_trained_at_the_size_they_are_used_at(prepared_workspace: Path) -> None:
    change_params({"adapt": QUICK | {"method": "full", "epochs": 1}})
    change_params({"encoder": {"name": "timm/test_vit", "weights": "random", "image_size": 96}})
    adapt.main()
    featurize.main()
    (manifest,) = read_manifest()["encoders"]
    assert manifest["transform"]["size"] == [96, 96] and manifest["weights"] == "adapted"


def test_another_training_makes_old_features_stale(prepared_workspace: Path) -> None:
    """Same encoder, another seed of its training: other weights, another fingerprint, every image computed again."""
    digests = []
    for seed in (1, 2, 1):
        change_params(
            {
                "adapt": QUICK | {"method": "lora", "seed": seed, "epochs": 1},
                "encoder": {"name": "timm/test_vit", "weights": "random"},
            }
        )
        adapt.main()
        featurize.main()
        digests.append((read_manifest()["encoders"][0]["weights_digest"], folder_digest(Path("data/features"))))
    assert digests[0] == digests[2]
    assert digests[0][0] != digests[1][0] and digests[0][1] != digests[1][1]


def test_neither_test_nor_calibration_part_reaches_the_encoder(prepared_workspace: Path) -> None:
    """Their diagnoses are changed, their images are gone: the encoder comes out the same."""
    change_params(
        {
            "adapt": QUICK | {"method": "lora", "epochs": 1},
            "encoder": {"name": "timm/test_vit", "weights": "random"},
        }
    )
    adapt.main()
    before = folder_digest(Path("models/encoder"))
    split, images = pd.read_csv("data/split/split.csv"), pd.read_csv("data/prepared/images.csv").set_index("image_id")
    hidden = split["part"].isin(["test", "calibration"])
    assert 0 < hidden.sum() < len(split)
    split.loc[hidden, "target"] = 0
    split.to_csv("data/split/split.csv", index=False)
    for path in images.loc[split.loc[hidden, "image_id"], "path"]:
        Path(path).unlink()
    adapt.main()
    assert folder_digest(Path("models/encoder")) == before


@pytest.mark.parametrize(
    ("encoder", "changes", "told"),
    [
        ({"name": "colour-texture"}, {"method": "full"}, "encoder.name is colour-texture, where none has weights"),
        (
            {"name": "timm/test_vit+timm/test_resnet", "weights": "random"},
            {"method": "lora"},
            "where timm/test_vit and timm/test_resnet have weights: name one",
        ),
        (
            {"name": "timm/test_vit", "weights": "pretrained"},
            {"method": "scratch"},
            "encoder.weights is 'pretrained': set encoder.weights=random, or adapt.method=full",
        ),
        (
            {"name": "timm/test_vit", "weights": "random"},
            {"method": "lora", "lora": {"rank": 8, "alpha": 16.0, "dropout": 0.0, "target_modules": ["fc9"]}},
            "adapt.lora.target_modules: no layer is called 'fc9'; there are patch_embed.proj, attn.qkv",
        ),
        ({"name": "timm/test_vit", "weights": "random"}, {"method": "lorra"}, "adapt.method is 'lorra', expected"),
        ({"name": "timm/test_vit", "weights": "random"}, {"precision": "float16"}, "adapt.precision is 'float16'"),
        ({"name": "timm/test_vit", "weights": "random"}, {"batch_size": 1}, "adapt.batch_size is 1"),
    ],
)
def test_what_contradicts_itself_is_one_line(
    encoder: dict[str, Any], changes: dict[str, Any], told: str, prepared_workspace: Path
) -> None:
    change_params({"encoder": encoder, "adapt": changes})
    with pytest.raises(UserError) as caught:
        adapt.main()
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_the_loss_of_the_encoder_names_its_own_section(prepared_workspace: Path) -> None:
    loss = {"gamma": 0.0, "alpha": 0.5, "label_smoothing": 0.0, "tau": 0.0, "class_weights": "none"}
    loss |= {"effective_beta": 0.999, "melanoma_boost": 1.0}
    change_params(
        {
            "encoder": {"name": "timm/test_vit", "weights": "random"},
            "adapt": QUICK | {"method": "full", "loss": loss},
            "task": {"positive": None},
        }
    )
    with pytest.raises(UserError, match=r"adapt.loss.alpha weighs task.positive, which is null"):
        adapt.main()


def test_a_trained_encoder_of_another_name_or_a_missing_file_is_one_line(prepared_workspace: Path) -> None:
    encoder = {"name": "timm/test_vit", "weights": "random"}
    change_params({"encoder": encoder, "adapt": QUICK | {"method": "lora", "epochs": 1}})
    adapt.main()
    change_params({"encoder": {"name": "timm/test_resnet"}})
    with pytest.raises(UserError, match=r"models/encoder holds timm/test_vit, encoder.name is timm/test_resnet"):
        featurize.main()
    change_params({"encoder": encoder})
    Path("models/encoder/encoder-1.safetensors").unlink()
    with pytest.raises(UserError, match=r"encoder-1.safetensors is missing: run `dvc repro adapt`"):
        featurize.main()
    shutil.rmtree("models/encoder")
    with pytest.raises(UserError, match=r"models/encoder/adapted.json is missing"):
        featurize.main()
