"""Experiments that stand in DVC's queue, run to their end."""

import time

from experiments.commands import dvc, dvc_quietly

# A worker that is busy may answer late.
ASKED = 3


def run_queued(names: list[str]) -> None:
    """Run these queued experiments one after another, with their output on this console.

    A worker that is gone is replaced: `dvc exp run --run-all` starts one and then waits for ever if it is killed, or
    meets the order to stop that was meant for an earlier one.
    """
    for name in names:
        while _status(name) == "Queued":
            dvc_quietly("queue", "start")
            time.sleep(1)
        dvc("queue", "logs", "--follow", name)
        while _status(name) == "Running":
            time.sleep(1)


def _status(name: str) -> str | None:
    """DVC's word for it: Queued, Running, Success, Failed; None if it is not there."""
    from dvc.repo import Repo

    for _ in range(ASKED):
        with Repo() as repo:
            found = [task["status"] for task in repo.experiments.celery_queue.status() if task["name"] == name]
        if found:
            return found[0]
        time.sleep(1)
    return None
