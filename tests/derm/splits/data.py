"""Small image tables and params for the tests of splits."""

from typing import Any

import pandas as pd

from derm.splits.params import SplitParams
from derm.task import Task, TaskParams, make_task

CLASSES = ["bcc", "mel", "nv"]


def params(**changes: Any) -> SplitParams:
    given = {"scheme": "holdout", "val": 0.15, "calibration": 0.15, "test": 0.2, "folds": 4, "fold": 0, "seed": 1}
    given |= {"rare": "refuse", "keep": "", "keep_sha256": ""}
    return SplitParams.model_validate(given | changes)


def task_of(images: pd.DataFrame, target: str = "diagnosis") -> Task:
    given = {"target": target, "positive": "auto", "melanoma": ["mel"], "malignant": ["mel", "bcc"]}
    return make_task(images, TaskParams.model_validate(given))


def lesions_of(**counts: int) -> pd.DataFrame:
    """Lesions of one image each."""
    ids = [f"{name}{number:03d}" for name, count in counts.items() for number in range(count)]
    names = [identifier[:-3] for identifier in ids]
    return pd.DataFrame({"image_id": ids, "group": ids, "lesion_id": ids, "diagnosis": names, "source_part": ""})


def where(split: pd.DataFrame) -> dict[str, str]:
    """Part by image."""
    return dict(zip(split["image_id"], split["part"], strict=True))
