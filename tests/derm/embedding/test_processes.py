"""Killed, side by side, and with many images: what only a real process can show."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.closure import ROOT
from tests.derm.embedding.fake import Fake, embed, write_images
from tests.derm.embedding.processes import KILLS


def run_process(what: str, folder: Path) -> str:
    environment = os.environ | {"DVC_ROOT": str(folder), "DERM_WORKERS": "2"}
    command = [sys.executable, "-m", "tests.derm.embedding.processes", what, str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def in_another_cache(workspace: Path, monkeypatch: pytest.MonkeyPatch, images: tuple[list[str], list[str]]) -> bytes:
    """Undisturbed, with nothing cached."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("DVC_ROOT", str(workspace / "undisturbed"))
        (workspace / "undisturbed").mkdir()
        done = embed(Fake(), images)
        assert done.computed == len(images[0])
        return done.features.tobytes()


def test_killed_at_ten_moments_nothing_is_lost_but_what_was_in_flight(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = write_images(workspace / "images", 4000)
    run_process("kill", workspace)
    cache = Fake().job().cache("identity")
    held = cache.held()
    safe = set((workspace / "kept").read_text().split())
    computed = (workspace / "computed").read_text().split()
    assert 10 * 8 < len(safe) < 4000, "killed before the first, or after the last"
    # What `write` said was safe is there; what it was writing may be; never more than one batch a kill.
    assert safe <= held
    assert len(set(computed) - held) <= KILLS * 8
    assert len(computed) - len(safe) <= KILLS * 8
    undisturbed = in_another_cache(workspace, monkeypatch, images)
    expected = dict(zip(images[1], np.frombuffer(undisturbed, np.float16).reshape(4000, 5), strict=True))
    for entry in cache.read():
        for digest, vector in zip(entry.digests, entry.pooled, strict=True):
            assert vector.tobytes() == expected[digest].tobytes()
    resumed = Fake()
    done = embed(resumed, images)
    assert done.computed == len(resumed.transformed) == 4000 - len(held)
    assert done.features.tobytes() == undisturbed


def test_two_processes_share_one_cache(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = write_images(workspace / "images", 400)
    assert "nothing to embed" not in run_process("two", workspace)
    after = embed(Fake(), images)
    assert after.computed == 0
    assert after.features.tobytes() == in_another_cache(workspace, monkeypatch, images)
    assert not list(workspace.rglob("*.tmp"))


def test_memory_does_not_grow_with_the_number_of_images(workspace: Path) -> None:
    """9,000 images of 64 by 64 would be 111 MB, and as tensors another 7."""
    write_images(workspace / "images", 10_000, side=64)
    few, many = (float(line.split()[1]) for line in run_process("memory", workspace).splitlines() if "peak" in line)
    assert many - few < 25, (few, many)
