"""What is removed is what was asked for and leaves nothing of itself; the right maps score as worked out by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from derm.encoders.encoder import Encoder
from derm.explanation import faithfulness
from derm.explanation.faithfulness import LARGEST, blanked, insertion_deletion, ranked, road, seen_of, without
from derm.explanation.model import Explained
from tests.derm.explanation.readable import WHOLE, Mean, head_with, painted, readable

CPU = torch.device("cpu")
SQUARE = (16, 16, 48, 48)  # a sixth of 96 by 64
CROPPED = replace(WHOLE, size=(64, 64), scaled=(64, 64), resize="crop")


def red_or_blue(weight: float) -> Explained:
    """Probability of class 0 is the logistic function of twice the weight times (mean red - mean blue)."""
    return Explained([readable()], head_with([[weight, -weight], [-weight, weight]]))


@pytest.fixture(autouse=True)
def cells_of_two_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what is worked out by hand on pictures of 96 by 64 has no part of a cell."""
    monkeypatch.setattr(faithfulness, "GRID", 48)


def logistic(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))


def over(box: tuple[int, int, int, int], width: int = 96, height: int = 64) -> np.ndarray:
    """A map that is 1 in the box and 0 elsewhere."""
    heat = np.zeros((height, width), dtype=np.float32)
    heat[box[1] : box[3], box[0] : box[2]] = 1
    return heat


def rough(seed: int) -> np.ndarray:
    """A map that knows nothing: random cells, as wide as a network's, laid over the photograph."""
    cells = np.random.default_rng(seed).random((6, 9)).astype(np.float32)
    return np.asarray(Image.fromarray(cells).resize((96, 64), Image.Resampling.BILINEAR))


def noisy(width: int = 96, height: int = 64, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def watched(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """What is removed from now on."""
    removed: list[np.ndarray] = []

    def watch(seen: Any, pixels: np.ndarray, noise: Any = 0.0) -> Image.Image:
        removed.append(pixels)
        return without(seen, pixels, noise)

    monkeypatch.setattr(faithfulness, "without", watch)
    return removed


@pytest.mark.parametrize("recipe", [WHOLE, CROPPED])
@pytest.mark.parametrize("heat", [rough(0), over(SQUARE), np.zeros((64, 96), np.float32)])
def test_exactly_the_wanted_share_of_what_is_seen_is_removed(
    monkeypatch: pytest.MonkeyPatch, recipe: Any, heat: np.ndarray
) -> None:
    removed = watched(monkeypatch)
    explained = Explained([readable(recipe)], head_with([[1.0, -1.0], [-1.0, 1.0]]))
    road(explained, [noisy()], [heat], [0], CPU, shares=(0.2, 0.33, 0.8))
    pixels = 64 * (96 if recipe is WHOLE else 64)
    counts = [round(share * pixels) for share in (0.2, 0.33, 0.8)]
    assert [part.sum() for part in removed] == counts * 2
    # Least relevant first and most relevant first, together all of it.
    assert (removed[0] ^ removed[5]).all() and (removed[2] ^ removed[3]).all()


def test_the_most_relevant_is_what_the_map_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    removed = watched(monkeypatch)
    road(red_or_blue(1), [noisy()], [over(SQUARE)], [0], CPU, shares=(1 / 6,))
    least, most = removed
    np.testing.assert_array_equal(most, over(SQUARE) == 1)
    assert not (least & most).any()


def test_a_map_of_another_size_lies_over_the_whole_photograph() -> None:
    """The encoder sees the middle square of a photograph of 192 by 128; the map, half as large, has its right half."""
    seen = seen_of(Explained([readable(CROPPED)], head_with([[1.0, -1.0]])), noisy(192, 128))
    assert seen.box == (32, 0, 160, 128)
    order = ranked(seen, over((48, 0, 96, 64)), np.random.default_rng(0))
    first = np.zeros(128 * 128, dtype=bool)
    first[order[: 64 * 128]] = True
    assert first.reshape(128, 128)[:, 64:].all()


def test_equals_come_in_a_random_order_that_the_seed_decides() -> None:
    seen = seen_of(red_or_blue(1), noisy())
    nothing = np.zeros((64, 96), np.float32)
    orders = [ranked(seen, nothing, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert (orders[0] != orders[2]).mean() > 0.9
    for order in orders:
        assert sorted(order) == list(range(96 * 64))
        first = order[: len(order) // 5]
        assert (first // 96).mean() == pytest.approx(31.5, abs=4)  # by position it would be 6
        assert (first % 96).mean() == pytest.approx(47.5, abs=5)


@pytest.mark.parametrize("size", [(96, 64), (200, 150), (60, 450), (33, 47), (7, 5)])
def test_cells_are_of_equal_size_and_cover_what_is_seen(size: tuple[int, int]) -> None:
    seen = seen_of(red_or_blue(1), noisy(*size))
    assert seen.cells.shape == size[::-1] and max(seen.grid) == min(48, *[max(size)])
    heights = np.unique(seen.cells // seen.grid[1], return_counts=True)[1]
    assert len(np.unique(seen.cells)) == seen.grid[0] * seen.grid[1]
    assert np.ptp(heights / size[0]) <= 1


def test_what_is_removed_leaves_nothing_of_itself_and_the_rest_is_untouched() -> None:
    removed = rough(2) > 0.5
    one, pixels = noisy(), np.array(noisy())
    pixels[removed] = np.array(noisy(seed=1))[removed]
    filled = np.array(without(seen_of(red_or_blue(1), one), removed))
    again = np.array(without(seen_of(red_or_blue(1), Image.fromarray(pixels)), removed))
    np.testing.assert_array_equal(filled, again)
    np.testing.assert_array_equal(filled[~removed], np.array(one)[~removed])
    assert (filled != np.array(one))[removed].mean() > 0.9


def test_a_slope_goes_on_through_what_is_removed() -> None:
    """In a slope every pixel is the mean of its neighbours: it is the solution of the equations."""
    slope = np.zeros((64, 96, 3), dtype=np.uint8)
    slope[..., 0] = 40 + 2 * np.arange(96)
    slope[..., 1] = 200 - 2 * np.arange(64)[:, None]
    filled = np.array(without(seen_of(red_or_blue(1), Image.fromarray(slope)), over(SQUARE) == 1))
    np.testing.assert_allclose(filled.astype(float), slope.astype(float), atol=2)


def test_nothing_to_remove_and_nothing_left() -> None:
    seen = seen_of(red_or_blue(1), noisy())
    np.testing.assert_array_equal(np.array(without(seen, np.zeros((64, 96), bool))), np.array(noisy()))
    with pytest.raises(ValueError, match="nothing is left"):
        without(seen, np.ones((64, 96), bool))
    with pytest.raises(ValueError, match="shares"):
        road(red_or_blue(1), [noisy()], [rough(0)], [0], CPU, shares=(0.5, 1.0))


def test_only_what_is_seen_is_changed() -> None:
    both = Explained([readable(CROPPED), readable()], head_with([[1.0] * 4]))
    cropped = Explained([readable(CROPPED)], head_with([[1.0] * 2]))
    assert seen_of(both, noisy()).box == (0, 0, 96, 64)
    seen = seen_of(cropped, noisy())
    assert seen.box == (16, 0, 80, 64)
    changed = np.array(without(seen, rough(0)[:, 16:80] > 0.5)) != np.array(noisy())
    assert changed[:, 16:80].any() and not changed[:, :16].any() and not changed[:, 80:].any()


def test_large_photographs_are_made_smaller_and_stay_as_they_were() -> None:
    large = noisy(2 * LARGEST, LARGEST)
    assert seen_of(red_or_blue(1), large).photograph.size == (LARGEST, LARGEST // 2)
    assert large.size == (2 * LARGEST, LARGEST)


def test_road_of_the_right_map_and_of_its_opposite_as_worked_out_by_hand() -> None:
    """What the map shows, red with a black margin, is a sixth of the area: removed most relevant first, it is gone at
    every share, and p is 0.5; least relevant first, it is whole up to 0.8, and the margin keeps red from running out.
    Of the opposite map it is the other way round."""
    image = painted(red=(20, 20, 44, 44), blue=(0, 0, 0, 0))
    p = logistic(2 * 12 * (24 * 24) / (96 * 64))
    right, opposite = road(red_or_blue(12), [image] * 2, [over(SQUARE), 1 - over(SQUARE)], [0, 0], CPU)
    assert right == pytest.approx((p - 0.5) / 2, abs=0.005)
    assert opposite == pytest.approx(-right, abs=0.005)
    # Of the class that it speaks against, p rises as it is removed.
    assert road(red_or_blue(12), [image], [over(SQUARE)], [1], CPU)[0] == pytest.approx(-right, abs=1e-6)
    guesses = road(red_or_blue(12), [image] * 20, [rough(seed) for seed in range(20)], [0] * 20, CPU)
    assert abs(guesses.mean()) < 0.05 and guesses.max() < right and guesses.min() > opposite


def test_road_is_that_of_seed_and_image_wherever_it_stands() -> None:
    images = [noisy(seed=seed) for seed in range(3)]
    nothing = [np.zeros((64, 96), np.float32)] * 3
    together = road(red_or_blue(6), images, nothing, [0] * 3, CPU)
    np.testing.assert_array_equal(road(red_or_blue(6), images[::-1], nothing, [0] * 3, CPU)[::-1], together)
    assert (road(red_or_blue(6), images, nothing, [0] * 3, CPU, seed=1) != together).all()


def test_noise_is_added_to_what_is_filled_alone() -> None:
    """On an even ground, what is filled would else be even."""
    seen = seen_of(red_or_blue(1), Image.new("RGB", (96, 64), (128, 128, 128)))
    noise = np.random.default_rng(0).normal(0, 3, (64, 96, 3))
    filled = np.array(without(seen, over(SQUARE) == 1, noise)).astype(float)
    np.testing.assert_allclose(filled, 128 + np.where(over(SQUARE)[..., None] == 1, noise, 0), atol=0.5)


def test_road_asks_about_each_image_with_what_is_known_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def watch(_explained: Any, pictures: Any, _device: Any, known: pd.DataFrame) -> torch.Tensor:
        asked.append((len(pictures), known["age"].tolist()))
        return torch.full((len(pictures), 2), 0.5)

    monkeypatch.setattr(faithfulness, "probabilities", watch)
    known = pd.DataFrame({"age": ["40", "70"]}, index=["b", "a"])
    scores = road(red_or_blue(1), [noisy(), noisy(seed=1)], [rough(0)] * 2, [0, 1], CPU, known)
    assert asked == [(8, ["40"] * 8), (8, ["70"] * 8)]
    assert scores.tolist() == [0, 0] and scores.dtype == np.float64


class Bright(nn.Module):
    """How much red lies above 0.6: of fine stripes all, and nothing once they are blurred."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images[:, [0, 2]] - 0.6).clamp_min(0)


def test_insertion_and_deletion_as_worked_out_by_hand() -> None:
    """Stripes in the square, a sixth of the area, of which a share s inserted shows min(1, 6 s), and the steps are
    eighths: whole from 0.25 on."""
    bright = Bright()
    encoder = Encoder(bright, Mean(), WHOLE, {}, bright, lambda maps: maps, WHOLE.covered, {})
    mean = 0.4 / 2 / 6
    weight = 2 / mean / 2
    explained = Explained([encoder], head_with([[weight, 0.0], [-weight, 0.0]]))
    pixels = np.zeros((64, 96, 3), dtype=np.uint8)
    pixels[16:48, 16:48:2, 0] = 255
    image = Image.fromarray(pixels)
    p = [logistic(2 * shown) for shown in (0, 0.75, 1)]
    right, opposite = (
        insertion_deletion(explained, [image], [heat], [0], CPU) for heat in (over(SQUARE), 1 - over(SQUARE))
    )
    assert right[0][0] == pytest.approx((p[0] / 2 + p[1] + 6.5 * p[2]) / 8, abs=0.001)
    p_left = logistic(2 * 0.25)
    assert right[1][0] == pytest.approx((p[2] / 2 + p_left + 6.5 * p[0]) / 8, abs=0.001)
    # The opposite map shows the square last: its insertion is what was left when the right one deleted, backwards.
    assert opposite[0][0] == pytest.approx(right[1][0], abs=0.002)
    assert opposite[1][0] == pytest.approx(right[0][0], abs=0.002)
    guesses = insertion_deletion(explained, [image] * 10, [rough(seed) for seed in range(10)], [0] * 10, CPU)
    assert guesses[0].max() < right[0][0] and guesses[1].min() > right[1][0]


def test_blanking_the_lesion_and_all_but_the_lesion_as_worked_out_by_hand() -> None:
    """A red square on blue: without it all is blue, and without the blue all is red. Whole and empty masks have no
    answer, and take nothing from the others."""
    image = Image.new("RGB", (96, 64), (0, 0, 255))
    image.paste((255, 0, 0), SQUARE)
    mask = Image.fromarray((over(SQUARE) * 255).astype(np.uint8))
    whole, empty = Image.new("L", (96, 64), 255), Image.new("1", (96, 64), 0)
    lesion, background = blanked(red_or_blue(1), [image] * 4, [whole, mask, empty, mask.convert("1")], [0] * 4, CPU)
    p = logistic(2 * (1 / 6 - 5 / 6))
    assert np.isnan(lesion[[0, 2]]).all() and np.isnan(background[[0, 2]]).all()
    np.testing.assert_allclose(lesion[[1, 3]], logistic(-2) - p, atol=1e-6)
    np.testing.assert_allclose(background[[1, 3]], logistic(2) - p, atol=1e-6)


def test_a_mask_lies_over_what_is_seen_of_the_photograph() -> None:
    """The encoder is not shown the left red part: a mask of it alone is, to the encoder, empty."""
    explained = Explained([readable(CROPPED)], head_with([[1.0, -1.0], [-1.0, 1.0]]))
    image = painted(red=(0, 0, 16, 64), blue=(40, 16, 56, 32))
    masks = [Image.fromarray((over(box) * 255).astype(np.uint8)) for box in ((0, 0, 16, 64), (40, 16, 56, 32))]
    lesion, background = blanked(explained, [image] * 2, masks, [1, 1], CPU)
    assert np.isnan(lesion[0])
    p = logistic(2 / 16)
    assert lesion[1] == pytest.approx(0.5 - p, abs=1e-6)  # black closes over it
    assert background[1] == pytest.approx(logistic(2) - p, abs=1e-6)  # and blue runs out to the edges
