"""The packaged classifier: an image in, calibrated probabilities, a decision and a flag out; needs only its folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from derm.decisions.outcome import Calibration, outcomes, read_calibration
from derm.device import choose_device
from derm.embedding.extract import embed_batch
from derm.encoders.encoder import Encoder
from derm.encoders.registry import build_as_described
from derm.errors import UserError
from derm.files import canonical_json, read_json, write_bytes, write_json
from derm.heads.head import Head, head_logits, read_head, write_head

FOLDER = Path("models/classifier")


class Classifier:
    """Encoder, head and calibration, as the chain left them; predicts as the chain did, float16 round trip included."""

    def __init__(
        self, encoder: Encoder, batch_size: int, head: Head, calibration: Calibration, synthetic: bool
    ) -> None:
        self.device = choose_device()
        self.encoder = encoder.to(self.device)
        self.batch_size = batch_size
        self.head = head
        self.calibration = calibration
        self.synthetic = synthetic

    @staticmethod
    def load(folder: Path = FOLDER) -> "Classifier":
        """Read a packaged classifier; weights that are not in the folder come from their hub, checked by digest.

        UserError if something is missing, damaged, or not what the package was made with.
        """
        description = read_json(folder / "classifier.json")
        if not {"weights", "features", "synthetic"} <= set(description):
            raise UserError(f"{folder / 'classifier.json'} is not a packaged classifier's: copy the whole folder again")
        state: dict[str, torch.Tensor] | None = None
        if description["weights"] == "packaged":
            if not (folder / "encoder.safetensors").is_file():
                raise UserError(f"{folder / 'encoder.safetensors'} is missing: copy the whole folder")
            try:
                state = load_file(folder / "encoder.safetensors")
            except SafetensorError as error:
                raise UserError(f"{folder / 'encoder.safetensors'} is damaged ({error}): copy it again") from None
        encoder = build_as_described(description["features"]["encoder"], state)
        head, calibration = read_head(folder / "head.safetensors"), read_calibration(folder / "calibration.json")
        batch_size = description["features"]["batch_size"]
        return Classifier(encoder, batch_size, head, calibration, description["synthetic"])

    @property
    def classes(self) -> list[str]:
        """Class names in the order of the probabilities."""
        return self.calibration.classes

    def predict(self, images: Sequence[Image.Image]) -> pd.DataFrame:
        """One row for each upright RGB image (see `derm.images.decode`).

        Columns: p_<class>..., predicted and decision (class index), flag (1 or 0; empty without a positive class).
        """
        pooled = [
            embed_batch(self.encoder, torch.stack(batch), self.batch_size, self.device)
            for start in range(0, len(images), self.batch_size)
            if (batch := [self.encoder.transform(image) for image in images[start : start + self.batch_size]])
        ]
        return outcomes(head_logits(self.head, np.concatenate(pooled)), self.calibration)


def write_classifier(
    encoder: Encoder,
    features_manifest: dict[str, Any],
    head: Head,
    calibration: Calibration,
    max_encoder_bytes: int,
    from_hub: bool,
    synthetic: bool,
    folder: Path = FOLDER,
) -> str:
    """Write the folder. Returns where the encoder's weights are: `none`, `packaged`, or `hub` (over the limit).

    UserError if they are over the limit and not from a hub.
    """
    size = sum(tensor.numel() * tensor.element_size() for tensor in encoder.weights.values())
    if size > max_encoder_bytes and not from_hub:
        raise UserError(
            f"the encoder takes {size / 1e6:.0f} MB, over package.max_encoder_mb, and its weights do not come from a "
            "hub, where a user of the package could find them: raise package.max_encoder_mb"
        )
    where = "none" if not size else ("packaged" if size <= max_encoder_bytes else "hub")
    if where == "packaged":
        tensors = {name: tensor.cpu().contiguous() for name, tensor in sorted(encoder.weights.items())}
        write_bytes(folder / "encoder.safetensors", save(tensors))
    write_head(head, folder / "head.safetensors")
    write_json(folder / "calibration.json", calibration.model_dump())
    # Not `write_json`, which rounds: a manifest is compared to the last digit when it is read again.
    description = canonical_json({"features": features_manifest, "weights": where, "synthetic": synthetic})
    write_bytes(folder / "classifier.json", f"{description}\n".encode())
    return where
