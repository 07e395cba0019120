"""What happened and when: one line of JSON for each event, outside everything that DVC tracks.

Times, durations, hosts and speeds would make two equal runs differ, so they live here and in MLflow only.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from derm.workspace import private_folder


def journal_file() -> Path:
    """``<repository>/.derm/journal/journal.jsonl``, shared by every copy of the repository that DVC makes."""
    return private_folder("journal") / "journal.jsonl"


def note(event: str, **facts: Any) -> None:
    """Append one event. One write call, so that two runs side by side never mix their lines."""
    line = {
        "event": event,
        "time": time.time(),
        "stage": os.environ.get("DVC_STAGE", ""),
        "experiment": os.environ.get("DVC_EXP_NAME", ""),
        "folder": str(Path.cwd()),
        "process": os.getpid(),
        **facts,
    }
    with journal_file().open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line, sort_keys=True) + "\n")


def step_noted(seconds: float = 0.5) -> Callable[[dict[str, Any]], None]:
    """A watcher of learning curves: notes the first row and then the newest, at most one in so many seconds."""
    last = -float("inf")

    def watch(row: dict[str, Any]) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= seconds:
            last = now
            note("step", **row)

    return watch


def read() -> list[dict[str, Any]]:
    """All events, oldest first; a line cut short by a crash is passed over."""
    path = journal_file()
    if not path.exists():
        return []
    events = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events
