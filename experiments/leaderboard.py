"""All experiments ranked by one metric of one part, with 95 % intervals.

MLflow holds one run for each distinct state of the pipeline, so its runs are the complete list: DVC experiments and
plain `dvc repro` alike. Only states that were measured on the same images with the same targets are ranked together.
"""

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from derm.errors import UserError
from derm.files import read_csv
from derm.measures.paired import LOWER_IS_BETTER
from experiments.delivery import COMPLETE, NAMES
from experiments.differing_params import differing
from experiments.record import INTERVALS, PART_TAGS, part_digests
from experiments.scored import count_scored, search
from experiments.state import read_state
from experiments.store import Store, StoreUnavailableError, check_answers, reason, shown, store_uri

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass(frozen=True)
class Row:
    """One run. ``interval``: 95 %, None if the run does not have it. ``here``: it is the present folder's state."""

    rank: int
    name: str
    encoder: str
    head: str
    differs: list[str]
    value: float
    interval: tuple[float, float] | None
    here: bool


@dataclass(frozen=True)
class Board:
    """The ranking of one part: ``rows``, best first, of ``ranked`` runs that could be ranked; and how many could not.

    ``digest`` is the part's, ``whose`` says why this one of several. ``older``: runs whose part nobody recorded.
    ``scored``: how many states have been measured on this test part; None on val.
    """

    part: str
    metric: str
    digest: str
    whose: str
    rows: list[Row]
    ranked: int
    elsewhere: int
    older: int
    unmeasured: int
    scored: int | None

    @property
    def lower_is_better(self) -> bool:
        return self.metric in LOWER_IS_BETTER


def read_board(store: Store, experiment: str, metric: str, on_test: bool = False, top: int | None = None) -> Board:
    """The best ``top`` runs (or all) of an MLflow experiment by ``metric``, measured on val, or on test if so asked.

    The part is that of the present folder's split; where no run was measured on it, that of the newest run.
    UserError if there is no run to rank, or none has the metric. StoreUnavailableError if the store stops answering.
    """
    from mlflow.exceptions import MlflowException

    try:
        return _board(store, experiment, metric, on_test, top)
    except MlflowException as error:
        raise StoreUnavailableError(f"MLflow's store {shown(store_uri())} cannot be read: {reason(error)}") from error


def _board(store: Store, experiment: str, metric: str, on_test: bool, top: int | None) -> Board:
    from mlflow.entities import ViewType

    part = "test" if on_test else "val"
    metric = metric.removeprefix(f"{part}.")
    complete = f"tags.`{COMPLETE}` = 'true'"
    runs = list(search(store, [store.experiments[experiment]], complete, ViewType.ACTIVE_ONLY))
    if not runs:
        raise UserError(f"MLflow has no run of experiment {experiment!r} yet ({shown(store_uri())}): run `make repro`")
    tag = PART_TAGS[part]
    known = [run for run in runs if tag in run.data.tags]
    older = len(runs) - len(known)
    if not known:
        raise UserError(
            f"all {older} runs were logged by an older version, which did not record their {part} part: "
            "`make repro` adds it to the run of the state at hand"
        )
    digest, whose = _chosen_part(part, known)
    comparable = [run for run in known if run.data.tags[tag] == digest]
    measured = [run for run in comparable if f"{part}.{metric}" in run.data.metrics]
    if not measured:
        names = {name for run in comparable for name in run.data.metrics if name.startswith(f"{part}.")}
        listed = ", ".join(sorted(name.removeprefix(f"{part}.") for name in names))
        raise UserError(f"no run has the {part} metric {metric!r}; known: {listed}")
    scored = None
    if on_test:
        scored = count_scored(store, tag, digest)
    return Board(
        part=part,
        metric=metric,
        digest=digest,
        whose=whose,
        rows=_rows(store, measured, part, metric, top),
        ranked=len(measured),
        elsewhere=len(known) - len(comparable),
        older=older,
        unmeasured=len(comparable) - len(measured),
        scored=scored,
    )


def _chosen_part(part: str, runs: "Sequence[Run]") -> tuple[str, str]:
    """Its digest, and whose it is in words."""
    digests = [run.data.tags[PART_TAGS[part]] for run in runs]
    try:
        here = part_digests()[part]
    except UserError:
        here = None
    if here in digests:
        return here, "this folder's"
    newest = max(range(len(runs)), key=lambda index: runs[index].info.start_time)
    return digests[newest], "the newest run's; no run has this folder's" if here else "the newest run's"


def _rows(store: Store, runs: "Sequence[Run]", part: str, metric: str, top: int | None) -> list[Row]:
    """Best first; equal values share a rank and stand in the order in which they were run."""
    sign = 1 if metric in LOWER_IS_BETTER else -1
    values = {run.info.run_id: run.data.metrics[f"{part}.{metric}"] for run in runs}
    ordered = sorted(runs, key=lambda run: (sign * values[run.info.run_id], run.info.start_time, run.info.run_id))
    ranks: dict[float, int] = {}
    for position, run in enumerate(ordered, start=1):
        ranks.setdefault(values[run.info.run_id], position)
    kept = ordered[:top]
    here = _key_here()
    return [
        Row(
            rank=ranks[values[run.info.run_id]],
            name=", ".join(filter(None, run.data.tags.get(NAMES, "").split(","))) or str(run.info.run_name),
            encoder=run.data.params.get("encoder.name", ""),
            head=run.data.params.get("head.type", ""),
            differs=differs,
            value=values[run.info.run_id],
            interval=_interval(store, run.info.run_id, part, metric),
            here=run.data.tags.get("derm.key") == here,
        )
        for run, differs in zip(kept, _differences(kept), strict=True)
    ]


def _differences(runs: "Sequence[Run]") -> list[list[str]]:
    """Params in which they differ; the commit too where no param tells two of them apart."""
    texts = differing([run.data.params for run in runs])
    looks = [
        (run.data.params.get("encoder.name"), run.data.params.get("head.type"), *text)
        for run, text in zip(runs, texts, strict=True)
    ]
    twice = Counter(looks)
    return [
        [*text, *_commit(run.data.tags)] if twice[look] > 1 else text
        for run, text, look in zip(runs, texts, looks, strict=True)
    ]


def _commit(tags: Mapping[str, str]) -> list[str]:
    commit = tags.get("git.commit", "")[:7]
    return [f"code={commit}{'+changes' if tags.get('git.dirty') == 'true' else ''}"] if commit else []


def _key_here() -> str | None:
    try:
        return read_state().key
    except UserError:
        return None


def _interval(store: Store, run_id: str, part: str, metric: str) -> tuple[float, float] | None:
    """The interval that `evaluate` wrote; None if the run has none."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            path = store.client.download_artifacts(run_id, INTERVALS, scratch)
        except Exception:  # each kind of artifact store says "no such file" in its own way
            check_answers(store)
            return None
        table = read_csv(Path(path), low=float, high=float)
    found = table[(table["part"] == part) & (table["metric"] == metric)]
    return (float(found["low"].iloc[0]), float(found["high"].iloc[0])) if len(found) else None
