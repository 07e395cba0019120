"""A tiny random checkpoint of each family of encoders goes through the whole chain, with the network cut off."""

from pathlib import Path

import numpy as np
import pytest

from derm.embedding.features import read_features
from derm.folder_digest import folder_digest
from tests.stages.chain import check_results, run_chain, write_checkpoint

CHECKPOINTS = ["timm-cnn", "timm-vit", "gemma3", "siglip", "dinov2", "vit", "convnext"]


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_a_checkpoint_goes_through_the_whole_chain(checkpoint: str, prepared_workspace: Path) -> None:
    folder = prepared_workspace / "weights"
    name = write_checkpoint(checkpoint, folder)
    run_chain({"name": name, "weights": str(folder), "weights_sha256": folder_digest(folder)})
    check_results()
    assert name in Path("plots/report/index.html").read_text()
    # where the weights lay is no part of what is tracked
    for path in (path for top in ("data/features", "models", "metrics") for path in Path(top).rglob("*.*")):
        assert str(folder).encode() not in path.read_bytes(), path


def test_joined_encoders_with_views_go_through_the_whole_chain(prepared_workspace: Path) -> None:
    """Their features stand side by side, as each alone gave them."""
    run_chain({"name": "timm/test_resnet", "weights": "random"}, {"views": 2})
    alone = read_features()
    run_chain({"name": "colour-texture+timm/test_resnet"})
    joined = read_features()
    first = joined.manifest["dims"][0]
    assert joined.manifest["dims"] == [714, alone.pooled.shape[2]]
    np.testing.assert_array_equal(joined.pooled[:, :, first:], alone.pooled)
    check_results()
