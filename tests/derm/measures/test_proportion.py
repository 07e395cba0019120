"""Wilson's interval against scipy's, and lesions that count by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from derm.measures.proportion import proportion_by_lesion, too_few, wilson_interval, with_wilson


@pytest.mark.parametrize(("hits", "count"), [(0, 1), (1, 1), (0, 7), (3, 7), (7, 7), (12, 15), (19, 20), (450, 500)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_as_scipy_where_hits_are_whole(hits: int, count: int, level: float) -> None:
    expected = binomtest(hits, count).proportion_ci(level, method="wilson")
    assert wilson_interval(hits / count, count, level) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_a_fraction_lies_between_its_neighbours() -> None:
    low, high = wilson_interval(3.5 / 9, 9)
    below, above = wilson_interval(3 / 9, 9), wilson_interval(4 / 9, 9)
    assert below[0] < low < above[0] and below[1] < high < above[1]


def test_by_hand() -> None:
    """A half of n: the middle is a half, and the half-width z / (2 sqrt(n + z^2)); z = 1.959964."""
    half = 1.959963984540054 / (2 * np.sqrt(10 + 1.959963984540054**2))
    assert wilson_interval(0.5, 10) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-12)


def test_the_share_is_of_images_and_the_interval_of_lesions() -> None:
    hit = np.array([True, True, True, False, True, False])
    found = proportion_by_lesion(hit, np.array(["a", "a", "a", "b", "c", "c"]))
    assert found == pytest.approx((4 / 6, *wilson_interval(4 / 6, 3), 3))


def test_when_a_bootstrap_has_too_few() -> None:
    """Below 20 lesions always; of 100, where fewer than 10 are hit or missed."""
    assert too_few(0.5, 19) and not too_few(0.5, 20)
    assert [too_few(share, 100) for share in (0.09, 0.11, 0.89, 0.91)] == [True, False, False, True]


def test_photographs_again_do_not_make_it_narrower() -> None:
    hit = np.array([True, True, False, True])
    assert proportion_by_lesion(hit, np.arange(4)) == proportion_by_lesion(hit.repeat(5), np.arange(4).repeat(5))


def test_all_or_none_has_an_interval_and_nothing_has_none() -> None:
    found = proportion_by_lesion(np.ones(8, dtype=bool), np.arange(8))
    assert found.value == found.high == 1 and 0.6 < found.low < 0.7
    assert np.isnan(proportion_by_lesion(np.array([], dtype=bool), np.array([]))[:3]).all()


def test_only_shares_among_too_few_lesions_get_wilsons_interval() -> None:
    """Of 100 lesions 30 are positive; half of all are hit, and of the positive ones 28."""
    hit, positive, lesions = np.arange(100) % 2 == 0, np.arange(100) < 30, np.arange(100)
    caught = positive & (lesions >= 2)
    shares = {"many": (hit, np.ones(100, dtype=bool)), "few": (caught, positive), "nobody": (hit, lesions < 0)}
    numbers = pd.DataFrame({"metric": ["many", "few", "nobody", "auc"], "value": 0.5, "low": 0.4, "high": 0.6})
    told = with_wilson(numbers, shares, lesions).set_index("metric")
    expected = binomtest(28, 30).proportion_ci(method="wilson")
    assert tuple(told.loc["few", ["low", "high"]]) == pytest.approx((expected.low, expected.high))
    for name in ("many", "nobody", "auc"):
        assert tuple(told.loc[name, ["low", "high"]]) == (0.4, 0.6)
    assert (numbers["low"] == 0.4).all()
