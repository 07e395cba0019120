"""Maps of networks whose answer is known: they lie on the planted region, and no longer once labels are shuffled."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from derm.encoders.encoder import Encoder
from derm.explanation.localisation import localisation
from derm.explanation.maps import explain, seen_box
from derm.explanation.model import Explained
from derm.explanation.sanity import head_of_shuffled_labels
from derm.heads.head import Head
from tests.derm.explanation.planted import FAMILIES, cells_of, knowing_head, places, planted, without_attention
from tests.derm.explanation.test_maps import CPU

RIGHT = ["gradcam", "hirescam"]
JOINED = "joined"
IMAGES, TRAINING = 5, 40


@pytest.fixture(scope="module", params=[*FAMILIES, JOINED])
def encoders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Encoder]:
    names = ["colour and texture", "convolutions"] if request.param == JOINED else [request.param]
    return [without_attention(FAMILIES[name](tmp_path_factory.mktemp("weights"))) for name in names]


def grid_of(encoder: Encoder, side: int) -> tuple[int, int]:
    with torch.no_grad():
        shape = encoder.to_grid(encoder.maps(torch.zeros(1, 3, side, side))).shape
    return int(shape[2]), int(shape[3])


def measured(encoders: Sequence[Encoder], heads: Sequence[Head], side: int) -> dict[str, np.ndarray]:
    """Method -> energy in the planted region (with the cells that touch it) and pointing game, mean over images."""
    coarsest = min((grid_of(encoder, encoder.manifest["transform"]["size"][0]) for encoder in encoders), key=min)
    told: dict[str, list[tuple[float, float]]] = {method: [] for method in RIGHT}
    for number, head in enumerate(heads):
        box, beside = places(side, number)
        image = planted(side, box, 0, beside)
        cells = cells_of(box, side, coarsest, shrink=False)
        mask = np.kron(cells, np.ones((8, 8), dtype=bool))
        maps = explain(Explained(list(encoders), head), [image], [0], RIGHT, CPU)
        for method, (heat,) in maps.items():
            size = mask.shape[::-1]
            found = localisation(heat, mask, tuple(np.array(seen_box(encoders, *size))))  # pyright: ignore[reportArgumentType]
            told[method].append((found["energy"], found["pointing"]))
    return {method: np.mean(values, axis=0) for method, values in told.items()}


def test_the_right_methods_find_what_was_planted_and_not_with_shuffled_labels(encoders: list[Encoder]) -> None:
    side = encoders[0].manifest["transform"]["size"][0]
    heads = []
    for number in range(IMAGES):
        box, beside = places(side, number)
        heads.append(knowing_head(encoders, planted(side, box, 0, beside), box))
    for method, (energy, pointing) in measured(encoders, heads, side).items():
        assert energy >= 0.8 and pointing >= 0.95, (method, energy, pointing)
    colours = [number % 2 for number in range(TRAINING)]
    given = [places(side, 100 + number) for number in range(TRAINING)]
    images = [planted(side, box, colour, beside) for colour, (box, beside) in zip(colours, given, strict=True)]
    with torch.no_grad():
        features = [encoder.embed(torch.stack([encoder.transform(image) for image in images])) for encoder in encoders]
    blind = head_of_shuffled_labels(heads[0], torch.cat(features, dim=1).numpy(), np.array(colours), seed=1)
    for method, (energy, _) in measured(encoders, [blind] * IMAGES, side).items():
        assert energy < 0.6, (method, energy)
