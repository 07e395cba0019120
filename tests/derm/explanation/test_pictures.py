"""Overlays colour what the map says, leave the rest alone, veil what was not seen, and outline the lesion."""

import numpy as np
import pytest
from PIL import Image

from derm.contact_sheet import HEIGHT, WIDTH
from derm.explanation.pictures import COLOURS, DARK, WHITE, colour_key, fitted, is_whole, overlay

SIZE = (120, 90)
WHOLE = (0.0, 0.0, 120.0, 90.0)
TOP = np.array(COLOURS(1.0)[:3]) * 255


def photograph(colour: tuple[int, int, int] = (150, 80, 60)) -> Image.Image:
    """Skin of one colour with a little noise."""
    noise = np.random.default_rng(0).integers(-8, 9, (90, 120, 3))
    return Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8))


def blob(peak: float = 1.0) -> np.ndarray:
    """0 in the left half, rising to the peak in the middle of the right half."""
    rows, columns = np.mgrid[:90, :120]
    return (peak * np.maximum(0, 1 - np.hypot(rows - 45, columns - 90) / 30)).astype(np.float32)


def drawn(heat: np.ndarray, **given) -> np.ndarray:
    return np.asarray(overlay(photograph(), heat, given.pop("box", WHOLE), size=SIZE, **given)).astype(int)


def test_where_the_map_is_0_the_photograph_is_left_alone_and_where_it_is_highest_it_has_the_top_colour() -> None:
    picture, plain = drawn(blob()), np.asarray(photograph()).astype(int)
    assert (picture[:, :55] == plain[:, :55]).all()
    before, after = (np.linalg.norm(one[45, 90] - TOP) for one in (plain, picture))
    assert after < before / 2


def test_the_opacity_follows_the_map() -> None:
    changed = np.abs(drawn(blob()) - np.asarray(photograph()).astype(int)).sum(axis=2)
    towards = changed[43:48, 60:91].mean(axis=0)
    assert towards[0] < 5 < towards[8] < towards[16] < towards[30]
    assert towards[3] < 0.15 * towards[30], "the colour of little is far from skin, and is to be seen only a little"


def test_a_faint_map_is_drawn_as_a_strong_one_and_one_hot_cell_does_not_hide_the_others() -> None:
    np.testing.assert_allclose(drawn(blob(0.01)), drawn(blob()), atol=1)
    hot = blob(0.2)
    hot[5:8, 5:8] = 1.0  # fewer pixels than the highest percent of what is above 0
    assert np.abs(drawn(hot) - drawn(blob(0.2)))[:, 60:].max() < 30


@pytest.mark.parametrize("heat", [blob(0.5) + 0.5, 0.9 + 0.1 * blob()])
def test_a_map_that_is_nowhere_0_is_not_one_veil(heat: np.ndarray) -> None:
    changed = np.abs(drawn(heat) - np.asarray(photograph()).astype(int)).sum(axis=2)
    assert changed[:, :55].max() < 5 < changed[45, 90]


def test_one_cold_cell_does_not_raise_the_others() -> None:
    heat = 0.9 + 0.1 * blob()
    heat[5:8, 5:8] = 0.01
    assert (drawn(heat) == drawn(0.9 + 0.1 * blob()))[:, 60:].mean() > 0.95


def test_maps_of_one_value() -> None:
    assert (drawn(np.zeros((9, 12), np.float32)) == np.asarray(photograph())).all()
    everywhere = drawn(np.full((9, 12), 0.3, np.float32))
    assert (np.linalg.norm(everywhere - TOP, axis=2) < 80).all()
    half = np.zeros((90, 120), np.float32)
    half[:, 60:] = 1.0
    assert np.linalg.norm(drawn(half)[45, 100] - TOP) < 80


def test_what_was_not_seen_is_veiled_and_its_heat_does_not_count() -> None:
    heat, box = blob(0.2), (30.0, 0.0, 120.0, 90.0)
    heat[:, :20] = 1.0
    picture, plain = drawn(heat, box=box), np.asarray(photograph()).astype(int)
    assert (picture[:, :30].min(axis=2) > plain[:, :30].min(axis=2) + 50).all()
    assert (picture[:, 30:] == drawn(blob(0.2), box=box)[:, 30:]).all()
    assert (picture[:, 30:55] == plain[:, 30:55]).all()


def test_a_box_beyond_the_photograph_is_all_of_it() -> None:
    assert (drawn(blob(), box=(-0.4, -10.0, 120.3, 100.0)) == drawn(blob())).all()


def square() -> np.ndarray:
    mask = np.zeros((90, 120), bool)
    mask[30:60, 40:80] = True
    return mask


@pytest.mark.parametrize("skin", [(245, 235, 230), (25, 15, 12)])
def test_the_outline_lies_along_the_masks_edge_alone_and_is_seen_on_every_skin(skin: tuple[int, int, int]) -> None:
    nothing, mask = np.zeros((9, 12), np.float32), square()
    picture = np.asarray(overlay(photograph(skin), nothing, WHOLE, mask, SIZE)).astype(int)
    changed = (picture != np.asarray(photograph(skin))).any(axis=2)
    near = np.zeros_like(mask)
    near[28:62, 38:82] = True
    near[33:57, 43:77] = False
    assert not changed[~near].any()
    # every way over the edge crosses a light and a dark pixel
    for crossing in (picture[45, 36:46], picture[26:36, 60], picture[45, 74:84], picture[54:64, 60]):
        assert (crossing == WHITE).all(axis=1).any() and (crossing == DARK).all(axis=1).any()


def test_a_mask_may_be_an_image_and_a_lesion_over_the_frame_has_no_edge_there() -> None:
    nothing = np.zeros((9, 12), np.float32)
    as_image = Image.fromarray(square().astype(np.uint8) * 255)
    assert (drawn(nothing, mask=as_image) == drawn(nothing, mask=square())).all()
    assert (drawn(nothing, mask=square()) != np.asarray(photograph())).any()
    for mask in (np.ones((90, 120), bool), np.zeros((90, 120), bool)):
        assert (drawn(nothing, mask=mask) == np.asarray(photograph())).all()


def test_a_large_photograph_is_made_smaller_with_its_map_box_and_mask() -> None:
    large = photograph().resize((1200, 900))
    mask = np.kron(square(), np.ones((10, 10), bool))
    box = (300.0, 0.0, 1200.0, 900.0)
    picture = np.asarray(overlay(large, blob(), box, mask, SIZE)).astype(int)
    expected = np.asarray(overlay(large.resize(SIZE), blob(), (30.0, 0.0, 120.0, 90.0), square(), SIZE)).astype(int)
    assert picture.shape == expected.shape
    assert (np.abs(picture - expected).max(axis=2) > 30).mean() < 0.01
    assert overlay(large, blob(), box).size == (WIDTH, HEIGHT) == fitted(large).size
    assert fitted(photograph().rotate(90, expand=True)).size == (round(HEIGHT * 0.75), HEIGHT)


def test_all_of_a_photograph_was_seen_or_not() -> None:
    assert is_whole((0.0, 0.0, 119.9999, 90.0), photograph())
    assert not is_whole((0.0, 15.0, 120.0, 90.0), photograph())


def test_the_key_runs_from_white_to_the_top_colour() -> None:
    key = np.asarray(colour_key(60, 8)).astype(int)
    assert key.shape == (8, 60, 3)
    assert (key[:, 0] == 255).all() and np.linalg.norm(key[0, -1] - TOP) < 0.5 * np.linalg.norm(255 - TOP)
    assert (np.diff(np.linalg.norm(255 - key[0], axis=1)) >= 0).mean() > 0.9
