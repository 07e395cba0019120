"""Put encoder, head and calibration into one folder that predicts by itself."""

from pathlib import Path

from pydantic import Field

from derm.classifier import FOLDER, write_classifier
from derm.decisions.outcome import calibration_file, read_calibration
from derm.embedding.features import read_manifest
from derm.encoders.params import EncoderParams, parts_of
from derm.encoders.registry import build_for_features
from derm.files import read_json, write_json
from derm.heads.head import HEAD, head_file, read_head
from derm.out_of_distribution.distance import read_out_of_distribution
from derm.params import Section, load
from derm.uncertainty import UncertaintyParams
from stages.runner import run


class PackageParams(Section):
    """Section `package`: what goes into the folder."""

    max_encoder_mb: float = Field(ge=0)


def main() -> None:
    params, encoder_params = load("package", PackageParams), load("encoder", EncoderParams)
    manifest = read_manifest()
    synthetic = read_json(Path("metrics/prepare.json"))["synthetic"]
    where = write_classifier(
        build_for_features(encoder_params, manifest["encoders"]),
        [part.revision for part in parts_of(encoder_params)],
        manifest,
        read_head(head_file(HEAD)),
        read_calibration(calibration_file(HEAD)),
        read_out_of_distribution(),
        load("uncertainty", UncertaintyParams),
        max_encoder_bytes=int(params.max_encoder_mb * 1_000_000),
        synthetic=synthetic,
    )
    size = sum(path.stat().st_size for path in FOLDER.iterdir())
    write_json(Path("metrics/package.json"), {"bytes": size, "encoder_weights": "+".join(where)})


if __name__ == "__main__":
    run("package", main)
