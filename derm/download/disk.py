"""Room on the disk: asked for before it is needed, and told in one line when it runs out."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from derm.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)


def as_size(count: float) -> str:
    """A number of bytes as people read it: `1.5 GB`, and `0.3 MB` where GB would say nothing."""
    return f"{count / 1e9:.1f} GB" if count >= 5e7 else f"{count / 1e6:.1f} MB"


def check_free(folder: Path, needed: float, purpose: str) -> None:
    """UserError, with what is needed and what is free, if `needed` bytes do not fit where `folder` is or will be."""
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise UserError(
            f"{folder}: {purpose} needs {as_size(needed)} and {as_size(free)} are free there: "
            "make room, or set --out to a folder on another disk"
        )


@contextmanager
def disk_trouble(folder: Path) -> Iterator[None]:
    """What the disk refuses under `folder` (full, read-only, not permitted) becomes one UserError."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # not the disk's: the errors of requests are OSErrors too
            raise
        if error.errno in FULL:
            raise UserError(
                f"{folder}: the disk is full; what has arrived is kept: make room, and run the same command again"
            ) from None
        raise UserError(f"{error.filename or folder}: {error.strerror or error}") from None
