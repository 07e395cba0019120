"""What runs now, what failed and what was killed, from the journal that every stage writes."""

import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich.table import Table
from rich.text import Text

from experiments.state import TRACKING_STAGE, Event

How = Literal["running", "between stages", "finished", "failed", "killed", "left off"]

BARS = "▁▂▃▄▅▆▇█"
PAUSE = 60.0
"""Seconds that DVC may take from one stage to the next; after that nothing runs any more."""
COLOURS: Mapping[How, str] = {
    "running": "bold green",
    "between stages": "green",
    "finished": "",
    "failed": "bold red",
    "killed": "bold magenta",
    "left off": "yellow",
}


@dataclass(frozen=True)
class Run:
    """One run of the chain, or of a part of it, in one folder.

    stage: the last that began. started, ended: seconds since 1970; ended is that of the last sign. why: of a failure.
    steps: rows of the learning curves, as far as the journal has them.
    """

    name: str
    how: How
    stage: str
    started: float
    ended: float
    why: str = ""
    steps: list[Event] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to come of it."""
        return self.how not in ("running", "between stages")


def runs_of(events: Iterable[Event], now: float) -> list[Run]:
    """All runs that the journal tells of, oldest first.

    A run is what happens in one folder under one experiment's name, from its first stage until `track` ends, until a
    stage fails, or until the same stage begins anew. Whether a process is still there can be seen on its own machine
    only; of another's, nothing is told as killed.
    """
    open_runs: dict[tuple[str, str], list[Event]] = {}
    runs: list[Run] = []
    for event in events:
        place = str(event.get("folder", "")), str(event.get("experiment", ""))
        given = open_runs.setdefault(place, [])
        if event.get("event") == "started" and given and _died(given[-1]):
            runs.append(_run(place[1], given, now))
            given.clear()
        given.append(event)
        over = event.get("event") == "failed" or (
            event.get("event") == "finished" and event.get("stage") == TRACKING_STAGE
        )
        if over:
            runs.append(_run(place[1], open_runs.pop(place), now))
    runs += [_run(place[1], given, now) for place, given in open_runs.items() if given]
    return sorted(runs, key=lambda run: run.started)


def table_of(runs: Sequence[Run], now: float) -> Table:
    """For a terminal: a row for each run, the newest last; columns of which no run has anything are left out."""
    rows = [_cells(run, now) for run in runs]
    table = Table(box=None, pad_edge=False, header_style="bold")
    titles = ("experiment", "state", "stage", "began", "took", "step", "val loss", "balanced acc.", "why")
    kept = [place for place, _ in enumerate(titles) if any(str(row[place]) for row in rows)]
    for place in kept:
        title = titles[place]
        table.add_column(title, no_wrap=title != "why", justify="right" if title in ("took", "step") else "left")
    for row in rows:
        table.add_row(*(row[place] for place in kept))
    return table


def _cells(run: Run, now: float) -> tuple[str | Text, ...]:
    losses, accuracies = (_values(run.steps, name) for name in ("val_loss", "val_balanced_accuracy"))
    today = time.localtime(run.started)[:3] == time.localtime(now)[:3]
    return (
        run.name or "workspace",
        Text(run.how, style=COLOURS[run.how]),
        run.stage,
        time.strftime("%H:%M:%S" if today else "%d %b %H:%M", time.localtime(run.started)),
        duration((run.ended if run.is_over else now) - run.started),
        str(run.steps[-1]["step"]) if run.steps else "",
        f"{losses[-1]:.3f} {spark(losses)}" if losses else "",
        f"{accuracies[-1]:.3f} {spark(accuracies)}" if accuracies else "",
        Text(run.why, style="red"),
    )


def spark(values: Sequence[float], width: int = 12) -> str:
    """A curve in one line of text, lowest to highest value; at most so many points, evenly drawn from all."""
    if len(values) > width:
        values = [values[round(place * (len(values) - 1) / (width - 1))] for place in range(width)]
    low, high = min(values), max(values)
    if high <= low:
        return BARS[0] * len(values)
    return "".join(BARS[round((value - low) / (high - low) * (len(BARS) - 1))] for value in values)


def duration(seconds: float) -> str:
    """As `7 s`, `3:05` or `2:03:05`."""
    whole = int(max(seconds, 0))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _run(name: str, events: Sequence[Event], now: float) -> Run:
    begun = [event for event in events if event.get("event") == "started"]
    last, newest = (begun or events)[-1], events[-1]
    ended = float(newest.get("time", 0.0))
    how: How
    if newest.get("event") == "failed":
        how = "failed"
    elif newest.get("event") == "finished":
        done = newest.get("stage") == TRACKING_STAGE
        how = "finished" if done else "between stages" if now - ended < PAUSE else "left off"
    else:
        how = "killed" if _died(newest) else "running"
    steps = [event for event in events if event.get("event") == "step" and event.get("stage") == last.get("stage")]
    why = str(newest.get("reason", "")) if how == "failed" else ""
    return Run(name, how, str(last.get("stage", "")), float(events[0].get("time", 0.0)), ended, why, steps)


def _died(event: Event) -> bool:
    """Whether the process that noted this, and did not say that it ended, is gone; False if that cannot be seen."""
    if event.get("event") not in ("started", "step"):
        return False
    if event.get("host", platform.node()) != platform.node():
        return False
    try:
        os.kill(int(event.get("process", 0)), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, ValueError):
        return False
    return False


def _values(steps: Iterable[Event], name: str) -> list[float]:
    return [float(step[name]) for step in steps if isinstance(step.get(name), int | float)]
