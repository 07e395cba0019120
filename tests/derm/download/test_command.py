"""`python -m derm download` as a user calls it: exit codes, and one line for whatever goes wrong."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from derm.sources.ham10000 import read
from tests.closure import ROOT
from tests.derm.download.server import Dataverse

PART_1 = "HAM10000_images_part_1.zip"


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "derm", "download", *map(str, words)]


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def one_error(done: subprocess.CompletedProcess[str]) -> str:
    """The only line on stderr of a command that failed."""
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def test_terms_then_download_then_nothing_to_do(server: Dataverse, tmp_path: Path) -> None:
    words = ("ham10000", "--out", tmp_path / "ham", "--server", server.address, "--with-masks", "--official-test")
    refused = run(*words)
    assert "--accept-terms" in one_error(refused) and "CC BY-NC 4.0" in refused.stdout
    assert server.requests == []
    done = run(*words, "--accept-terms")
    assert (done.returncode, done.stderr) == (0, "")
    assert (read(tmp_path / "ham").images["path"] != "").all()
    asked = len(server.requests)
    assert run(*words).returncode == 0 and len(server.requests) == asked


def test_killed_in_mid_transfer_the_same_command_ends_it(server: Dataverse, tmp_path: Path) -> None:
    stored = server.file(PART_1)
    stored.stalls_at = 4097
    words = ("ham10000", "--out", tmp_path / "ham", "--server", server.address, "--accept-terms")
    part = tmp_path / f"ham.download/{PART_1}.part"
    with subprocess.Popen(command(*words), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 30
        while not (part.exists() and part.stat().st_size == 4097):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    server.go_on.set()
    stored.stalls_at = None
    done = run(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert [request.range for request in server.asked(PART_1)] == [None, "bytes=4097-"]
    assert server.asked(PART_1)[1].sent == len(stored.content) - 4097
    assert len(read(tmp_path / "ham").images) == 7 and not (tmp_path / "ham.download").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["isic2019"], "ham10000; ISIC archives are fetched by hand from https://challenge.isic-archive.com/data"),
        (["ham10000", "--from", "kaggle", "--with-masks"], "--from kaggle does not go with --with-masks"),
        (["ham10000", "--from", "kaggle", "--official-test", "--server", "x"], "with --official-test, --server"),
        (["ham10000", "--server", "http://127.0.0.1:9"], "http://127.0.0.1:9 cannot be reached"),
    ],
)
def test_a_users_mistake_is_one_line(tmp_path: Path, words: list[str], told: str) -> None:
    assert told in one_error(run(*words, "--out", tmp_path / "ham"))
    assert list(tmp_path.iterdir()) == []


def test_wrong_bytes_are_one_line(server: Dataverse, tmp_path: Path) -> None:
    server.file(PART_1).listed_digest = "0" * 32
    done = run("ham10000", "--out", tmp_path / "ham", "--server", server.address, "--accept-terms")
    assert f"error: {PART_1}: its digest is not the listed one" in one_error(done)
