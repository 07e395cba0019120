"""The files of a folder: the one walk that all readers and digests share."""

import os
from pathlib import Path

from derm.errors import UserError


def files_below(folder: Path) -> list[str]:
    """All files at any depth, relative to `folder` and sorted; linked folders are followed, what is hidden is passed
    over.

    UserError if a folder cannot be read: its files must not vanish in silence.
    """
    found, visited = [], set()
    for here, folders, names in os.walk(folder, onerror=refuse_unreadable, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        real = os.path.realpath(here)
        if real in visited:  # a link back up would never end
            folders.clear()
            continue
        visited.add(real)
        inside = Path(here).relative_to(folder).as_posix()
        found += [name if inside == "." else f"{inside}/{name}" for name in names if not name.startswith(".")]
    return sorted(found)


def refuse_unreadable(error: OSError) -> None:
    """UserError that names the file or folder that could not be looked into."""
    raise UserError(f"{error.filename} cannot be read ({error.strerror}): check its access rights") from None
