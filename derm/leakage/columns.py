"""Which column of a table is which: as the user says, else guessed from the names that the field uses."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from derm.errors import UserError
from derm.sources.tables import LINE

# For each role, names from the surest to the vaguest: a vaguer one is looked at only where no surer one is there.
ROLES: dict[str, tuple[tuple[str, ...], ...]] = {
    "image": (
        ("image_id", "isic_id", "image_name", "image", "img_id", "img_name", "img"),
        ("filename", "file_name", "file", "filepath", "file_path", "image_path", "img_path", "path"),
    ),
    "split": (
        ("part", "split", "set", "subset", "partition", "phase", "data_split", "dataset_split"),
        ("fold", "fold_id", "kfold", "cv_fold"),
    ),
    "label": (("diagnosis", "dx", "label", "class", "diagnostic", "class_name"), ("target", "category")),
    "lesion": (("lesion_id", "lesion", "lesionid"),),
    "patient": (("patient_id", "patient", "patientid"),),
    "group": (("group", "group_id"),),
}
FOLDS = ROLES["split"][1]
# Given instead of a column's name: this role is not to be guessed.
NONE = "none"
# Columns named in one line.
NAMED = 12


@dataclass(frozen=True)
class Column:
    """A column that was chosen: its name, its file, whether it was guessed, and how vague the guess is (0: sure)."""

    name: str
    file: str
    guessed: bool
    vague: int = 0


def option(role: str) -> str:
    """The option of the command line that names a role's column."""
    return f"--{role}-column"


def plain(name: str) -> str:
    """A column's name as names are compared: lower case, one sign for every kind of gap."""
    return name.strip().lower().replace(" ", "_").replace("-", "_").replace(".", "_")


def names_of(table: Iterable[object]) -> str:
    """A table's columns for a message, the first `NAMED` of them."""
    names = [str(name) for name in table if name != LINE]
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def choose(table: Iterable[str], where: str, asked: Mapping[str, str], roles: Iterable[str]) -> dict[str, Column]:
    """The columns of a table that play `roles`; a role that no column plays is absent.

    where: the file, for messages. asked: role -> column's name, or `NONE`; a name that this table lacks is passed over
    (`refuse_unknown` has seen that some table has it). No column plays two roles, and those that were asked for come
    first. UserError if two columns fit a role equally well.
    """
    names = [name for name in table if name != LINE]
    chosen = {role: Column(asked[role], where, False) for role in roles if asked.get(role) in names}
    for role in roles:
        if role in asked:
            continue
        taken = {column.name for column in chosen.values()}
        for vague, wanted in enumerate(ROLES[role]):
            fitting = [name for name in names if name not in taken and plain(name) in wanted]
            if len(fitting) > 1:
                raise UserError(
                    f"{where}: {' and '.join(fitting)} could each be the {role} column (columns: {names_of(names)}): "
                    f"name it with {option(role)}"
                )
            if fitting:
                chosen[role] = Column(fitting[0], where, True, vague)
                break
    return chosen


def refuse_unknown(asked: Mapping[str, str], tables: Mapping[str, Iterable[str]]) -> None:
    """UserError, with what there is, if a column that was asked for stands in none of the tables (file -> columns)."""
    for role, name in asked.items():
        if name != NONE and not any(name in names for names in tables.values()):
            told = "; ".join(f"{where}: {names_of(names)}" for where, names in tables.items())
            raise UserError(f"{option(role)}: there is no column {name!r} ({told})")
