"""How long `prepare` takes, with and without the search for near-identical images, and how that search grows.

    python -m benchmarks.prepare --root data/raw/ham10000

The growth is measured on synthetic hashes: random ones, one in ten of them a near copy of another. Prints one JSON
object.
"""

import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import yaml

from benchmarks.machine import machine
from derm.image_table import read_images
from derm.near_duplicates import candidate_pairs, near_identical

COUNTS = (6_250, 12_500, 25_000, 50_000, 100_000)
REPOSITORY = Path(__file__).resolve().parents[1]


def main(
    root: Annotated[str, typer.Option(help="A dataset's folder.")],
    source: Annotated[str, typer.Option(help="As data.source in params.yaml.")] = "ham10000",
    turns: Annotated[int, typer.Option(help="How often each count of hashes is searched; the quickest counts.")] = 3,
) -> None:
    """Measure `prepare` on a dataset, and the search for near-identical images up to 100,000."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        params = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
        params["data"] |= {"root": str(Path(root).resolve()), "source": source}
        (workspace / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        environment = {"PYTHONPATH": str(REPOSITORY), "DVC_ROOT": folder}
        started = time.monotonic()
        command = [sys.executable, "-m", "stages.prepare"]
        subprocess.run(command, cwd=workspace, env=environment, check=True, stdout=sys.stderr)
        seconds = time.monotonic() - started
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        images = read_images(workspace / "data/prepared/images.csv")
        started = time.monotonic()
        pairs = len(near_identical(images))
        search = time.monotonic() - started
    growth = {count: min(_seconds(_hashes(count)) for _ in range(turns)) for count in COUNTS}
    # The slope in double-logarithmic axes: 1 grows as the images do, 2 as their square.
    exponent = math.log(growth[COUNTS[-1]] / growth[COUNTS[0]]) / math.log(COUNTS[-1] / COUNTS[0])
    result = {
        "images": len(images),
        "seconds": round(seconds, 1),
        "peak_memory_mb": round(peak / 1024),
        "near_identical_pairs": pairs,
        "near_identical_seconds": round(search, 2),
        "search_seconds_by_count": {str(count): round(value, 3) for count, value in growth.items()},
        "search_exponent": round(exponent, 2),
        "machine": machine(),
    }
    print(json.dumps(result, indent=2))


def _hashes(count: int) -> list[str]:
    """Random hashes of 256 bits, one in ten of them another one with eight bits changed."""
    generator = np.random.default_rng(count)
    rows = generator.integers(0, 256, (count, 32), dtype=np.uint8)
    copies = generator.choice(count, count // 10, replace=False)
    rows[copies] = rows[generator.integers(0, count, len(copies))]
    for _ in range(8):
        rows[copies, generator.integers(0, 32, len(copies))] ^= np.uint8(1) << generator.integers(
            0, 8, len(copies), dtype=np.uint8
        )
    return [row.tobytes().hex() for row in rows]


def _seconds(hashes: list[str]) -> float:
    started = time.process_time()
    candidate_pairs(hashes)
    return time.process_time() - started


if __name__ == "__main__":
    typer.run(main)
