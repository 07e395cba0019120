"""The recipe of each seed system runs to the end, on a tiny checkpoint of its family instead of its own weights."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from derm.embedding.features import read_manifest
from derm.folder_digest import folder_digest
from derm.heads.head import HEAD, head_file, read_head
from experiments.recipes import available, read_recipe
from stages import adapt, featurize, split, train_head
from tests.closure import ROOT
from tests.stages.chain import change_params, check_results, run_chain, write_checkpoint

# What stands for the encoder of each recipe, and how many numbers its head has learnt on it, counted by hand below.
STANDS_FOR = {
    "seed-0-medgemma-frozen": "gemma3",
    "seed-1-acrnn-frozen": "timm-efficientnet",
    "seed-1-efficientnetv2-frozen": "timm-efficientnet",
    "seed-2-fusion-frozen": "timm-efficientnet",
    "seed-3-resnet50-frozen": "timm-cnn",
    "seed-4-resnet50-frozen": "timm-cnn",
}
# The same of those whose encoder is trained; None: it begins with random weights of its own.
TRAINED = {
    "best-adapted": "timm-cnn",
    "seed-1-efficientnetv2-trained": "timm-efficientnet",
    "seed-2-fusion-trained": "timm-efficientnet",
    "seed-3-resnet50-head-trained": "timm-cnn",
    "seed-3-resnet50-scratch-trained": None,
    "seed-3-resnet50-trained": "timm-cnn",
    "seed-3-simple-cnn-trained": None,
    "seed-4-resnet50-trained": "timm-cnn",
}


def learnt(recipe: str, channels: int, columns: int) -> int:
    """Weights, biases, and the scales and shifts of batch norm, as the documents draw the heads; 7 classes or 2."""
    match recipe:
        case "seed-1-acrnn-frozen":
            lstm = 4 * 64 * (128 + 64 + 2)
            return (3 * channels * 128 + 128) + lstm + (64 * 16 + 16) + 16 + (16 * 7 + 7)
        case "seed-1-efficientnetv2-frozen" | "seed-1-efficientnetv2-trained":
            return (channels + 1) * 512 + 2 * 512 + 513 * 256 + 2 * 256 + 257 * 7
        case "seed-2-fusion-frozen" | "seed-2-fusion-trained":
            return (columns + 1) * 64 + 2 * 64 + 65 * 32 + 2 * 32 + (channels + 32 + 1) * 2
        case name if name.startswith("seed-3-"):
            return (channels + 1) * 256 + 257 * 128 + 129 * 7
        case _:
            return (channels + 1) * 7


def test_every_recipe_of_a_seed_is_tried() -> None:
    seeds = {name for name in available(ROOT / "recipes") if name.startswith("seed-")}
    assert set(STANDS_FOR) | set(TRAINED) == seeds | {"best-adapted"}


def changes_of(recipe: str) -> dict[str, dict[str, Any]]:
    """Section -> key -> value; nested ones as they are in params.yaml, but for their changes."""
    default = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    changes: dict[str, dict[str, Any]] = {}
    for key, value in read_recipe(recipe, ROOT / "recipes").items():
        section, name, *nested = key.split(".")
        mine = changes.setdefault(section, {})
        if nested:
            mine.setdefault(name, dict(default[section][name]))[nested[0]] = yaml.safe_load(value)
        else:
            mine[name] = yaml.safe_load(value)
    return changes


@pytest.mark.parametrize("recipe", TRAINED)
def test_a_recipe_trains_its_encoder_and_a_head_on_it(recipe: str, prepared_workspace: Path) -> None:
    changes, checkpoint = changes_of(recipe), TRAINED[recipe]
    encoder = changes.pop("encoder")
    encoder |= {"image_size": ["auto", 32] if "+" in encoder["name"] else 32}
    if checkpoint is not None:
        assert encoder["weights"] == "pretrained"
        name, weights = write_checkpoint(checkpoint, prepared_workspace / "weights"), prepared_workspace / "weights"
        encoder["name"] = f"colour-texture+{name}" if "+" in encoder["name"] else name
        encoder |= {"weights": str(weights), "weights_sha256": folder_digest(weights)}
    else:
        assert encoder["weights"] == "random" and encoder["name"] in ("simple-cnn", "timm/resnet50.tv_in1k")
        encoder["name"] = encoder["name"].replace("timm/resnet50.tv_in1k", "timm/test_resnet")
    del changes["data"]["root"]
    quick = {"adapt": changes["adapt"] | {"epochs": 1}, "train": changes["train"] | {"epochs": 2}}
    change_params({**changes, **quick, "encoder": encoder})
    if "task" in changes:
        shutil.rmtree("data/split")
        split.main()
    for stage in (adapt, featurize, train_head):
        stage.main()
    kinds = [manifest["weights"] for manifest in read_manifest()["encoders"]]
    assert kinds[-1] == ("trained" if changes["adapt"]["method"] == "none" else "adapted")
    if recipe.startswith("seed-"):
        count_learnt(recipe)


@pytest.mark.parametrize("recipe", STANDS_FOR)
def test_a_recipe_runs_to_the_end(recipe: str, prepared_workspace: Path) -> None:
    changes = changes_of(recipe)
    weights = prepared_workspace / "weights"
    encoder = changes.pop("encoder")
    name = write_checkpoint(STANDS_FOR[recipe], weights)
    if encoder["name"].startswith("timm/"):
        # Tiny networks take any size; the recipe's own would be slow.
        encoder |= {"name": name} | ({"image_size": 32} if "image_size" in encoder else {})
    assert encoder["name"] == name and encoder["weights"] == "pretrained"
    encoder |= {"weights": str(weights), "weights_sha256": folder_digest(weights)}
    del changes["data"]["root"]
    change_params({**changes, "train": changes["train"] | {"epochs": 2}})
    if "task" in changes:
        shutil.rmtree("data/split")
        split.main()
    run_chain(encoder)
    check_results()
    count_learnt(recipe)


def count_learnt(recipe: str) -> None:
    """The head has as many numbers as the document draws."""
    head = read_head(head_file(HEAD))
    encoding = head.shape.encoding
    columns = 0 if encoding is None else len(encoding.columns)
    count = sum(parameter.numel() for parameter in head.parameters())
    assert count == learnt(recipe, head.shape.channels, columns)
