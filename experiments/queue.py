"""DVC's queue of experiments worked off to its end, whatever is killed on the way.

DVC's worker takes an experiment's message out of the queue when it starts it. Killed, it leaves the experiment listed
as running for ever, and no later worker looks at it again (dvc 3.67). Here such a message is put back where it was, so
the same experiment runs under the same name; one that had finished is left as it is.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from derm.errors import UserError
from experiments.commands import environment

if TYPE_CHECKING:
    from dvc.repo import Repo

BY_SIGNAL = re.compile(r"exited with (-\d+|137|143)\b")
"""What DVC says of a stage that was killed; the shell's own numbers are 128 more than the signal's."""
READS = 5
"""So often, half a second apart, a note of DVC's is read that may be half written."""
SILENT_SECONDS = 15.0
"""Without a worker for so long while experiments wait: another one is started. DVC's own waits ten for more to do."""


@dataclass(frozen=True)
class Standing:
    """Names of the experiments in the queue, in its order."""

    waiting: list[str]
    running: list[str]
    failed: list[str]
    succeeded: list[str]

    @property
    def total(self) -> int:
        """How many there are."""
        return len(self.waiting) + len(self.running) + len(self.failed) + len(self.succeeded)

    @property
    def is_over(self) -> bool:
        """Whether none waits or runs."""
        return not self.waiting and not self.running


def open_repository() -> "Repo":
    """The DVC repository of the current folder. UserError if there is none."""
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    try:
        return Repo()
    except NotDvcRepoError:
        raise UserError("no DVC repository here: run this in the folder of dvc.yaml") from None


def standing(repository: "Repo") -> Standing:
    """As `dvc queue status` has it; one listed as running need not be.

    UserError if what DVC has noted of an experiment is damaged, and stays so: its files are not written in one go.
    """
    from dvc.utils.serialize import ParseError

    for _ in range(READS - 1):
        try:
            return _standing(repository)
        except ParseError:
            time.sleep(0.5)
    try:
        return _standing(repository)
    except ParseError as error:
        raise UserError(f"DVC's note of an experiment is damaged ({error}): delete it, and start again") from None


def _standing(repository: "Repo") -> Standing:
    queue = repository.experiments.celery_queue
    return Standing(
        waiting=[_name(entry) for entry in queue.iter_queued()],
        running=[_name(entry) for entry in queue.iter_active()],
        failed=[_name(entry) for entry, _ in queue.iter_failed()],
        succeeded=[_name(entry) for entry, _ in queue.iter_success()],
    )


def put_back(repository: "Repo") -> list[str]:
    """Queue again what was killed; returns the names. What a worker that is there has in hand is left to it.

    Killed are those that a worker which is gone had in hand, and those whose process or stage ended by a signal: not
    by an error of its own, so that it may well succeed now.
    """
    queue = repository.experiments.celery_queue
    in_hand = [] if has_worker(repository) else queue._iter_active_tasks()
    lost = {result.id: (result, entry) for result, entry in in_hand}
    for result, entry in queue._iter_done_tasks():
        if _was_killed(queue.proc.get(entry.stash_rev)):
            lost[result.id] = result, entry
    finished = {name for names in repository.experiments.ls(all_commits=True).values() for name, _ in names}
    broker, names = Path(queue.wdir) / "broker", []
    for path in sorted((broker / "processed").glob("*.celery.msg")):
        identity = json.loads(path.read_text(encoding="utf-8")).get("headers", {}).get("id")
        if identity not in lost or lost[identity][1].name in finished:
            continue
        result, entry = lost[identity]
        process = queue.proc.get(entry.stash_rev)
        if process is not None and process.returncode is None and _is_alive(process.pid):
            queue.proc.kill(entry.stash_rev, group=True)  # it computes for nobody
        _remove_copy(repository, entry.stash_rev)
        _stash_again(queue, entry)
        if result.ready():
            result.forget()
        path.replace(broker / "in" / path.name)
        names.append(_name(entry))
    return names


def has_worker(repository: "Repo") -> bool:
    """Whether a worker's process is alive."""
    for path in Path(repository.experiments.celery_queue.wdir).glob("dvc-exp-worker-*.json"):
        if _is_alive(json.loads(path.read_text(encoding="utf-8"))["pid"]):
            return True
    return False


def start_worker() -> None:
    """One, which goes on when this process ends. It has none of our output, or a pipe behind us would wait for it."""
    subprocess.run(
        [sys.executable, "-m", "dvc", "queue", "start"],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )


def work_off(
    repository: "Repo", say: Callable[[str], None], progress: Callable[[Standing], None], poll: float = 2.0
) -> Standing:
    """Run all that waits, with one worker, until nothing waits or runs; returns where everything stands then.

    progress: is told each time that the queue is looked at. A worker that ends or is killed while experiments wait is
    replaced, and what it had in hand is queued again; so is what `put_back` finds, where it is called before.
    """
    since = -float("inf")
    while not (now := standing(repository)).is_over:
        progress(now)
        if has_worker(repository):
            since = time.monotonic()
        elif time.monotonic() - since > SILENT_SECONDS:
            if names := put_back(repository):
                say(f"the worker has gone and had {', '.join(names)} in hand: queued again")
            start_worker()
            since = time.monotonic()
        time.sleep(poll)
    progress(now)
    return now


def _was_killed(process: Any) -> bool:
    """process: what DVC has noted of an experiment that is over. Of a stage's end only its log tells."""
    if process is None or not process.returncode:
        return False
    log = Path(process.stdout or "")
    return process.returncode < 0 or (log.is_file() and bool(BY_SIGNAL.search(log.read_text("utf-8", "replace"))))


def _name(entry: Any) -> str:
    return str(entry.name or entry.stash_rev[:7])


def _stash_again(queue: Any, entry: Any) -> None:
    """The entry as it was stashed when it was queued: who starts an experiment takes it from there, with its baseline
    and its name, and would else make it up."""
    failed = queue.failed_stash.stash_revs.get(entry.stash_rev)
    if failed is not None:
        queue.failed_stash.drop(failed.stash_index)
    if entry.stash_rev not in queue.stash.stash_revs:
        message = queue.stash.format_message(
            entry.head_rev, baseline_rev=entry.baseline_rev, name=entry.name, branch=entry.branch
        )
        queue.scm.set_ref(queue.stash.ref, entry.stash_rev, message=f"commit: {message}")


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # A child that was killed and that nobody has waited for is no worker any more.
    state = Path(f"/proc/{process}/stat")
    return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def _remove_copy(repository: "Repo", stash_rev: str) -> None:
    """The folder that the killed run worked in, and DVC's note of it: half written, it would fail the next run too."""
    note = Path(repository.experiments.celery_queue.get_infofile_path(stash_rev))
    try:
        folder = json.loads(note.read_text(encoding="utf-8"))["root_dir"]
    except (OSError, KeyError, ValueError):
        folder = None
    note.unlink(missing_ok=True)
    if folder and repository.tmp_dir and Path(folder).is_relative_to(repository.tmp_dir):
        shutil.rmtree(folder, ignore_errors=True)
