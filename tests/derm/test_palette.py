"""The colours of figures stay apart for readers who see fewer of them."""

from itertools import combinations

import numpy as np
import pytest

from derm.appearance import LINEAR, cielab
from derm.contact_sheet import RIGHT, WRONG
from derm.figures import PALETTE

# What linear RGB becomes without one kind of cone (Machado, Oliveira, Fernandes 2009, IEEE TVCG 15(6), severity 1).
SEEN_BY = {
    "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB of linear RGB: distances of 2 are just seen side by side."""
    return cielab(np.abs(LINEAR - rgb[:, None]).argmin(axis=1).astype(np.uint8))


def linear(colour: str) -> np.ndarray:
    return LINEAR[[int(colour[place : place + 2], 16) for place in (1, 3, 5)]]


def apart(one: str, other: str, matrix: list[list[float]]) -> float:
    seen = [lab((np.array(matrix) @ linear(colour)).clip(0, 1)) for colour in (one, other)]
    return float(np.linalg.norm(seen[0] - seen[1]))


def test_white_is_white_and_what_deuteranopes_confuse_comes_close() -> None:
    """The simulation itself: an orange and an olive, far apart, come close for a reader without green cones."""
    assert lab(linear("#ffffff")) == pytest.approx([100, 0, 0], abs=0.05)
    assert apart("#b35900", "#6b7a00", SEEN_BY["normal"]) > 40
    assert apart("#b35900", "#6b7a00", SEEN_BY["deuteranopia"]) < 12


@pytest.mark.parametrize("reader", SEEN_BY)
def test_colours_of_lines_are_told_apart(reader: str) -> None:
    assert min(apart(*pair, SEEN_BY[reader]) for pair in combinations(PALETTE, 2)) > 12
    assert apart(RIGHT, WRONG, SEEN_BY[reader]) > 50
