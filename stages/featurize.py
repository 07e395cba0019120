"""Run the frozen encoder once over every image."""

from derm import journal
from derm.device import choose_device
from derm.embedding.extract import extract
from derm.embedding.features import Features, FeaturesParams, write_features
from derm.encoders.registry import EncoderParams, build_encoder
from derm.image_table import read_images
from derm.params import load
from stages.runner import run


def main() -> None:
    encoder_params, params = load("encoder", EncoderParams), load("features", FeaturesParams)
    images = read_images()
    encoder = build_encoder(encoder_params)
    device = choose_device()
    extraction = extract(encoder, list(images["path"]), list(images["sha256"]), params.batch_size, device)
    manifest = {"encoder": encoder.manifest, "batch_size": params.batch_size, "views": ["identity"]}
    write_features(Features(extraction.features[:, None], list(images["image_id"]), manifest))
    journal.note(
        "embedded",
        stage="featurize",
        images=len(images),
        computed=extraction.computed,
        seconds=extraction.seconds,
        device=str(device),
    )
    repeated = f", {extraction.repeated} equal to one of these" if extraction.repeated else ""
    print(f"{len(images)} images: {extraction.cached} from the cache, {extraction.computed} computed{repeated}")


if __name__ == "__main__":
    run("featurize", main)
