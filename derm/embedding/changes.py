"""Before anything is computed: what changed since it was last, how many images, and how long it will take."""

import re
from collections.abc import Collection
from typing import Any

from derm import journal
from derm.embedding.cache import Stored, held_in, stored_keys
from derm.embedding.job import Job
from derm.files import canonical_json

# A run of fewer embeddings is mostly start, and no measure of speed.
LEAST_TIMED = 64
_DIGEST = re.compile(r"[0-9a-f]{32,}")
_SHOWN = 4
UNKNOWN_TIME = "; how long it takes shows after the first batches"


def speed_facts(job: Job) -> dict[str, Any]:
    """What the speed depends on, as it stands in the journal's `embedded` events."""
    manifest = job.encoder.manifest
    transform = manifest.get("transform")
    return {
        "encoder": job.name,
        "device": str(job.device),
        "precision": manifest.get("precision", ""),
        "size": transform.get("size") if isinstance(transform, dict) else None,
        "compile": job.compiled,
    }


def known_rate(job: Job) -> float | None:
    """Embeddings a second in the last run of this encoder on this kind of device; None if there was none."""
    facts = speed_facts(job)
    for event in reversed(journal.read()):
        if event.get("event") != "embedded" or {key: event.get(key) for key in facts} != facts:
            continue
        if event.get("computed", 0) >= LEAST_TIMED and event.get("seconds", 0) > 0:
            return event["computed"] / event["seconds"]
    return None


def describe(job: Job, digests: Collection[str], lacking: dict[str, set[str]], rate: float | None) -> str:
    """One line: how many images the encoder has to see, why, and how long that takes if the rate is known.

    digests: all images that are asked for; lacking: as `derm.embedding.job.lacking` gives it.
    """
    todo, images = sum(map(len, lacking.values())), len(set().union(*lacking.values()))
    if not todo:
        views = f" in {len(job.views)} views" if len(job.views) > 1 else ""
        return f"{job.name}: nothing to embed, {len(set(digests)):,} images{views} are in the cache"
    what = f"{images:,} image{'s' * (images != 1)}"
    if len(job.views) > 1:
        what = f"{todo:,} views of {what}"
    keys = stored_keys()
    whys = dict.fromkeys(_reason(job, view, set(digests), absent, keys) for view, absent in lacking.items() if absent)
    time = f", about {told_duration(todo / rate)}" if rate else UNKNOWN_TIME
    return f"{job.name}: {what} to embed ({'; '.join(whys)}){time}"


def told_duration(seconds: float) -> str:
    """In seconds, minutes or hours, as a person says it."""
    if seconds < 120:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def _reason(job: Job, view: str, digests: set[str], absent: set[str], keys: list[Stored]) -> str:
    present = len(digests) - len(absent)
    if present:
        return f"new; {present:,} are in the cache"
    folder = job.cache(view).folder
    of_encoder = [stored for stored in keys if stored.content["encoder"]["encoder"] == job.name]
    if any(stored.folder == folder for stored in of_encoder):
        return "new images"
    if not of_encoder:
        return "this encoder has not run here yet"
    of_view = [stored for stored in of_encoder if stored.content["view"] == view]
    if not of_view:
        return f"view {view} is new"
    # What most of these images were last embedded with.
    nearest = max(of_view, key=lambda stored: (len(held_in(stored.folder) & digests), stored.last_used))
    differing = _differences(nearest.content, job.cache(view).key.content())
    more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    return ", ".join(differing[:_SHOWN]) + more


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    before, now = _flat(old), _flat(new)
    told = []
    for key in sorted({*before, *now}, key=lambda key: (key in ("code", "view_code"), key)):
        was, is_now = before.get(key), now.get(key)
        # What is switched on has code of its own, which is no news beside the switch.
        if was == is_now or (was is None and key.endswith("_code")):
            continue
        long = any(isinstance(value, str) and _DIGEST.fullmatch(value) for value in (was, is_now))
        told.append(f"{key} changed" if long else f"{key} was {_told(was)}, is {_told(is_now)}")
    return told


def _flat(content: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Nested keys as one, without the `encoder.` that nearly all would begin with."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, "" if (above, key) == ("", "encoder") else f"{above}{key}.")
        else:
            flat[f"{above}{key}"] = value
    return flat


def _told(value: Any) -> str:
    if value is None:
        return "not set"
    return value if isinstance(value, str) and value else canonical_json(value)
