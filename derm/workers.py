"""How many threads decode images: a matter of speed, so environment and not params."""

import os

from derm.errors import UserError


def worker_count() -> int:
    """``$DERM_WORKERS``, else one per core up to 8. UserError if it is not a positive whole number."""
    given = os.environ.get("DERM_WORKERS")
    if given is None:
        return min(8, os.cpu_count() or 1)
    if not given.isdecimal() or int(given) < 1:
        raise UserError(f"DERM_WORKERS is {given!r}, expected a whole number from 1")
    return int(given)
