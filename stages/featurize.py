"""Run the frozen encoder once over every image, of the home set and of the external ones."""

from pathlib import Path

import pandas as pd
import torch

from derm import journal
from derm.device import choose_device
from derm.embedding.extract import extract
from derm.embedding.features import EXTERNAL_FEATURES, FEATURES, Features, FeaturesParams, write_features
from derm.encoders.encoder import Encoder
from derm.encoders.registry import EncoderParams, build_encoder
from derm.external import EXTERNAL, read_sets
from derm.files import write_csv
from derm.image_table import IMAGES_FILE, read_images
from derm.params import load
from stages.runner import run


def main() -> None:
    encoder_params, params = load("encoder", EncoderParams), load("features", FeaturesParams)
    encoder, device = build_encoder(encoder_params), choose_device()
    embed(encoder, device, params, IMAGES_FILE, FEATURES, "")
    names = read_sets()
    for name in names:
        embed(encoder, device, params, EXTERNAL / name / "images.csv", EXTERNAL_FEATURES / name, f"{name}: ")
    write_csv(EXTERNAL_FEATURES / "sets.csv", pd.DataFrame({"name": names}, dtype=str))


def embed(
    encoder: Encoder, device: torch.device, params: FeaturesParams, table: Path, folder: Path, label: str
) -> None:
    """Embed the images of one table into one folder; an empty table gives none."""
    images = read_images(table)
    if images.empty:
        print(f"{label}no image to embed")
        return
    extraction = extract(encoder, list(images["path"]), list(images["sha256"]), params.batch_size, device)
    manifest = {"encoder": encoder.manifest, "batch_size": params.batch_size, "views": ["identity"]}
    write_features(Features(extraction.features[:, None], list(images["image_id"]), manifest), folder)
    journal.note(
        "embedded",
        stage="featurize",
        images=len(images),
        computed=extraction.computed,
        seconds=extraction.seconds,
        device=str(device),
    )
    repeated = f", {extraction.repeated} equal to one of these" if extraction.repeated else ""
    print(f"{label}{len(images)} images: {extraction.cached} from the cache, {extraction.computed} computed{repeated}")


if __name__ == "__main__":
    run("featurize", main)
