"""Augmentation: what each level may change, and that a seed decides all of it."""

import numpy as np
import pytest
import torch
from PIL import Image

from derm.adaptation.augmentation import LEVELS, Augmentation

MOVED = ["mild", "medium", "strong"]


def photograph(width: int = 60, height: int = 40) -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(90, 180, (height, width, 3)).astype(np.uint8))


def test_none_is_the_photograph_itself() -> None:
    image = photograph()
    assert Augmentation("none", 32)(image, 1) is image


def test_flips_are_the_eight_symmetries_and_nothing_else() -> None:
    image = photograph(40, 40)
    pixels = np.asarray(image)
    symmetries = {np.rot90(form, turns).tobytes() for form in (pixels, pixels[:, ::-1]) for turns in range(4)}
    drawn = {np.asarray(Augmentation("flips", 32)(image, seed)).tobytes() for seed in range(80)}
    assert drawn == symmetries


@pytest.mark.parametrize("level", list(LEVELS))
def test_a_seed_decides_what_is_drawn_and_nothing_else_does(level: str) -> None:
    augmentation, image = Augmentation(level, 32), photograph()  # type: ignore[arg-type]
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = np.asarray(augmentation(image, 11))
    assert torch.equal(torch.rand(3), expected)  # the global generator is left alone
    torch.manual_seed(99)
    np.testing.assert_array_equal(np.asarray(augmentation(image, 11)), first)
    if level != "none":
        assert len({np.asarray(augmentation(image, seed)).tobytes() for seed in range(12)}) > 3


@pytest.mark.parametrize("level", MOVED)
@pytest.mark.parametrize("size", [(60, 40), (40, 60), (50, 50)])
def test_no_corner_is_empty(level: str, size: tuple[int, int]) -> None:
    """What comes into sight at an edge is mirrored from the photograph: on an even grey one nothing is darker."""
    grey = Image.new("RGB", size, (150, 150, 150))
    augmentation = Augmentation(level, 64)  # type: ignore[arg-type]
    for seed in range(40):
        drawn = np.asarray(augmentation(grey, seed)).astype(int)
        # brightness may fall by 30 %, noise takes a little more, a cut-out is half grey
        assert drawn.min() > 60, seed
        assert sorted(drawn.shape[:2]) == sorted(size)


@pytest.mark.parametrize(("level", "share"), [("mild", 0.1), ("medium", 0.2), ("strong", 0.3)])
def test_colours_change_as_much_as_the_level_says(level: str, share: float) -> None:
    augmentation = Augmentation(level, 64)  # type: ignore[arg-type]
    grey = Image.new("RGB", (40, 40), (120, 120, 120))
    medians = [float(np.median(np.asarray(augmentation(grey, seed)))) / 120 for seed in range(60)]
    assert 1 - share - 0.02 <= min(medians) < 1 - share / 2
    assert 1 + share / 2 < max(medians) <= 1 + share + 0.02


def test_a_large_photograph_is_made_smaller_before_it_is_turned() -> None:
    assert Augmentation("mild", 32)(photograph(400, 300), 1).size in ((64, 48), (48, 64))
    assert sorted(Augmentation("flips", 32)(photograph(400, 300), 1).size) == [300, 400]
