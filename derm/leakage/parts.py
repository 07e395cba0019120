"""Which part of a split is the training part."""

from pathlib import Path

from derm.errors import UserError
from derm.leakage.listed import Listed

TRAIN = ("train", "training")
NAMED = 12


def training_part(listed: Listed, asked: str | None, split: Path) -> str:
    """The training part's name; empty if the split column holds folds, each a test part against all the others.

    asked: the name that the user gives. UserError if there is only one part, or none or two that may be for training.
    """
    rows = listed.rows
    parts = sorted(set(rows["part"]) - {""})
    column = listed.columns["split"][0].name
    told = ", ".join(parts[:NAMED]) + (", ..." if len(parts) > NAMED else "")
    if len(parts) < 2:
        raise UserError(
            f"{split}: column {column} holds {f'only one part, {told}' if parts else 'no part'}: nothing can leak "
            "from one part to another; name the split's column with --split-column"
        )
    if asked is not None:
        fitting = [part for part in parts if part == asked] or [part for part in parts if part.lower() == asked.lower()]
        if len(fitting) != 1:
            raise UserError(f"--train {asked!r}: column {column} of {split} holds {told}: name one of them")
        return fitting[0]
    fitting = [part for part in parts if part.lower() in TRAIN]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting and listed.by_folds:
        return ""
    what = f"{' and '.join(fitting)} could each be" if fitting else f"none of {told} is called train, so which is"
    raise UserError(f"{split}: {what} the training part in column {column}: name it with --train")
