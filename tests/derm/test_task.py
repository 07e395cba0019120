"""Which classes there are, for every target."""

from typing import Any

import pandas as pd
import pytest

from derm.errors import UserError
from derm.task import Task, TaskParams, make_task


def task(diagnoses: list[str], **changes: Any) -> Task:
    given = {
        "target": "diagnosis",
        "positive": "auto",
        "melanoma": ["mel", "melanoma"],
        "malignant": ["bcc", "mel", "malignant"],
    }
    return make_task(pd.DataFrame({"diagnosis": diagnoses}), TaskParams.model_validate(given | changes))


def refusal(diagnoses: list[str], **changes: Any) -> str:
    with pytest.raises(UserError) as caught:
        task(diagnoses, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_diagnosis_is_itself_in_alphabetical_order() -> None:
    made = task(["nv", "mel", "bcc", "nv"])
    assert made.classes == ["bcc", "mel", "nv"] and made.positive == "mel"
    assert list(made.targets(pd.Series(["nv", "bcc", "mel"]))) == [2, 0, 1]


def test_binary_targets() -> None:
    made = task(["nv", "mel", "bcc"], target="melanoma")
    assert (made.classes, made.positive) == (["melanoma", "other"], "melanoma")
    assert list(made.targets(pd.Series(["nv", "mel", "bcc"]))) == [1, 0, 1]
    made = task(["nv", "mel", "bcc"], target="malignant")
    assert (made.classes, made.positive) == (["benign", "malignant"], "malignant")
    assert list(made.targets(pd.Series(["nv", "mel", "bcc"]))) == [0, 1, 1]


def test_positive_can_be_named_or_none() -> None:
    assert task(["nv", "bcc"], positive="bcc").positive == "bcc"
    assert task(["nv", "bcc"], positive=None).positive is None
    assert task(["nv", "mel"], target="melanoma", positive="other").positive == "other"


@pytest.mark.parametrize(
    ("diagnoses", "changes", "told"),
    [
        (["nv", "nv"], {}, "one class (nv)"),
        (["nv", "bcc"], {}, "none of the classes (bcc, nv) is in task.melanoma"),
        (["mel", "melanoma", "nv"], {}, "several of the classes"),
        (["nv", "mel"], {"positive": "melanoma"}, "task.positive is 'melanoma', expected one of mel, nv"),
        (["nv", "mel", "unk", "unk"], {"target": "malignant"}, "2 images are 'unk'"),
        (["nv", "malignant"], {"target": "melanoma"}, "1 images are 'malignant'"),
        (["nv", "mel", "nodular melanoma"], {"target": "malignant"}, "1 images are 'nodular melanoma'"),
        (["nv", "mel", "merkel cell carcinoma"], {"target": "malignant"}, "'merkel cell carcinoma'"),
        (["nv", "mel", "nodular melanoma"], {"target": "melanoma"}, "1 images are 'nodular melanoma'"),
        (["nv", "df"], {"target": "malignant"}, "none of df, nv is in task.malignant"),
        (["mel", "melanoma"], {"target": "melanoma"}, "one class (melanoma)"),
    ],
)
def test_refusals(diagnoses: list[str], changes: dict, told: str) -> None:
    assert told in refusal(diagnoses, **changes)


def test_what_the_list_names_is_decided() -> None:
    assert task(["nv", "unk"], target="malignant", malignant=["unk"]).of == {"nv": "benign", "unk": "malignant"}


def test_capitals_and_spaces_in_the_lists_do_not_count() -> None:
    assert task(["nv", "mel"], target="malignant", malignant=["MEL "]).of == {"nv": "benign", "mel": "malignant"}
    assert task(["nv", "mel"], melanoma=["Mel"]).positive == "mel"
