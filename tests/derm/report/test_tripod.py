"""The checklist: every item once, answers with the artefacts' numbers, blanks where there are none."""

import re
import shutil

import pytest

from derm.report.artefacts import Artefacts
from derm.report.tripod import ALL, BLANK, ITEMS, LEFT, SAYS, checklist, count_words, tripod_part
from tests.derm.report.conftest import Folder

# The checklist's numbering (BMJ 2024;385:e078378): 27 items, those with letters have so many.
LETTERS = {3: 3, 5: 2, 6: 3, 8: 3, 9: 3, 12: 7, 18: 6, 20: 3, 23: 2, 27: 3}
# Only people can answer these.
PEOPLE = [
    "1",
    "2",
    "3a",
    "3c",
    "5b",
    "6a",
    "6c",
    "8b",
    "8c",
    "10",
    "12d",
    "17",
    "18a",
    "18b",
    "18c",
    "18d",
    "18f",
    "19",
]
PEOPLE += ["23b", "25", "27c"]


def says(artefacts: Artefacts, number: str) -> str:
    return checklist(artefacts).set_index("item")[SAYS][number]


def test_every_item_stands_once_and_in_order() -> None:
    expected = []
    for number in range(1, 28):
        letters = "abcdefg"[: LETTERS[number]] if number in LETTERS else [""]
        expected += [f"{number}{letter}" for letter in letters]
    assert [item.number for item in ITEMS] == expected
    assert len(expected) == 52


def test_what_only_people_know_is_blank(folder: Folder) -> None:
    table = checklist(folder.artefacts())
    blank = table[table[SAYS] == BLANK]
    assert list(blank["item"]) == PEOPLE
    assert (blank[LEFT] == ALL).all()
    whole, partly, left = map(int, re.findall(r"\d+", count_words(table))[1:])
    assert (whole + partly + left, left) == (52, len(PEOPLE))


@pytest.mark.parametrize(
    ("number", "told"),
    [
        ("6b", "lists (15)"),
        ("11", "age 3 of 14"),
        ("12a", "test (4 images, 4 groups)"),
        ("12c", "L2 penalty 0.1 of 2 tried"),
        ("15", "p(mel) is at least 0.2500"),
        ("20a", "15 rows listed, 1 refused, 14 images of 14 groups"),
        ("21", "train 6 images of 6 groups, mel 3 of 3"),
        ("23a", "macro_auc 0.912 [0.850, 0.950]"),
    ],
)
def test_answers_hold_the_artefacts_numbers(folder: Folder, number: str, told: str) -> None:
    assert told in says(folder.artefacts(), number)


@pytest.mark.parametrize(
    ("gone", "blank"),
    [
        ("metrics/split.json", ("12a", "20a", "21")),
        ("plots/evaluate/intervals.csv", ("12e", "23a")),
        ("metrics/evaluate.json", ("12f", "24")),
        ("plots/prepare/missing.csv", ("11",)),
        ("data/split/split.csv", ("20b", "20c")),
        ("models/classifier", ("12b", "15", "22", "27a")),
    ],
)
def test_without_its_artefact_an_item_is_blank(folder: Folder, gone: str, blank: tuple[str, ...]) -> None:
    path = folder.folder / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    table = checklist(folder.artefacts()).set_index("item")
    for number in blank:
        assert (table[SAYS][number], table[LEFT][number]) == (BLANK, ALL)
    assert len(table) == 52


def test_a_setting_that_the_stage_does_not_read_leaves_a_blank(folder: Folder) -> None:
    assert says(Artefacts({}), "13") == BLANK
    assert says(folder.artefacts(), "13") != BLANK


def test_a_head_with_metadata_answers_otherwise(folder: Folder) -> None:
    artefacts = folder.artefacts()
    assert "none is" not in says(artefacts, "9c")
    artefacts.head["encoding"] = {"age": [50, 50, 1], "categories": {"sex": ["female"]}, "missing": False}
    assert says(artefacts, "9c") == BLANK  # who judged the body site is not known
    assert "metadata age, sex" in says(artefacts, "9a")
    assert "median" in says(artefacts, "11")


def test_subgroups_are_told_of_where_they_are(folder: Folder) -> None:
    assert "not in the artefacts" in says(folder.artefacts(), "23a")
    folder.csv("plots/evaluate/subgroups_test.csv", [{"by": "age"}, {"by": "sex"}])
    assert "measured by age, sex" in says(folder.artefacts(), "14")
    assert "not in the artefacts" not in says(folder.artefacts(), "23a")


def test_part_names_the_paper(folder: Folder) -> None:
    part = tripod_part(folder.artefacts())
    assert "BMJ 385:e078378" in part.text
    assert len(part.tables[0][1]) == 52
