"""Bring the records that wait into MLflow: exactly one active run for each distinct state of the pipeline."""

import contextlib
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from filelock import FileLock, Timeout

from derm.errors import UserError
from derm.files import read_json
from derm.workspace import private_folder
from experiments.logged_model import log_model
from experiments.record import INTERVALS, PART_TAGS, Record, pending_folder
from experiments.scored import NUMBER, next_number, tell_scored
from experiments.store import Store, StoreUnavailableError, check_answers, open_store, reason

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

WAIT_SECONDS = 120
"""How long to wait for another process that is delivering; after that the record is left for the next one."""
METRICS_AT_ONCE = 1000
PARAMS_AT_ONCE = 100
"""The most that one request to MLflow may carry."""
COMPLETE = "derm.complete"
NAMES = "dvc.experiments"

Item = TypeVar("Item")


@dataclass
class Outcome:
    """What became of the records: how many are in MLflow now, how many still wait, and why."""

    delivered: int = 0
    kept: int = 0
    reasons: list[str] = field(default_factory=list)

    def keep(self, number: int, why: str) -> None:
        """Count records that have to wait."""
        self.kept += number
        self.reasons.append(why)


def deliver_pending() -> Outcome:
    """Deliver every record that waits. What cannot be delivered is kept, with one warning line on stderr.

    Never raises because of the store: a tracking server must not cost anybody an experiment.
    """
    outcome = Outcome()
    _sweep()
    waiting = sorted(folder for folder in pending_folder().iterdir() if not folder.name.startswith("."))
    if waiting:
        try:
            _deliver(waiting, outcome)
        except (StoreUnavailableError, Timeout) as error:
            outcome.keep(len(waiting) - outcome.delivered - outcome.kept, str(error))
    if outcome.kept:
        print(
            f"warning: {outcome.kept} record(s) kept in {pending_folder()} for the next `track` or `make ui`: "
            f"{outcome.reasons[0]}",
            file=sys.stderr,
        )
    return outcome


def _deliver(waiting: list[Path], outcome: Outcome) -> None:
    records: dict[Path, Record] = {}
    for folder in waiting:
        try:
            records[folder] = read_record(folder)
        except (UserError, TypeError) as error:
            if not folder.exists():
                continue  # another process has delivered it in the meantime
            outcome.keep(1, f"{folder.name} is damaged ({reason(error)}): delete it")
    store = open_store(record.experiment for record in records.values())
    with FileLock(private_folder("mlflow") / "delivery.lock", timeout=WAIT_SECONDS):
        for folder, record in records.items():
            try:
                # Another process may have delivered it while this one waited for the lock.
                if folder.exists():
                    deliver(store, record, folder)
                    _forget(folder)
            except Exception as error:  # whatever a store or a library may raise, the record is still here
                outcome.keep(1, reason(error))
                check_answers(store)
            else:
                outcome.delivered += 1


def read_record(folder: Path) -> Record:
    """The record in a pending folder. UserError or TypeError if it is damaged."""
    return Record(**read_json(folder / "record.json"))


def deliver(store: Store, record: Record, folder: Path) -> str:
    """Bring one record into MLflow; returns the id of its run. Doing it twice changes nothing.

    A run without the tag `derm.complete` was left by a killed process: it is deleted and made anew.
    """
    from mlflow.entities import RunTag

    client, experiment = store.client, store.experiments[record.experiment]
    for run in client.search_runs([experiment], f"tags.`derm.key` = '{record.key}'"):
        if run.data.tags.get(COMPLETE) == "true":
            _add_names(client, run, record)
            _add_parts(client, run, record, folder)
            return run.info.run_id
        _discard(client, experiment, run.info.run_id)
    run_id = client.create_run(
        experiment,
        start_time=record.started,
        run_name=record.run_name,
        tags=record.tags | {"mlflow.note.content": record.description},
    ).info.run_id
    _log_numbers(client, run_id, record)
    _log_datasets(client, run_id, record)
    tag, last = PART_TAGS["test"], {COMPLETE: "true"}
    if tag in record.tags:
        last[NUMBER] = next_number(store, tag, record.tags[tag])
        tell_scored(folder / "artifacts", int(last[NUMBER]))
    client.log_artifacts(run_id, str(folder / "artifacts"))
    client.set_terminated(run_id, end_time=record.ended)
    if (folder / "model").is_dir():
        log_model(client, experiment, run_id, folder / "model")
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in last.items()])
    return run_id


def _forget(folder: Path) -> None:
    """Remove a delivered record; killed half-way, it must not be taken for a damaged one that waits."""
    shutil.rmtree(folder.rename(folder.with_name(f".{folder.name}")))


def _sweep() -> None:
    """Remove what killed processes left of records that were not finished, or delivered already."""
    yesterday = time.time() - 24 * 3600
    for folder in pending_folder().glob(".*"):
        with contextlib.suppress(FileNotFoundError):  # another process sweeps too
            if folder.stat().st_mtime < yesterday:
                shutil.rmtree(folder, ignore_errors=True)


def _add_names(client: "MlflowClient", run: "Run", record: Record) -> None:
    """Two DVC experiments may lead to one state: its run carries both names."""
    known = {name for name in run.data.tags.get(NAMES, "").split(",") if name}
    names = known | {name for name in record.tags[NAMES].split(",") if name}
    if names != known:
        client.set_tag(run.info.run_id, NAMES, ",".join(sorted(names)))


def _add_parts(client: "MlflowClient", run: "Run", record: Record, folder: Path) -> None:
    """A run that an older version logged gets what the leaderboard needs and that version did not log."""
    lacking = {tag: record.tags[tag] for tag in PART_TAGS.values() if tag in record.tags and tag not in run.data.tags}
    intervals = folder / "artifacts" / INTERVALS
    if lacking and intervals.exists():
        client.log_artifact(run.info.run_id, str(intervals), str(Path(INTERVALS).parent))
    for tag, digest in lacking.items():
        client.set_tag(run.info.run_id, tag, digest)


def _discard(client: "MlflowClient", experiment: str, run_id: str) -> None:
    for model in client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'"):
        client.delete_logged_model(model.model_id)
    client.delete_run(run_id)


def _log_numbers(client: "MlflowClient", run_id: str, record: Record) -> None:
    from mlflow.entities import Metric, Param

    metrics = [Metric(_name(name), value, record.ended, 0) for name, value in record.metrics.items()]
    metrics += [
        Metric(_name(name), value, record.ended, step)
        for name, points in record.curves.items()
        for step, value in points
    ]
    params = [Param(_name(name), value) for name, value in record.params.items()]
    for part in _parts(params, PARAMS_AT_ONCE):
        client.log_batch(run_id, params=part)
    for part in _parts(metrics, METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=part)


def _log_datasets(client: "MlflowClient", run_id: str, record: Record) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = [
        DatasetInput(
            Dataset(one["name"], one["digest"], "local", one["source"], profile=one["profile"]),
            [InputTag("mlflow.data.context", one["context"])],
        )
        for one in record.datasets
    ]
    if inputs:
        client.log_inputs(run_id, inputs)


def _name(name: str) -> str:
    """MLflow's names know letters, digits and `_-. /:` only."""
    return "".join(letter if letter.isalnum() or letter in "_-. /:" else "_" for letter in name)


def _parts(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
