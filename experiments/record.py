"""Everything that is worth keeping of one state of the pipeline, collected into a folder that waits for MLflow.

A record is complete without the repository: it can be delivered days later, when the workspace holds another state.

    <repository>/.derm/pending/<key>-<random>/
        record.json     experiment, run name, tags, params, metrics, curves, description, start and end
        artifacts/      figures, report, tables, as they are to appear in MLflow
        model/          the classifier and the code that loads it, if it is to be logged
"""

import json
import os
import platform
import shutil
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from derm import journal
from derm.files import canonical_json, read_csv, read_json, write_bytes, write_csv
from derm.params import Section, load
from derm.workspace import private_folder
from experiments import revision
from experiments.describe import describe
from experiments.logged_model import CLASSIFIER, Rule, copy_model, is_wanted
from experiments.state import (
    TRACKING_STAGE,
    Event,
    State,
    events_of_this_run,
    flatten,
    read_metrics,
    read_state,
    stage_table,
)

PLOTS = Path("plots")
REPORT = PLOTS / "report"
INTERVALS = "evaluate/intervals.csv"
"""The 95 % intervals of the headline numbers, under plots/ and among a run's artifacts."""
POSITIVE = "derm.positive"
SPLIT = Path("data/split/split.csv")
PREDICTIONS = Path("data/predictions/val.csv")
PREDICTED = "predictions/val.csv"
"""What was predicted of val, among a run's artifacts: enough to compare two runs without their data."""
PART_TAGS = {"val": "derm.val_part", "test": "derm.test_part"}
CONTEXTS = {"train": "training", "val": "validation", "calibration": "calibration", "test": "testing"}
"""The parts of the split, and what MLflow is told that they were for."""
WITH_PICTURES = ("adapt/augmentation.png", "explain", "prepare/pairs.png", "prepare/sheets", "report")
"""What of plots/ shows pictures of patients; the report embeds those of `explain`."""
LIBRARIES = ("dvc", "mlflow", "numpy", "pandas", "scikit-learn", "timm", "torch", "transformers")


class Tracking(Section):
    """The section `tracking` of params.yaml."""

    experiment: str
    images: bool
    log_model: Rule


@dataclass(frozen=True)
class Record:
    """One state, as MLflow is to show it. Times are milliseconds since 1970, curves are name -> [step, value]..."""

    key: str
    experiment: str
    run_name: str
    description: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    curves: dict[str, list[tuple[int, float]]]
    started: int
    ended: int
    datasets: list[dict[str, str]] = field(default_factory=list)
    """Of each part: name, context, digest, source and profile (both JSON). Older records have none."""


def pending_folder() -> Path:
    """Where records wait; one folder each, whole from the moment that it appears."""
    return private_folder("pending")


def collect() -> Path:
    """Collect the current folder's state into a new pending record; returns its folder.

    UserError if dvc.lock, params.yaml or a metrics file is missing or damaged.
    """
    tracking = load("tracking", Tracking)
    state = read_state()
    events = events_of_this_run(journal.read(), str(Path.cwd()), os.environ.get("DVC_EXP_NAME", ""))
    name = f"{state.key}-{uuid.uuid4().hex[:8]}"
    unfinished = pending_folder() / f".{name}"
    _copy_artifacts(unfinished / "artifacts", state, events, tracking.images)
    if is_wanted(tracking.log_model):
        copy_model(unfinished / "model")
    record = build_record(state, tracking.experiment, events)
    write_bytes(unfinished / "record.json", canonical_json(asdict(record)).encode())
    return unfinished.rename(pending_folder() / name)


def build_record(state: State, experiment: str, events: list[Event]) -> Record:
    """The record of ``state``; metrics, curves, split and git are read from the current folder."""
    metrics = read_metrics()
    stages = stage_table(state.outs, events)
    encoder = str((state.params.get("encoder") or {}).get("name", ""))
    experiment_name = os.environ.get("DVC_EXP_NAME", "")
    digests = part_digests()
    times = [event["time"] for event in events if "time" in event] or [time.time()]
    return Record(
        key=state.key,
        experiment=experiment,
        run_name=experiment_name or f"{encoder} {state.key[:7]}".strip(),
        description=describe(metrics, read_intervals(), stages),
        tags={
            "derm.key": state.key,
            "derm.encoder": encoder,
            POSITIVE: positive_class(),
            "dvc.experiments": experiment_name,
            **{tag: digests[part] for part, tag in PART_TAGS.items() if part in digests},
            **revision.tags(),
            **_machine_tags(events),
            **{f"seconds.{row.stage}": f"{row.seconds:.2f}" for row in stages if row.seconds is not None},
        },
        params={name: _shown(value) for name, value in flatten(state.params).items()},
        metrics=metrics,
        curves=read_curves(),
        started=int(min(times) * 1000),
        ended=int(max(*times, time.time()) * 1000),
        datasets=describe_datasets(state, digests, read_json(Path("metrics/split.json"))),
    )


def part_digests(split: Path = SPLIT) -> dict[str, str]:
    """For each part that has images, 16 hex digits for them and their targets.

    UserError if the split is missing or damaged.
    """
    table = read_csv(split, image_id=str, part=str, target=str).sort_values("image_id")
    return {
        str(part): sha256(canonical_json(rows[["image_id", "target"]].to_numpy().tolist()).encode()).hexdigest()[:16]
        for part, rows in table.groupby("part")
    }


def positive_class(classifier: Path = CLASSIFIER) -> str:
    """Of the packaged classifier; empty without one, or without a package."""
    path = classifier / "calibration.json"
    return str(read_json(path).get("positive") or "") if path.exists() else ""


def describe_datasets(state: State, digests: Mapping[str, str], split: Mapping[str, Any]) -> list[dict[str, str]]:
    """The images of each part, as inputs of the run; split: metrics/split.json.

    Where they lie and DVC's md5 of the prepared table are the source; counts by class the profile.
    """
    data = state.params.get("data") or {}
    source = {"uri": str(data.get("root", "")), **state.outs.get("prepare", {})}
    return [
        {
            "name": f"{data.get('source', 'images')} {part}",
            "context": CONTEXTS[part],
            "digest": digests[part],
            "source": canonical_json(source),
            "profile": canonical_json({"num_rows": split.get(part, {}).get("images")} | dict(split.get(part, {}))),
        }
        for part in CONTEXTS
        if part in digests
    ]


def read_intervals(path: Path = PLOTS / INTERVALS) -> dict[str, tuple[float, float]]:
    """``<part>.<metric>`` -> its 95 % interval; none without a file. UserError if it is damaged."""
    if not path.exists():
        return {}
    table = read_csv(path, part=str, metric=str, low=float, high=float)
    return {f"{row['part']}.{row['metric']}": (row["low"], row["high"]) for row in table.to_dict("records")}


def read_curves(folder: Path = PLOTS) -> dict[str, list[tuple[int, float]]]:
    """plots/<stage>/curves.csv -> for each column but `step`, ``<stage>/<column>``: its (step, value) pairs.

    Empty cells are steps at which nothing was measured, and are left out.
    """
    curves: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.glob("*/curves.csv")):
        table = pd.read_csv(path)
        for column in table.columns.drop("step", errors="ignore"):
            measured = table[["step", column]].dropna() if "step" in table else table.iloc[:0]
            if len(measured):
                steps, values = measured["step"].astype(int), measured[column].astype(float)
                curves[f"{path.parent.name}/{column}"] = list(zip(steps.tolist(), values.tolist(), strict=True))
    return curves


def figures(with_pictures: bool, folder: Path = PLOTS) -> Iterable[Path]:
    """The PNG figures of all stages and the files of the report; without those that show patients if so asked."""
    report = [path for path in (folder / "report").rglob("*") if path.is_file()]
    for path in sorted({*folder.glob("*/**/*.png"), *report}):
        if with_pictures or not any(path.relative_to(folder).is_relative_to(name) for name in WITH_PICTURES):
            yield path


def _copy_artifacts(target: Path, state: State, events: list[Event], with_pictures: bool) -> None:
    target.mkdir(parents=True)
    for path in (*figures(with_pictures), *PLOTS.glob(INTERVALS)):
        _copy(path, target / path.relative_to(PLOTS))
    if PREDICTIONS.exists():
        _copy(PREDICTIONS, target / PREDICTED)
    for path in (Path("params.yaml"), Path("dvc.lock"), *sorted(Path("metrics").glob("*.json"))):
        _copy(path, target / "pipeline" / path)
    rows = [
        {"stage": row.stage, "outs": row.digest, "seconds": row.seconds, "how": row.how}
        for row in stage_table(state.outs, events)
    ]
    write_csv(target / "stages.csv", pd.DataFrame(rows, columns=["stage", "outs", "seconds", "how"]))
    lines = "".join(canonical_json(event) + "\n" for event in events)
    write_bytes(target / "journal.jsonl", lines.encode())


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _machine_tags(events: Iterable[Event]) -> dict[str, str]:
    """Host and Python of the run's first stage as the journal has them, and the versions of what computed it."""
    first: Mapping[str, Any] = next(
        (event for event in events if event.get("event") == "started" and event.get("stage") != TRACKING_STAGE),
        {},
    )
    tags = {
        "host": str(first.get("host", platform.node())),
        "version.python": str(first.get("python", platform.python_version())),
    }
    for library in LIBRARIES:
        try:
            tags[f"version.{library}"] = version(library)
        except PackageNotFoundError:
            continue
    return tags


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
