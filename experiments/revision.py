"""What git knows about the code of a run."""

import contextlib
import getpass
import os
import subprocess
from pathlib import Path

# What a run itself writes: in an experiment these differ from the commit without anybody having touched the code.
_WRITTEN_BY_RUNS = ("params.yaml", "dvc.lock", "metrics")


def tags() -> dict[str, str]:
    """MLflow tags: the commit that the run started from, whether files differed from it, and who ran it.

    The experiment's own commit does not exist yet while it runs. Outside git the first two are left out.
    """
    found = {"mlflow.source.name": "dvc.yaml", "mlflow.source.type": "PROJECT"}
    commit = os.environ.get("DVC_EXP_BASELINE_REV") or git("rev-parse", "HEAD")
    if commit:
        changed = git("status", "--porcelain", "--", ".", *(f":(exclude){path}" for path in _WRITTEN_BY_RUNS))
        found |= {
            "mlflow.source.git.commit": commit,
            "git.commit": commit,
            "git.dirty": "true" if changed else "false",
        }
    with contextlib.suppress(OSError, KeyError):  # in a container a user id may have no name
        found["mlflow.user"] = getpass.getuser()
    return found


def git(*arguments: str, folder: Path | None = None) -> str:
    """What ``git ...`` prints, without the last newline; empty if it fails or there is no git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.rstrip("\n") if done.returncode == 0 else ""
