"""Measures of a map against a mask by hand, references that know nothing of the lesion, means with paired intervals."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from derm.explanation.localisation import (
    LEAST_MEAN,
    MEASURES,
    centred_gaussian,
    edges,
    lead,
    localisation,
    summary,
    usable,
)
from derm.measures.bootstrap import group_weights

WHOLE = (0, 0, 4, 4)


def mask_of(rows: list[str]) -> np.ndarray:
    return np.array([[cell == "x" for cell in row] for row in rows])


CORNER = mask_of(["xx..", "xx..", "....", "...."])


def test_by_hand() -> None:
    """4 of 16 cells are lesion. The map: 3 in the lesion, .5 in each of two cells beside it, so energy 3 of 4."""
    heat = np.zeros((4, 4))
    heat[0, 0], heat[1, 1] = 1.0, 1.0
    heat[0, 1] = 1.0
    heat[3, 3] = heat[3, 0] = 0.5
    found = localisation(heat, CORNER, WHOLE)
    assert found["area"] == 0.25 and found["energy"] == 0.75 and found["enrichment"] == 3.0
    assert found["pointing"] == 1.0
    assert found["ratio"] == pytest.approx((3 / 4) / (1 / 12))


def test_of_several_highest_places_the_share_inside_counts() -> None:
    heat = np.zeros((4, 4))
    heat[0, 0] = heat[0, 3] = heat[3, 0] = heat[3, 3] = 1.0
    assert localisation(heat, CORNER, WHOLE)["pointing"] == 0.25


@pytest.mark.parametrize("value", [1e-6, 0.5, 1.0])
def test_a_map_that_is_the_same_everywhere_tells_nothing(value: float) -> None:
    found = localisation(np.full((4, 4), value), CORNER, WHOLE)
    told = [found[name] for name in ("energy", "enrichment", "ratio")]
    assert told == pytest.approx([0.25, 1, 1])
    assert found["pointing"] == pytest.approx(0.25)


def test_a_map_on_one_side_alone_has_a_ratio_with_a_bound() -> None:
    assert localisation(CORNER.astype(float), CORNER, WHOLE)["ratio"] == pytest.approx(1 / LEAST_MEAN)
    assert localisation((~CORNER).astype(float), CORNER, WHOLE)["ratio"] == pytest.approx(LEAST_MEAN)


def test_what_the_encoder_did_not_see_does_not_count() -> None:
    """The middle square of a photograph of 8x4: of its 16 pixels 4 are lesion; half of the lesion lies beside it."""
    mask = np.zeros((4, 8), dtype=bool)
    mask[:2, :4] = True
    heat = np.zeros((4, 8))
    heat[0, 2], heat[3, 5] = 1.0, 1.0
    found = localisation(heat, mask, (2, 0, 6, 4))
    assert found["area"] == 0.25 and found["energy"] == 0.5 and found["enrichment"] == 2.0


def test_mask_and_map_may_have_different_sizes() -> None:
    heat = np.zeros((4, 4))
    heat[0, 0], heat[3, 3] = 1.0, 0.5
    large = np.kron(CORNER, np.ones((10, 10), dtype=bool))
    assert localisation(heat, large, (0, 0, 40, 40)) == localisation(heat, CORNER, WHOLE)


@pytest.mark.parametrize("heat", [np.zeros((4, 4)), np.ones((4, 4))])
def test_nothing_is_told_where_all_or_nothing_is_lesion_and_an_empty_map_is_a_flat_one(heat: np.ndarray) -> None:
    for mask in (np.ones_like(CORNER), np.zeros_like(CORNER)):
        assert all(np.isnan(localisation(heat, mask, WHOLE)[name]) for name in MEASURES)
    assert localisation(heat, CORNER, WHOLE) == pytest.approx(localisation(np.full((4, 4), 0.3), CORNER, WHOLE))


def test_masks_that_are_empty_or_cover_the_frame_are_of_no_use() -> None:
    assert usable(CORNER) and not usable(np.ones((4, 4), dtype=bool)) and not usable(np.zeros((4, 4), dtype=bool))


def test_the_blob_is_in_the_middle_of_what_was_seen_and_nowhere_else() -> None:
    blob = centred_gaussian((80, 60), (20, 0, 60, 60), (80, 60))
    assert blob.shape == (60, 80) and blob.dtype == np.float32 and blob.max() == 1
    assert (blob[:, :20] == 0).all() and (blob[:, 60:] == 0).all()
    np.testing.assert_allclose(blob, blob[::-1, ::-1], atol=1e-6)
    assert blob[30, 40] > 0.99
    # a standard deviation is a quarter of the box: 10 pixels across, 15 down
    assert blob[30, 50] == pytest.approx(np.exp(-(10.5**2 / 10**2 + 0.5**2 / 15**2) / 2), rel=0.01)
    assert blob[45, 40] == pytest.approx(np.exp(-(0.5**2 / 10**2 + 15.5**2 / 15**2) / 2), rel=0.01)
    # of a photograph of another size the same
    np.testing.assert_allclose(centred_gaussian((80, 60), (200, 0, 600, 600), (800, 600)), blob, atol=1e-6)


def test_edges_are_where_the_photograph_is_steep() -> None:
    pixels = np.full((60, 80, 3), 200, dtype=np.uint8)
    pixels[:, 50:] = 60
    heat = edges(Image.fromarray(pixels), (80, 60))
    assert heat.shape == (60, 80) and heat.max() == pytest.approx(1)
    assert abs(int(heat[30].argmax()) - 50) <= 1 and heat[:, :30].max() < 0.05
    assert (edges(Image.new("RGB", (80, 60), "grey"), (80, 60)) == 0).all()


def test_the_mean_of_a_ratio_is_geometric_and_images_without_a_map_are_left_out() -> None:
    values = pd.DataFrame(
        {
            "energy": [0.2, 0.4, np.nan],
            "enrichment": [1.0, 3.0, np.nan],
            "pointing": [1, 0, np.nan],
            "ratio": [1, 4, np.nan],
        }
    )
    told = summary(values, np.array([[1.0, 1, 5], [2, 0, 1], [0, 2, 1]])).set_index("metric")
    assert told["images"].tolist() == [2, 2, 2, 2]
    assert told.loc["enrichment", "value"] == 2.0 and told.loc["ratio", "value"] == pytest.approx(2.0)
    interval = told[["low", "high"]].to_numpy(float)[list(told.index).index("ratio")]
    drawn = np.log([2, 1, 4])  # of the three resamples
    assert np.log(interval) == pytest.approx(np.percentile(drawn, [2.5, 97.5]))
    assert len(summary(values * np.nan, np.ones((2, 3)))) == 0


def test_a_lead_is_paired() -> None:
    """What both share is large and cancels: the interval of the difference is that of the difference alone."""
    generator = np.random.default_rng(0)
    shared, gain = 100 * generator.normal(size=400), 1 + 0.5 * generator.normal(size=400)
    groups = np.array([f"g{number // 2}" for number in range(400)])
    weights = group_weights(groups, np.zeros(400, dtype=int), 500, 1)
    theirs = shared.copy()
    theirs[0] = np.nan
    value, low, high, images = lead(shared + gain, theirs, weights)
    assert images == 399 and value == pytest.approx(gain[1:].mean())
    assert 0.9 < low < value < high < 1.1
    assert lead(shared * np.nan, theirs, weights)[3] == 0
