"""The packaged classifier: an image in, calibrated probabilities, a decision and a flag out; needs only its folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from derm.appearance import Appearance, appearance
from derm.decisions.outcome import Calibration, outcomes, read_calibration
from derm.decisions.quality import Quality, notes, read_quality
from derm.device import choose_device
from derm.embedding.forward import Forward, forward_batch_size, make_ready
from derm.embedding.views import apply_view
from derm.encoders.encoder import Encoder
from derm.encoders.registry import build_as_described, read_state
from derm.errors import UserError
from derm.files import canonical_json, read_json, write_bytes, write_json
from derm.heads.head import Head, read_head, write_head
from derm.heads.inputs import Inputs
from derm.heads.predict import image_logits
from derm.heads.registry import head_kind
from derm.nearest import TrainingLesions, read_training_lesions, write_training_lesions
from derm.out_of_distribution.distance import (
    OutOfDistribution,
    read_out_of_distribution,
    write_out_of_distribution,
)
from derm.params import checked
from derm.uncertainty import UncertaintyParams, logit_samples, uncertainty

FOLDER = Path("models/classifier")
DISTRIBUTION, QUALITY, LESIONS = "ood.safetensors", "quality.json", "nearest.safetensors"

# Where an encoder's weights are: in the folder, or with whoever has them (a hub, a file).
PACKAGED, NAMED = "packaged", "named"


@dataclass(frozen=True)
class Fitted:
    """All that was fitted on top of the encoders: head, calibration, what is unlike the training images, notes on a
    photograph's quality, and the training lesions to compare with, None if they stay where they are."""

    head: Head
    calibration: Calibration
    distribution: OutOfDistribution
    quality: Quality
    lesions: TrainingLesions | None


class Classifier:
    """Encoders and what was fitted on them; predicts as the chain did, float16 round trip included."""

    def __init__(
        self,
        encoders: list[Encoder],
        features_manifest: dict[str, Any],
        fitted: Fitted,
        uncertain: UncertaintyParams,
        synthetic: bool,
    ) -> None:
        head = fitted.head
        self.device = choose_device()
        compiled = features_manifest.get("compile", False)
        self.encoders = [make_ready(encoder, self.device, compiled) for encoder in encoders]
        self.views: list[str] = features_manifest["views"]
        tokens = head_kind(head.shape.params.type).reads == "tokens"
        self.token_pooling = features_manifest["token_pooling"] if tokens else None
        # Elsewhere than where the features were made their last bits are others anyway.
        same = self.device.type == features_manifest["device"]
        self.batch_sizes = [
            size if same else forward_batch_size(self.device, size) for size in features_manifest["batch_size"]
        ]
        self.head = head
        self.calibration = fitted.calibration
        self.fitted = fitted
        self.uncertain = uncertain
        self.synthetic = synthetic

    @staticmethod
    def load(folder: Path = FOLDER, encoder_weights: Sequence[Path] = ()) -> "Classifier":
        """Read a packaged classifier.

        encoder_weights: files or folders of the weights that are not in it, in the order of its encoders; without
        them they come from their hub. Either way they are compared with the digest of those it was made with.
        UserError if something is missing, damaged, or not what the package was made with.
        """
        description = read_json(folder / "classifier.json")
        if not {"encoders", "features", "nearest", "synthetic", "uncertainty"} <= set(description):
            raise UserError(f"{folder / 'classifier.json'} is not a packaged classifier's: copy the whole folder again")
        uncertain = checked(description["uncertainty"], "uncertainty", UncertaintyParams, folder / "classifier.json")
        manifests, given = description["features"]["encoders"], list(encoder_weights)
        encoders = []
        for number, (manifest, kept) in enumerate(zip(manifests, description["encoders"], strict=True), 1):
            state = None
            if kept["weights"] == PACKAGED:
                state = _read_weights(folder / f"encoder-{number}.safetensors")
            elif kept["weights"] == NAMED and given:
                state = read_state(manifest, given.pop(0))
            encoders.append(build_as_described(manifest, state, kept["revision"]))
        if given:
            raise UserError(f"{given[0]}: the packaged classifier needs no such weights; leave them out")
        head, calibration = read_head(folder / "head.safetensors"), read_calibration(folder / "calibration.json")
        fitted = Fitted(
            head,
            calibration,
            read_out_of_distribution(folder / DISTRIBUTION),
            read_quality(folder / QUALITY),
            read_training_lesions(folder / LESIONS) if description["nearest"] else None,
        )
        return Classifier(encoders, description["features"], fitted, uncertain, description["synthetic"])

    @property
    def classes(self) -> list[str]:
        """Class names in the order of the probabilities."""
        return self.calibration.classes

    @property
    def batch_size(self) -> int:
        """How many images are best given at once."""
        return max(self.batch_sizes)

    @property
    def uses_metadata(self) -> bool:
        """Whether age, sex and body site count."""
        return self.head.shape.encoding is not None

    def predict(self, images: Sequence[Image.Image], known: pd.DataFrame | None = None) -> pd.DataFrame:
        """One row for each upright RGB image (see `derm.images.decode`).

        known: a row for each image with `age`, `sex` and `body_site` as text, empty where unknown; without it nothing
        is known. Columns: p_<class>..., predicted and decision (class index), flag (1 or 0; empty without a positive
        class), set, then those of `derm.uncertainty.uncertainty`, ood_score and ood (1 or 0) of
        `derm.out_of_distribution.distance.OutOfDistribution.told`, quality (notes, with | between), and nearest (see
        `derm.nearest.TrainingLesions.nearest`; empty if the lesions are not in the package).
        """
        embedded = [
            [self._embedded(encoder, [apply_view(image, view) for image in images], size) for view in self.views]
            for encoder, size in zip(self.encoders, self.batch_sizes, strict=True)
        ]
        blocks = [np.stack([pooled for pooled, _ in views], axis=1) for views in embedded]
        pooled = source = np.concatenate(blocks, axis=-1)
        if self.token_pooling is not None:  # patch tokens, which are of one encoder alone
            source = np.stack([tokens for _, tokens in embedded[0]], axis=1)
        metadata, encoding = None, self.head.shape.encoding
        if encoding is not None:
            metadata = encoding.encode(pd.DataFrame(index=range(len(images))) if known is None else known)
        inputs = Inputs(source, np.arange(len(images)), metadata)
        samples = logit_samples(self.head, inputs, self.uncertain)
        told = outcomes(image_logits(self.head, inputs), self.calibration)
        doubt = uncertainty(samples, self.calibration.calibrator, self.classes)
        table = pd.concat([told, doubt, self.fitted.distribution.told(pooled)], axis=1)
        looks = pd.DataFrame([appearance(image, None) for image in images], columns=pd.Index(Appearance._fields))
        table["quality"] = notes(looks, self.fitted.quality)
        lesions = self.fitted.lesions
        table["nearest"] = "" if lesions is None else lesions.nearest(pooled)
        return table

    def _embedded(
        self, encoder: Encoder, images: Sequence[Image.Image], batch_size: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Float16 [n, dim], and for a head that reads patches [n, patches, channels], else none of them, [0]."""
        forward = Forward(encoder, batch_size, self.device, self.token_pooling)
        batches = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
        embedded = [forward.launch([encoder.transform(image) for image in batch])() for batch in batches]
        tokens = [one.tokens for one in embedded if one.tokens is not None]
        return np.concatenate([one.pooled for one in embedded]), np.concatenate(tokens or [np.empty(0, np.float16)])


def write_classifier(
    encoders: list[Encoder],
    revisions: list[str],
    features_manifest: dict[str, Any],
    fitted: Fitted,
    uncertain: UncertaintyParams,
    max_encoder_bytes: int,
    synthetic: bool,
    folder: Path = FOLDER,
) -> list[str]:
    """Write the folder. Returns where each encoder's weights are: `none`, `packaged`, or over the limit `named`.

    revisions: the commit of the hub's repository that each encoder's weights came from; '' if it is not known.
    """
    described = []
    for number, (encoder, revision) in enumerate(zip(encoders, revisions, strict=True), 1):
        size = sum(tensor.numel() * tensor.element_size() for tensor in encoder.weights.values())
        where = "none" if not size else (PACKAGED if size <= max_encoder_bytes else NAMED)
        if where == PACKAGED:
            tensors = {name: tensor.cpu().contiguous() for name, tensor in sorted(encoder.weights.items())}
            write_bytes(folder / f"encoder-{number}.safetensors", save(tensors))
        described.append({"weights": where, "revision": revision})
    write_head(fitted.head, folder / "head.safetensors")
    write_json(folder / "calibration.json", fitted.calibration.model_dump())
    write_out_of_distribution(fitted.distribution, folder / DISTRIBUTION)
    write_json(folder / QUALITY, fitted.quality.model_dump())
    if fitted.lesions is not None:
        write_training_lesions(fitted.lesions, folder / LESIONS)
    # Not `write_json`, which rounds: a manifest is compared to the last digit when it is read again.
    description = canonical_json(
        {
            "features": features_manifest,
            "encoders": described,
            "nearest": fitted.lesions is not None,
            "synthetic": synthetic,
            "uncertainty": uncertain.model_dump(),
        }
    )
    write_bytes(folder / "classifier.json", f"{description}\n".encode())
    return [encoder["weights"] for encoder in described]


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise UserError(f"{path} is missing: copy the whole folder")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path} is damaged ({error}): copy it again") from None
