"""Put encoder, head and calibration into one folder that predicts by itself."""

from pathlib import Path

from pydantic import Field

from derm.classifier import FOLDER, Fitted, write_classifier
from derm.decisions.outcome import calibration_file, read_calibration
from derm.decisions.quality import read_quality
from derm.embedding.features import Features, read_features
from derm.encoders.params import EncoderParams, parts_of
from derm.encoders.registry import build_for_features
from derm.files import read_csv, read_json, write_json
from derm.heads.head import HEAD, head_file, read_head
from derm.image_table import read_images
from derm.nearest import TrainingLesions, training_lesions
from derm.out_of_distribution.distance import read_out_of_distribution
from derm.params import Section, load
from derm.uncertainty import UncertaintyParams
from stages.runner import run


class PackageParams(Section):
    """Section `package`: what goes into the folder."""

    max_encoder_mb: float = Field(ge=0)
    nearest_lesions: bool


def main() -> None:
    params, encoder_params = load("package", PackageParams), load("encoder", EncoderParams)
    features = read_features()
    manifest = features.manifest
    fitted = Fitted(
        read_head(head_file(HEAD)),
        read_calibration(calibration_file(HEAD)),
        read_out_of_distribution(),
        read_quality(),
        lesions_of_training(features) if params.nearest_lesions else None,
    )
    synthetic = read_json(Path("metrics/prepare.json"))["synthetic"]
    where = write_classifier(
        build_for_features(encoder_params, manifest["encoders"]),
        [part.revision for part in parts_of(encoder_params)],
        manifest,
        fitted,
        load("uncertainty", UncertaintyParams),
        max_encoder_bytes=int(params.max_encoder_mb * 1_000_000),
        synthetic=synthetic,
    )
    size = sum(path.stat().st_size for path in FOLDER.iterdir())
    write_json(Path("metrics/package.json"), {"bytes": size, "encoder_weights": "+".join(where)})


def lesions_of_training(features: Features) -> TrainingLesions:
    """Those a prediction is shown with."""
    split = read_csv(Path("data/split/split.csv"), target=int)
    train = split[split["part"] == "train"].merge(read_images()[["image_id", "lesion_id"]], on="image_id")
    classes = read_calibration(calibration_file(HEAD)).classes
    return training_lesions(features.pooled[features.rows(train["image_id"])], train, classes)


if __name__ == "__main__":
    run("package", main)
