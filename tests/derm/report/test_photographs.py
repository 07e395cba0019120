"""The part on photographs, from files of a known content."""

import json
from pathlib import Path

import pandas as pd
import pytest

from derm.report.photographs import photographs_part


def test_notes_and_distances_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("metrics", "plots/evaluate"):
        Path(folder).mkdir(parents=True)
    numbers = {"value": 0.05, "low": 0.04, "high": 0.06}
    rows = [{"part": "val", "metric": "ood.outside", "value": 0.5, "low": 0.4, "high": 0.6}]
    rows.append({"part": "test", "metric": "ood.outside"} | numbers)
    pd.DataFrame(rows).to_csv("plots/evaluate/intervals.csv", index=False)
    told = {"error": 0.5, "error_others": 0.25, "difference": 0.25, "low": 0.1, "high": 0.4, "shown": True}
    notes = {
        "blurred": {"measure": "sharpness", "threshold": 12.5, "images": 40} | told,
        "no lesion": {"measure": "lesion_contrast", "threshold": 3.0, "images": 0, "error_others": 0.3, "shown": False},
    }
    Path("metrics/calibrate.json").write_text(json.dumps({"quality": notes}))
    part = photographs_part()
    assert "5.0% [4.0%, 6.0%] of the test images" in part.text
    assert "Told with a prediction: blurred." in part.text
    (_, table) = part.tables[0]
    assert list(table["difference"]) == ["+0.250 [+0.100, +0.400]", ""]
    assert list(table["told"]) == ["yes", "no"] and list(table["wrong"]) == ["0.500", ""]
    notes["blurred"]["shown"] = False
    Path("metrics/calibrate.json").write_text(json.dumps({"quality": notes}))
    assert "No note is told with a prediction." in photographs_part().text
