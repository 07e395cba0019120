"""Who runs the workers: this process alone, or others too. A matter of speed, so environment and not params."""

import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec

from derm.embedding.job import Item, Job
from derm.embedding.loop import Phases, Receive, embed_partition
from derm.errors import UserError

# Computes what the cache lacks of the items. What it does not hand to `receive` must be in the cache when it returns.
Engine = Callable[[Job, Sequence[Item], Receive], Phases]


def choose_engine() -> Engine:
    """``$DERM_ENGINE``: local, the default, or ray. UserError for another, and where Ray is not installed."""
    name = os.environ.get("DERM_ENGINE", "local")
    if name == "local":
        return embed_locally
    if name == "ray":
        if find_spec("ray") is None:
            raise UserError("DERM_ENGINE is ray, but Ray is not installed: pip install -r requirements-ray.txt")
        from derm.embedding.ray_engine import embed_on_ray

        return embed_on_ray
    raise UserError(f"DERM_ENGINE is {name!r}, expected local or ray")


def embed_locally(job: Job, items: Sequence[Item], receive: Receive) -> Phases:
    """All of it in this process."""
    return embed_partition(job, items, 0, 1, receive)


def asked_partition() -> tuple[int, int] | None:
    """``$DERM_PARTITION``, such as 2/16 for the second of sixteen: (1, 16), counted from 0; None if it is not set.

    UserError for anything else.
    """
    given = os.environ.get("DERM_PARTITION")
    if not given:
        return None
    first, _, last = given.partition("/")
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise UserError(f"DERM_PARTITION is {given!r}, expected such as 2/16, for the second of 16 parts")
    return int(first) - 1, int(last)
