"""What an experiment costs: seconds for each stage of `dvc exp run -S loss.gamma=2` with cached features.

    python -m benchmarks.experiment

Runs in the repository it is started from, on whatever data params.yaml names there, after `dvc repro`. The value of
gamma is one that was not run before, so that nothing is restored; it stays in params.yaml, as with any `dvc exp run`
(`git checkout params.yaml dvc.lock metrics && dvc checkout` takes you back). Prints one JSON object.
"""

import json
import random
import subprocess
import sys
import time
from typing import Annotated

import typer

from benchmarks.machine import machine
from derm import journal
from derm.image_table import read_images


def main(
    setting: Annotated[
        str, typer.Option(help="What to change; by default loss.gamma, to 2 and a little, never run before.")
    ] = "",
) -> None:
    """Time one experiment, stage by stage."""
    chosen = setting or f"loss.gamma={2 + random.randint(1, 10**6) / 1e9:.9f}"
    before = len(journal.read())
    began, started = time.time(), time.perf_counter()
    command = [sys.executable, "-m", "dvc", "exp", "run", "-S", chosen]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"dvc exp run failed:\n{done.stdout}{done.stderr}")
    finished = [event for event in journal.read()[before:] if event["event"] == "finished"]
    up_to_metrics = [event["time"] - began for event in finished if event["stage"] == "evaluate"]
    result = {
        "machine": machine(),
        "images": len(read_images()),
        "setting": chosen,
        "seconds": round(seconds, 1),
        "seconds_up_to_metrics": round(up_to_metrics[0], 1) if up_to_metrics else None,
        "stages": {event["stage"]: round(event["seconds"], 1) for event in finished},
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    typer.run(main)
