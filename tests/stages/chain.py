"""The chain on tiny checkpoints, stage by stage in this process."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import timm
import torch
import yaml
from PIL import Image
from timm.models import save_for_hf

from derm.classifier import Classifier
from derm.images import decode
from stages import adapt, calibrate, evaluate, explain, featurize, package, report, train_head
from tests.derm.encoders.tiny import FAMILIES

# How `encoder.name` calls a folder of each family.
NAMES = {"gemma3": "medgemma-4b", "siglip": "medsiglip-448"}
TIMM = {"timm-cnn": "test_resnet", "timm-vit": "test_vit", "timm-efficientnet": "test_efficientnet"}
SHEETS = ("sure_and_right", "sure_and_wrong", "missed")


def write_checkpoint(checkpoint: str, folder: Path) -> str:
    """Write it, and return its `encoder.name`."""
    torch.manual_seed(3)
    if checkpoint.startswith("timm"):
        name = TIMM[checkpoint]
        save_for_hf(timm.create_model(name), str(folder), safe_serialization=True)
        return f"timm/{name}"
    FAMILIES[checkpoint](folder)
    return NAMES.get(checkpoint, f"hf/nobody/{checkpoint}")


def run_chain(encoder: dict[str, Any], features: dict[str, Any] | None = None) -> None:
    """From adapt to report, with these params."""
    change_params({"encoder": encoder, "features": features or {}})
    for stage in (adapt, featurize, train_head, calibrate, evaluate, explain, package, report):
        stage.main()


def change_params(changes: dict[str, dict[str, Any]]) -> None:
    """Section -> key -> value."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    for section, content in changes.items():
        assert set(content) <= set(params[section]), f"{section} has no {set(content) - set(params[section])}"
        params[section] |= content
    Path("params.yaml").write_text(yaml.safe_dump(params))


def check_results() -> None:
    """Maps were drawn, and the package alone tells what the chain told."""
    coloured = [np.ptp(np.asarray(Image.open(f"plots/explain/{sheet}.png")).astype(int), axis=2) for sheet in SHEETS]
    assert max(int((colours > 60).sum()) for colours in coloured) > 500
    told = pd.read_csv("data/predictions/test.csv").set_index("image_id")
    images = pd.read_csv("data/prepared/images.csv", dtype=str, keep_default_na=False).set_index("image_id")
    images = images.loc[told.index]
    probabilities = [name for name in map(str, told) if name.startswith("p_")]
    again = Classifier.load().predict([decode(Path(path).read_bytes()) for path in images["path"]], images)
    np.testing.assert_allclose(again[probabilities], told[probabilities], atol=1e-4)
    assert list(again["decision"]) == list(told["decision"])
