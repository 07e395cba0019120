"""The drop from home, on numbers with a known spread."""

import numpy as np
import pytest

from derm.evaluation.external import dropped


def test_the_drop_has_the_spread_of_both_sides() -> None:
    generator = np.random.default_rng(0)
    home = {"auc": (0.9, 0.9 + 0.03 * generator.normal(size=20_000)), "nll": (0.4, np.full(20_000, 0.4))}
    here = {
        "auc": (0.7, 0.7 + 0.04 * generator.normal(size=20_000)),
        "nll": (0.6, np.full(20_000, 0.6)),
        "ece": (np.nan, np.full(20_000, np.nan)),
    }
    table = dropped(here, home | {"ece": (0.1, np.full(20_000, 0.1))}).set_index("metric").to_dict("index")
    assert list(table) == ["auc", "nll"]
    row = table["auc"]
    assert (row["value"], row["home"], row["drop"]) == pytest.approx((0.7, 0.9, 0.2))
    assert row["drop"] - row["drop_low"] == pytest.approx(1.96 * 0.05, rel=0.05)  # 3, 4, 5
    assert row["drop_high"] - row["drop"] == pytest.approx(1.96 * 0.05, rel=0.05)
    assert row["high"] - row["value"] == pytest.approx(1.96 * 0.04, rel=0.05)
    assert table["nll"]["drop"] == pytest.approx(-0.2)
