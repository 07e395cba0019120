"""The tables of subgroups, lesions, errors and external sets, from files of a known content."""

from pathlib import Path

import pandas as pd
import pytest

from derm.report.whom import by_lesion_table, external_tables, subgroups_table, worst_table

NUMBERS = {"value": 0.5, "low": 0.25, "high": 0.75}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "plots/evaluate"
    made.mkdir(parents=True)
    return made


def test_a_row_for_each_slice_and_a_gap_where_there_is_no_number(folder: Path) -> None:
    facts = {"by": "sex", "images": 10, "lesions": 8, "positives": 0} | NUMBERS
    rows = [
        facts | {"name": "male", "metric": "decision.accuracy"},
        facts | {"name": "male", "metric": "auc"},
        facts | {"name": "female", "metric": "decision.accuracy"},
    ]
    pd.DataFrame(rows).to_csv(folder / "subgroups_test.csv", index=False)
    table = subgroups_table()
    assert list(table["name"]) == ["male", "female"]
    assert list(table["AUC"]) == ["0.500 [0.250, 0.750]", ""]
    assert list(table["positive lesions"]) == [0, 0]


def test_lesions_stand_beside_images_of_the_test_part(folder: Path) -> None:
    given = [("head", "test"), ("by_lesion", "test"), ("head", "val"), ("image_only", "test")]
    rows = [{"head": head, "part": part, "metric": "ece"} | NUMBERS for head, part in given]
    pd.DataFrame(rows).to_csv(folder / "heads.csv", index=False)
    table = by_lesion_table()
    assert table.to_dict("list") == {
        "metric": ["ece"],
        "by image": ["0.500 [0.250, 0.750]"],
        "by lesion": ["0.500 [0.250, 0.750]"],
    }


def test_the_worst_errors_name_both_classes(folder: Path) -> None:
    row = {"image_id": "a", "lesion_id": "l", "true": "mel", "p_true": 0.01, "decision": "nv", "p_decision": 0.9}
    row |= dict.fromkeys(("flag", "set", "age", "sex", "body_site", "confirmation"), "")
    pd.DataFrame([row] * 12).to_csv(folder / "worst_test.csv", index=False)
    table = worst_table()
    assert len(table) == 10
    assert (table["true"][0], table["decided"][0]) == ("mel 0.010", "nv 0.900")


def test_every_external_set_has_its_table(folder: Path) -> None:
    lost = {"home": 0.8, "drop": 0.3, "drop_low": 0.1, "drop_high": 0.5}
    rows = [{"set": name, "images": 20, "lesions": 12, "metric": "ece"} | NUMBERS | lost for name in ("one", "two")]
    pd.DataFrame(rows).to_csv(folder / "external.csv", index=False)
    (title, table), (other, _) = external_tables()
    assert (title, other) == ("one: 20 images of 12 groups", "two: 20 images of 12 groups")
    assert list(table["home less here"]) == ["+0.300 [+0.100, +0.500]"]
    pd.DataFrame(columns=list(rows[0])).to_csv(folder / "external.csv", index=False)
    assert external_tables() == []
