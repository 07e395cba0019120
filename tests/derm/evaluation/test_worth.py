"""The curves of a part, against the measures on it; that the pictures are there."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from derm.evaluation.worth import SHARES, THRESHOLDS, decision_curve, deferral_curve, write_worth
from derm.measures.bootstrap import group_weights

CLASSES = ["mel", "nv"]


def predictions(rows: int = 500) -> tuple[pd.DataFrame, np.ndarray]:
    """Honest probabilities of a rare class, and the weights of a bootstrap."""
    generator = np.random.default_rng(0)
    told = generator.beta(0.6, 3, rows)
    target = (generator.random(rows) >= told).astype(int)
    table = pd.DataFrame({"p_mel": told, "p_nv": 1 - told, "target": target, "decision": (told < 0.5).astype(int)})
    table["flag"] = (told >= 0.1).astype(int)
    return table, group_weights(np.arange(rows), target, 300, 1)


def test_the_curve_is_where_its_interval_is() -> None:
    table, weights = predictions()
    curve = decision_curve(table, CLASSES, "mel", weights)
    assert list(curve["threshold"]) == list(THRESHOLDS)
    for value, low, high in (("net_benefit", "low", "high"), ("everybody", "everybody_low", "everybody_high")):
        assert (curve[low] <= curve[value] + 1e-12).all() and (curve[value] <= curve[high] + 1e-12).all()
    at = curve[curve["threshold"] == 0.1].iloc[0]
    flagged, hit = table["p_mel"] >= 0.1, table["target"] == 0
    assert at["net_benefit"] == pytest.approx(((flagged & hit).sum() - (flagged & ~hit).sum() / 9) / 500)
    # Strata are drawn by class: the share of melanomas, and with it everybody's benefit, is the same in each draw.
    np.testing.assert_allclose(curve["everybody_low"], curve["everybody_high"])


def test_what_is_left_after_deferral() -> None:
    table, weights = predictions()
    curve = deferral_curve(table, CLASSES, "mel", weights)
    assert list(curve["share"]) == list(SHARES)
    wrong = (table["decision"] != table["target"]).mean()
    assert curve["risk"][0] == pytest.approx(wrong)
    assert curve["missed"][0] == ((table["target"] == 0) & (table["flag"] == 0)).sum()
    assert curve["risk"].iloc[10] < wrong / 2  # the doubtful half is most of what is wrong
    assert (curve["low"] <= curve["risk"]).all() and (curve["risk"] <= curve["high"]).all()
    assert (np.diff(curve["missed"]) <= 0).all()


@pytest.mark.parametrize("positive", ["mel", None])
def test_files_are_there_with_and_without_a_positive_class(positive: str | None, tmp_path: Path) -> None:
    table, weights = predictions(80)
    if positive is None:
        table["flag"] = ""
    write_worth(table, CLASSES, positive, weights, tmp_path, "test")
    found = {path.name for path in tmp_path.iterdir()}
    expected = {"decision_curve_test.csv", "deferral_test.csv", "deferral_test.png"}
    assert found == expected | ({"decision_curve_test.png"} if positive else set())
    assert (pd.read_csv(tmp_path / "decision_curve_test.csv").empty) == (positive is None)
