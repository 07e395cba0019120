"""Which images are shown, on a table made by hand."""

import pandas as pd

from derm.explanation.selection import missed, sure_and_right, sure_and_wrong

CLASSES = ["bcc", "mel", "nv"]
ROWS = [
    # image, group, target, p_bcc, p_mel, p_nv, predicted, decision
    ("a1", "a", 2, 0.01, 0.01, 0.98, 2, 2),
    ("a2", "a", 2, 0.02, 0.01, 0.97, 2, 2),  # the same lesion as a1
    ("b1", "b", 2, 0.03, 0.02, 0.95, 2, 1),
    ("c1", "c", 0, 0.60, 0.20, 0.20, 0, 0),
    ("d1", "d", 1, 0.10, 0.70, 0.20, 1, 1),
    ("e1", "e", 1, 0.05, 0.05, 0.90, 2, 2),  # missed and wrong
    ("e2", "e", 1, 0.05, 0.04, 0.91, 2, 2),  # the same lesion, surer
    ("f1", "f", 1, 0.05, 0.30, 0.65, 2, 2),  # missed and wrong, less so
    ("g1", "g", 1, 0.45, 0.50, 0.05, 1, 0),  # right, but decided otherwise: missed
    ("h1", "h", 1, 0.30, 0.33, 0.37, 2, 1),  # wrong, but decided right: not missed
    ("i1", "i", 0, 0.05, 0.05, 0.90, 2, 2),  # as sure as e1
]
COLUMNS = ["image_id", "group", "target", "p_bcc", "p_mel", "p_nv", "predicted", "decision"]
TABLE = pd.DataFrame(ROWS, columns=COLUMNS)
SHUFFLED = TABLE.sample(frac=1, random_state=3)


def ids(rows: pd.DataFrame) -> list[str]:
    return list(rows["image_id"])


def test_right_answers_take_turns_by_class_and_show_a_lesion_once() -> None:
    # by confidence: nv a1 .98, b1 .95; mel d1 .70, g1 .50; bcc c1 .60; in turn bcc, mel, nv
    assert ids(sure_and_right(TABLE, CLASSES, 10)) == ["c1", "d1", "a1", "g1", "b1"]
    assert ids(sure_and_right(TABLE, CLASSES, 4)) == ["c1", "d1", "a1", "g1"]
    assert ids(sure_and_right(SHUFFLED, CLASSES, 10)) == ["c1", "d1", "a1", "g1", "b1"]


def test_wrong_answers_by_confidence() -> None:
    assert ids(sure_and_wrong(TABLE, CLASSES, 10)) == ["e2", "i1", "f1", "h1"]
    assert ids(sure_and_wrong(SHUFFLED, CLASSES, 2)) == ["e2", "i1"]


def test_missed_are_those_decided_to_be_another_class() -> None:
    assert ids(missed(TABLE, CLASSES, "mel", 10)) == ["e2", "f1", "g1"]
    assert ids(missed(SHUFFLED, CLASSES, "mel", 1)) == ["e2"]
    assert ids(missed(TABLE, CLASSES, "bcc", 10)) == ["i1"]


def test_nothing_to_show() -> None:
    right = TABLE[TABLE["predicted"] == TABLE["target"]]
    assert len(sure_and_wrong(right, CLASSES, 5)) == 0
    assert len(missed(TABLE[TABLE["target"] == 2], CLASSES, "mel", 5)) == 0
    assert len(sure_and_right(TABLE[TABLE["predicted"] != TABLE["target"]], CLASSES, 5)) == 0
