"""Running DVC as the program that it is, so that a user sees its own output and messages."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def environment() -> dict[str, str]:
    """This process's environment for a program that belongs to another run or another repository.

    ``python`` in a stage's command is then the one that runs now. What DVC and MLflow tell the stages of one run
    (above all DVC_ROOT, which DVC passes on if it is set) is left out; so is the key of somebody's present run.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
    kept.pop("MLFLOW_RUN_ID", None)
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    kept["DVC_NO_ANALYTICS"] = "1"
    return kept


def dvc(*arguments: str, folder: Path | None = None) -> int:
    """``dvc <arguments>`` on this console; returns its exit code."""
    return subprocess.run(_dvc(arguments), cwd=folder, env=environment(), check=False).returncode


def dvc_quietly(*arguments: str) -> bool:
    """``dvc <arguments>`` without a word; whether it succeeded."""
    done = subprocess.run(_dvc(arguments), env=environment(), capture_output=True, check=False)
    return done.returncode == 0


def logged(command: list[str], folder: Path, log: Path, watch: Callable[[str], None]) -> int:
    """A program whose output goes to the end of ``log``; ``watch`` sees each line. Returns its exit code."""
    with log.open("a", encoding="utf-8") as stream:
        stream.write(f"$ {' '.join(command)}\n")
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                stream.write(line)
                watch(line)
            return process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()


def dvc_logged(*arguments: str, folder: Path, log: Path, watch: Callable[[str], None]) -> int:
    """``dvc <arguments>`` as `logged` runs it."""
    return logged(_dvc(arguments), folder, log, watch)


def _dvc(arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "dvc", *arguments]
