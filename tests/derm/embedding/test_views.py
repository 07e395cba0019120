"""Each view against the same transformation of the pixels in numpy."""

import numpy as np
import pytest
from PIL import Image

from derm.embedding.views import VIEWS, apply_view, view_names

# Rows, columns and channels that are all different, so that no two views are equal by chance.
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 61, 3), dtype=np.uint8)
TURNED = {
    "identity": PIXELS,
    "flip_horizontal": PIXELS[:, ::-1],
    "flip_vertical": PIXELS[::-1],
    "rotate_180": np.rot90(PIXELS, 2),
    "rotate_90": np.rot90(PIXELS),
    "rotate_270": np.rot90(PIXELS, 3),
    "transpose": PIXELS.swapaxes(0, 1),
    "transverse": np.rot90(PIXELS.swapaxes(0, 1), 2),
}


def test_there_are_sixteen_and_the_first_is_the_photograph() -> None:
    assert len(VIEWS) == len(set(VIEWS)) == 16
    assert view_names(1) == ("identity",)
    assert set(view_names(8)) == set(TURNED)
    assert view_names(10)[8:] == ("crop_95", "crop_90")


@pytest.mark.parametrize("view", TURNED)
def test_symmetries(view: str) -> None:
    np.testing.assert_array_equal(np.asarray(apply_view(Image.fromarray(PIXELS), view)), TURNED[view])


@pytest.mark.parametrize(("view", "rows", "columns"), [("crop_95", 38, 58), ("crop_90", 36, 55), ("crop_60", 24, 37)])
def test_crops_are_centred(view: str, rows: int, columns: int) -> None:
    top, left = (40 - rows) // 2, (61 - columns) // 2
    expected = PIXELS[top : top + rows, left : left + columns]
    np.testing.assert_array_equal(np.asarray(apply_view(Image.fromarray(PIXELS), view)), expected)


def test_a_crop_keeps_a_pixel() -> None:
    assert apply_view(Image.new("RGB", (1, 1)), "crop_60").size == (1, 1)
