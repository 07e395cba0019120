"""Is B better than A? What is compared, from how many seeds, and what is written down of it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import torch
import yaml
from pydantic import Field

from derm.comparison.disagreements import disagreements
from derm.comparison.figures import forest
from derm.comparison.sheet import disagreement_sheet
from derm.comparison.words import as_text
from derm.errors import UserError
from derm.files import write_bytes, write_csv, write_figure, write_png
from derm.measures.paired import Comparison, Side, check_sides, compare
from derm.optimise import TRAINING_THREADS
from derm.params import Section
from experiments.retrain import Experiment, opened

Part = Literal["val", "folds"]


class CompareParams(Section):
    """Section `compare`: what decides, and on how much.

    metric: the one number that decides. part: `val`, or `folds`: out of fold, over two cross-validations. seeds: of
    heads that have one, trained for each side.
    """

    metric: str
    part: Part
    seeds: int = Field(ge=1, le=100)
    resamples: int = Field(ge=100, le=100_000)
    seed: int = Field(ge=0)


@dataclass(frozen=True)
class Compared:
    """The comparison, its two sides, the classes, the image table, and what a reader must be told beside it."""

    comparison: Comparison
    a: Side
    b: Side
    classes: list[str]
    positive: str | None
    images: pd.DataFrame
    notes: list[str]


def compare_experiments(a: str, b: str, params: CompareParams, say: Callable[[str], None]) -> Compared:
    """B against A: names of DVC experiments or git revisions, or with `folds` of cross-validations.

    A head with a seed is trained from `params.seeds` of them, one after another; the first is the experiment's own,
    and must give the predictions that the experiment stored. Where it does not, other code made them: then only those
    predictions are compared. UserError, before anything is trained, if a side is not there, if the sides are not about
    the same images or were split differently, or if there is no such metric.
    """
    torch.set_num_threads(TRAINING_THREADS)
    with ExitStack() as stack:
        experiments = [
            [
                stack.enter_context(opened(one, "test" if params.part == "folds" else "val"))
                for one in (folds_of(name) if params.part == "folds" else [name])
            ]
            for name in (a, b)
        ]
        first, second = (parts[0] for parts in experiments)
        classes, positive = first.task.classes, first.task.positive
        if second.task.positive != positive:
            raise UserError(
                f"task.positive is {positive} in {a} and {second.task.positive} in {b}: compare two that flag the same"
            )
        stored = [_stored(name, parts) for name, parts in zip((a, b), experiments, strict=True)]
        check_sides(stored, classes, positive, params.metric)
        _refuse_other_parts(a, b, *experiments)
        notes = [
            f"out of fold, {len(experiments[0])} folds pooled"
            if params.part == "folds"
            else "measured on val, which also chose each head's epoch or penalty; --on folds is free of that"
        ]
        if _but_seed(first) == _but_seed(second):
            notes.append(f"{a} and {b} are the same settings but for train.seed: what differs is chance")
        one, other = (
            _side(side, parts, params.seeds, notes, say) for side, parts in zip(stored, experiments, strict=True)
        )
        comparison = compare(one, other, classes, positive, params.metric, params.resamples, params.seed)
        return Compared(comparison, one, other, classes, positive, first.images, notes)


def write_comparison(compared: Compared, folder: Path) -> None:
    """Verdict with its notes, table, forest plot, disagreements and their contact sheet."""
    write_bytes(folder / "comparison.txt", (told(compared) + "\n").encode())
    write_csv(folder / "differences.csv", compared.comparison.table)
    write_figure(folder / "differences.png", forest(compared.comparison))
    found = disagreements(compared.a, compared.b, compared.classes, compared.positive)
    write_csv(folder / "disagreements.csv", found)
    write_png(folder / "disagreements.png", disagreement_sheet(found, compared.a, compared.b, compared.images))


def told(compared: Compared) -> str:
    """Verdict, table and notes: what the command prints."""
    return "\n".join([as_text(compared.comparison), *(f"Note: {note}." for note in compared.notes)])


def folds_of(label: str) -> list[str]:
    """The experiments of a cross-validation. UserError if one is missing."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    try:
        params = yaml.safe_load(DVCFileSystem(str(Path.cwd()), rev=f"{label}-fold0").read_text("params.yaml"))
    except (DvcException, OSError):
        raise UserError(
            f"{label}: no experiment {label}-fold0; make the folds first (make crossval), or compare on val"
        ) from None
    return [f"{label}-fold{number}" for number in range(params["split"]["folds"])]


def _stored(name: str, parts: list[Experiment]) -> Side:
    """The predictions that the experiment made itself, those of all folds one below the other."""
    return Side(name, [pd.concat([part.predictions for part in parts], ignore_index=True)], parts[0].seeded)


def _refuse_other_parts(a: str, b: str, of_a: list[Experiment], of_b: list[Experiment]) -> None:
    """Two that were split differently differ by the luck of their training parts too, which no resampling covers.
    Images that only one side has, such as more of them to train on, are part of its setting."""
    if len(of_a) != len(of_b):
        raise UserError(f"{a} has {len(of_a)} folds and {b} has {len(of_b)}: compare two that were split alike")
    for one, other in zip(of_a, of_b, strict=True):
        both = one.split.merge(other.split, on="image_id", suffixes=("", "_other"))
        moved = both[both["part"] != both["part_other"]]
        if len(moved):
            row = moved.iloc[0]
            raise UserError(
                f"{len(moved)} images are in another part in {one.name} than in {other.name}, such as "
                f"{row['image_id']}, {row['part']} and {row['part_other']}: compare two that were split alike"
            )


def _side(stored: Side, parts: list[Experiment], seeds: int, notes: list[str], say: Callable[[str], None]) -> Side:
    """Predictions from each seed, those of all folds one below the other."""
    name = stored.name
    if not stored.seeded or seeds == 1:
        return stored
    tables = []
    for number in range(seeds):
        say(f"{name}: training from seed {number + 1} of {seeds}")
        again = list(_predictions(parts, number))
        if number == 0 and not all(part.is_what_it_was(table) for part, table in zip(parts, again, strict=True)):
            notes.append(
                f"{name} was made by other code or on another kind of machine: trained again from its own seed it "
                "predicts something else, so only its stored predictions are compared"
            )
            return stored
        tables.append(pd.concat(again, ignore_index=True))
    return Side(name, tables, stored.seeded)


def _predictions(parts: list[Experiment], number: int) -> Iterator[pd.DataFrame]:
    for part in parts:
        yield part.predict(number)


def _but_seed(experiment: Experiment) -> tuple[object, ...]:
    """All that the predictions come from, but the seed."""
    sections = experiment.sections
    train = sections.train.model_copy(update={"seed": 0})
    features = experiment.features.manifest
    return (sections.model_copy(update={"train": train}), experiment.calibrate, experiment.decide, features)
