"""How many states of the pipeline have been measured on one test part, as MLflow's runs tell it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from derm.files import write_bytes
from derm.report.scored import UNTOLD, with_number
from experiments.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run

NUMBER = "derm.scored"
"""A run's tag: as how many-th state it was scored on its test part; digits of one length, which MLflow can order."""
REPORTS = ("report/index.html", "report/model_card.md")


def search(store: Store, experiments: list[str], wanted: str, view: int) -> "Iterator[Run]":
    """All runs of these experiments that a filter fits, page by page."""
    token: str | None = None
    while True:
        page = store.client.search_runs(experiments, wanted, run_view_type=view, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def count_scored(store: Store, tag: str, digest: str) -> int:
    """States whose runs carry this tag of their test part, in all experiments, deleted ones too: who looked, looked."""
    from mlflow.entities import ViewType

    everywhere = [found.experiment_id for found in store.client.search_experiments(view_type=ViewType.ALL)]
    runs = search(store, everywhere, f"tags.`{tag}` = '{digest}'", ViewType.ALL)
    return len({run.data.tags["derm.key"] for run in runs})


def next_number(store: Store, tag: str, digest: str) -> str:
    """The number of a run that is being made, for its tag NUMBER.

    One more than the highest; counting reads every run whole, which takes seconds where there are hundreds. Two
    machines that deliver to one server in the same second may get one number; `count_scored` counts both.
    """
    from mlflow.entities import ViewType

    everywhere = [found.experiment_id for found in store.client.search_experiments(view_type=ViewType.ALL)]
    highest = store.client.search_runs(
        everywhere, f"tags.`{tag}` = '{digest}'", ViewType.ALL, max_results=1, order_by=[f"tags.`{NUMBER}` DESC"]
    )
    known = [run.data.tags[NUMBER] for run in highest if NUMBER in run.data.tags]
    number = int(known[0]) + 1 if known else count_scored(store, tag, digest)
    return f"{number:07d}"


def tell_scored(artifacts: Path, scored: int) -> None:
    """Put the number into the copies of the report below ``artifacts``, where they say that they do not know it."""
    for name in REPORTS:
        path = artifacts / name
        if path.is_file() and UNTOLD in (text := path.read_text(encoding="utf-8")):
            write_bytes(path, with_number(text, scored).encode())
