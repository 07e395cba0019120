"""What is predicted: the classes in their order, which diagnosis belongs to which, and the one that flags are about."""

import re
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from derm.errors import UserError
from derm.params import Section

# Names that say nothing of whether a lesion is a melanoma, or malignant.
UNDECIDED = ("unk", "unknown", "other", "others", "indeterminate")
# What a name must not hold that is not in the lists: it would be the other class in silence.
TELLING = {"melanoma": re.compile("melanom"), "malignant": re.compile("melanom|carcinom|malign|metasta|lymphom|sarcom")}
AUTO = "auto"


class TaskParams(Section):
    """Section `task`: the target, and the class that flagging and screening metrics are about (null: none).

    melanoma, malignant: diagnoses that count as such for the targets of these names; all others do not.
    """

    target: Literal["diagnosis", "melanoma", "malignant"]
    positive: str | None
    melanoma: list[str]
    malignant: list[str]


@dataclass(frozen=True)
class Task:
    """classes: names in alphabetical order, class k is the k-th. of: diagnosis -> class. positive: one of them."""

    classes: list[str]
    of: dict[str, str]
    positive: str | None

    def targets(self, diagnoses: pd.Series) -> pd.Series:
        """The class index of each diagnosis, int."""
        index = {name: self.classes.index(belongs) for name, belongs in self.of.items()}
        return diagnoses.map(index).astype(int)


def make_task(images: pd.DataFrame, params: TaskParams) -> Task:
    """The task on these images (`diagnosis`).

    UserError if all are of one class, if a diagnosis could be either for a binary target, or if there is no class of
    the name `task.positive`.
    """
    counts = images["diagnosis"].value_counts().sort_index()
    of = {str(name): str(name) for name in counts.index} if params.target == "diagnosis" else _binary(counts, params)
    classes = sorted(set(of.values()))
    if len(classes) < 2:
        raise UserError(f"all images are of one class ({', '.join(classes)}): a classifier needs two or more")
    return Task(classes, of, positive_class(classes, params))


def _binary(counts: pd.Series, params: TaskParams) -> dict[str, str]:
    """Each diagnosis as one of two classes: melanoma or other, malignant or benign."""
    listed, rest = (params.melanoma, "other") if params.target == "melanoma" else (params.malignant, "benign")
    chosen = _names(listed)
    # Whoever names a diagnosis in the list has decided it; `malignant` says nothing of melanoma.
    undecided = {*UNDECIDED, *(["malignant"] if params.target == "melanoma" else [])} - chosen
    for name, count in counts.items():
        telling = TELLING[params.target]
        if name in undecided or (name not in chosen and telling.search(str(name))):
            raise UserError(
                f"task.target is {params.target}, and {count} images are {name!r}, which may be that: leave them out "
                f"(data.label_map: {{{name}: null}}), rename them, or name them in task.{params.target}"
            )
    of = {str(name): params.target if name in chosen else rest for name in counts.index}
    if params.target not in of.values():
        raise UserError(
            f"task.target is {params.target}, and none of {', '.join(of)} is in task.{params.target} "
            f"({', '.join(sorted(chosen))}): name there which of them count"
        )
    return of


def _names(listed: list[str]) -> set[str]:
    """As diagnoses are written in the image table: lower case, single spaces."""
    return {" ".join(name.split()).lower() for name in listed}


def positive_class(classes: list[str], params: TaskParams) -> str | None:
    """The class that `task.positive` means, one of these. UserError if it means none of them."""
    if params.positive is None or params.positive in classes:
        return params.positive
    if params.positive != AUTO:
        raise UserError(
            f"task.positive is {params.positive!r}, expected one of {', '.join(classes)}, {AUTO} (melanoma, or "
            "malignant for that target), or null"
        )
    if params.target != "diagnosis":
        return params.target
    found = [name for name in classes if name in _names(params.melanoma)]
    if len(found) != 1:
        raise UserError(
            f"task.positive is {AUTO}, and {'several' if found else 'none'} of the classes ({', '.join(classes)}) "
            f"{'are' if found else 'is'} in task.melanoma ({', '.join(params.melanoma)}): set task.positive to one of "
            "the classes, or to null"
        )
    return found[0]
