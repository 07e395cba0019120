"""Where things that must outlive a run are kept: caches and journal, never a stage's output.

In ``dvc exp run --temp`` and ``--queue`` the current folder is a throw-away copy of the repository, and
``DVC_ROOT`` still names the repository itself; so everything here hangs on ``DVC_ROOT``.
"""

import os
from pathlib import Path


def repository_root() -> Path:
    """The repository that a run belongs to: ``$DVC_ROOT``, else the current folder."""
    return Path(os.environ.get("DVC_ROOT") or Path.cwd()).resolve()


def private_folder(name: str) -> Path:
    """``<repository>/.derm/<name>``, created; git-ignored, never read by DVC."""
    folder = repository_root() / ".derm" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
