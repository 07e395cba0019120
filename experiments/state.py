"""The state of the pipeline in the current folder: what defines it, and what its stages did.

Read from dvc.lock, params.yaml, metrics/ and the journal; nothing here writes, and nothing here knows MLflow.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from derm.errors import UserError
from derm.files import read_json
from derm.params import read_all

LOCK_FILE = Path("dvc.lock")
HEADLINE_STAGE = "evaluate"
TRACKING_STAGE = "track"

Event = dict[str, Any]


@dataclass(frozen=True)
class State:
    """One distinct result of the chain: all params, and the md5 of every output of every stage."""

    key: str
    params: dict[str, Any]
    outs: dict[str, dict[str, str]]
    """stage -> path -> md5, as dvc.lock has them; without the stage `track`, which has no results of its own."""


@dataclass(frozen=True)
class StageRow:
    """What became of one stage: ``seconds`` is None if DVC restored or skipped it."""

    stage: str
    digest: str
    seconds: float | None

    @property
    def how(self) -> str:
        """``ran`` in this very run, or ``restored``: unchanged since an earlier one, or fetched from DVC's cache."""
        return "restored" if self.seconds is None else "ran"


def read_state() -> State:
    """The state of the current folder. UserError if params.yaml or dvc.lock is missing or damaged."""
    params = read_all()
    try:
        outs = lock_outs(LOCK_FILE.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{LOCK_FILE} is missing: run `dvc repro`, which makes it") from None
    outs.pop(TRACKING_STAGE, None)
    return State(key=state_key(params, outs), params=params, outs=outs)


def lock_outs(lock: str) -> dict[str, dict[str, str]]:
    """The text of a dvc.lock -> for each stage its outputs' paths and md5. UserError if it is damaged.

    Code deps are left out on purpose: a changed comment is not a new result.
    """
    try:
        # Every value stays text, so no md5 is ever taken for a number; and a lock has a thousand lines, which
        # PyYAML's own parser reads in half a second, libyaml's in none.
        content = yaml.load(lock, getattr(yaml, "CBaseLoader", yaml.BaseLoader))  # noqa: S506 text only, no objects
        stages = content.get("stages") or {}
        return {
            stage: {out["path"]: out["md5"] for out in (facts.get("outs") or [])} for stage, facts in stages.items()
        }
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise UserError(
            f"{LOCK_FILE} is damaged ({type(error).__name__}): `git checkout {LOCK_FILE}`, then `dvc repro`"
        ) from None


def state_key(params: Mapping[str, Any], outs: Mapping[str, Mapping[str, str]]) -> str:
    """SHA-256 over all params and all outputs, 64 hex digits: equal results, equal key, on any machine."""
    # Not `canonical_json`: a param may be a date or infinity, which must still count here.
    text = json.dumps({"params": params, "outs": outs}, sort_keys=True, separators=(",", ":"), default=str)
    return sha256(text.encode()).hexdigest()


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings -> one level with dotted keys, as `dvc params` and `dvc metrics` name them.

    An empty mapping stays as a value of its own, so that a param which is ``{}`` is still seen.
    """
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def read_metrics(folder: Path = Path("metrics")) -> dict[str, float]:
    """Every number in metrics/*.json, by dotted name.

    Those of `evaluate`, the headline, keep their names (``val.macro_auc``); others get their stage in front
    (``split.images``). Texts, truth values and nulls are not metrics.
    """
    metrics: dict[str, float] = {}
    for path in sorted(folder.glob("*.json")):
        prefix = "" if path.stem == HEADLINE_STAGE else f"{path.stem}."
        for name, value in flatten(read_json(path), prefix).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                metrics[name] = float(value)
    return metrics


def events_of_this_run(events: Iterable[Event], folder: str, experiment: str) -> list[Event]:
    """What the journal holds of the run under way: everything of ``folder`` and ``experiment`` since the stage
    `track` last ended in that folder."""
    here = [event for event in events if event.get("folder") == folder]
    ends = [
        index
        for index, event in enumerate(here)
        if event.get("event") == "finished" and event.get("stage") == TRACKING_STAGE
    ]
    return [event for event in here[ends[-1] + 1 if ends else 0 :] if event.get("experiment", "") == experiment]


def stage_table(outs: Mapping[str, Mapping[str, str]], events: Iterable[Event]) -> list[StageRow]:
    """One row for each stage of the lock, in its order; ``events`` are those of this run."""
    seconds = {
        event.get("stage"): float(event.get("seconds", 0.0)) for event in events if event.get("event") == "finished"
    }
    return [StageRow(stage, outs_digest(files), seconds.get(stage)) for stage, files in outs.items()]


def outs_digest(files: Mapping[str, str]) -> str:
    """Twelve hex digits for all outputs of one stage together: equal features are seen at a glance."""
    return sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:12]
