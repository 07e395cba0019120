"""What is predicted: the classes in their order, and the one that flags are about."""

from typing import Literal

import pandas as pd

from derm.errors import UserError
from derm.params import Section


class TaskParams(Section):
    """Section `task`: the target, and the class that flagging and screening metrics are about (null: none)."""

    target: Literal["diagnosis"]
    positive: str | None


def class_names(images: pd.DataFrame, params: TaskParams) -> list[str]:
    """The classes in alphabetical order: index k is the k-th. UserError if there is one only, or no `positive` one."""
    names = sorted(set(images[params.target]))
    if len(names) < 2:
        raise UserError(f"all images are of one class ({', '.join(names)}): a classifier needs two or more")
    if params.positive is not None and params.positive not in names:
        raise UserError(f"task.positive is {params.positive!r}, expected one of {', '.join(names)}, or null")
    return names
