"""What the page says of the flag: what its threshold rests on, and how many go to biopsy for each that is positive."""

from pathlib import Path

import pandas as pd
import pytest

from derm.files import write_csv
from derm.measures.proportion import wilson_interval
from derm.report.decisions import _biopsies, _rests_on


def test_the_threshold_tells_its_binomial_interval() -> None:
    low, high = wilson_interval(0.95, 40)
    told = _rests_on({"flag_sensitivity": {"value": 0.95, "low": low, "high": high, "lesions": 40}})
    assert "keeps 95.0% of the calibration part's positive images" in told and "rests on 40 lesions" in told
    assert "may be 83.5% to 98.6%" in told
    assert _rests_on({}) == ""


@pytest.mark.parametrize(("low", "most"), [(0.2, "5.0"), (0.0, "any number")])
def test_the_number_needed_to_biopsy_has_the_interval_of_one_over_the_precision(
    low: float, most: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    row = {"part": "test", "metric": "flag.precision", "value": 0.25, "low": low, "high": 0.5}
    write_csv(Path("plots/evaluate/intervals.csv"), pd.DataFrame([row, row | {"part": "val", "value": 0.9}]))
    told = _biopsies({"flag": {"precision": 0.25}})
    assert told == f"On test it sends 4.0 [2.0, {most}] images to biopsy for each that is positive."
    assert _biopsies({}) == "" == _biopsies({"flag": {"precision": 0.0}})
