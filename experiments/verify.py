"""Does HEAD say what its code computes? Recompute it from nothing and compare."""

import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from derm.errors import UserError
from derm.workspace import private_folder, repository_root
from experiments.commands import dvc_logged, logged
from experiments.revision import git
from experiments.state import LOCK_FILE, TRACKING_STAGE, lock_outs, read_metrics

TOLERANCE = 1e-3
"""Absolute: what another processor or library build may move a metric by without anybody's conclusion changing."""
NO_RESULTS = {"adapt.steps", "adapt.best_step", "train_head.steps", "train_head.best_step", "package.bytes"}
SAME_BYTES = "same bytes"
SAME_NUMBERS = "same numbers"
DIFFERENT = "different numbers"

Outs = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Verdict:
    """SAME_BYTES, SAME_NUMBERS or DIFFERENT, and one line for each out or metric that is not equal."""

    level: str
    details: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The verdict in words; what `details` are about."""
        if self.level == SAME_NUMBERS:
            return f"{self.level} (within {TOLERANCE}); outputs that differ:"
        return f"{self.level}:" if self.details else self.level


def compare(
    expected: Outs, found: Outs, expected_metrics: Mapping[str, float], found_metrics: Mapping[str, float]
) -> Verdict:
    """Compare two states: outs as `lock_outs` gives them (the stage `track` does not count), metrics as
    `read_metrics` does. Metrics count only where outs differ; one that only one side has is a difference. How many
    steps an optimiser took and how many bytes a file has are no results: another processor may change them.
    """
    before, after = _flat(expected), _flat(found)
    outs = [
        f"{path}: {before.get(path, 'absent')} -> {after.get(path, 'absent')}"
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    ]
    if not outs:
        return Verdict(SAME_BYTES)
    metrics = [
        f"{name}: {_shown(expected_metrics.get(name))} -> {_shown(found_metrics.get(name))}"
        for name in sorted({*expected_metrics, *found_metrics} - NO_RESULTS)
        if not _close(expected_metrics.get(name), found_metrics.get(name))
    ]
    return Verdict(DIFFERENT, metrics) if metrics else Verdict(SAME_NUMBERS, outs)


def verify(say: Callable[[str], None]) -> Verdict:
    """Recompute HEAD in an empty clone, without run-cache and without stored embeddings, and compare it.

    ``say`` is told what is going on. UserError if HEAD has no dvc.lock, or if it cannot be recomputed.
    """
    root = repository_root()
    commit = git("rev-parse", "HEAD", folder=root)
    lock = git("show", f"HEAD:{LOCK_FILE}", folder=root) if commit else ""
    if not lock:
        raise UserError(f"HEAD has no {LOCK_FILE}: `dvc repro`, then commit what it wrote")
    if git("status", "--porcelain", "--untracked-files=no", folder=root):
        say("note: changes that are not committed are left out")
    log = private_folder("verify") / "verify.log"
    log.write_text("", encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="verify-") as scratch:
        clone = Path(scratch) / "clone"
        say(f"recomputing {commit[:7]} in an empty clone; log: {log}")
        _clone(root, commit, clone, log)
        expected = lock_outs(lock)
        expected_metrics = read_metrics(clone / "metrics")
        _recompute(clone, log, say)
        found = lock_outs((clone / LOCK_FILE).read_text(encoding="utf-8"))
        return compare(expected, found, expected_metrics, read_metrics(clone / "metrics"))


def _clone(root: Path, commit: str, clone: Path, log: Path) -> None:
    from dvc.repo import Repo

    with Repo(str(root)) as repository:
        cache = repository.cache.local_cache_dir

    def git_logged(*arguments: str) -> None:
        if logged(["git", *arguments], root, log, _nothing):
            raise UserError(f"HEAD could not be cloned: see {log}")

    git_logged("clone", "--quiet", "--no-checkout", str(root), str(clone))
    git_logged("-C", str(clone), "checkout", "--quiet", "--detach", commit)
    # The cache is shared for the sake of the images that came by `dvc add`; no result is taken from it.
    if dvc_logged("cache", "dir", "--local", str(cache), folder=clone, log=log, watch=_nothing):
        raise UserError(f"the clone could not be given this repository's cache: see {log}")


def _recompute(clone: Path, log: Path, say: Callable[[str], None]) -> None:
    added = git("ls-files", "*.dvc", folder=clone).splitlines()
    if added and dvc_logged("checkout", *added, folder=clone, log=log, watch=_nothing):
        raise UserError(f"data added with `dvc add` is not in this repository's cache: `dvc pull`, or see {log}")
    # Without the lock and the metrics, whatever is there afterwards was computed here.
    (clone / LOCK_FILE).unlink()
    shutil.rmtree(clone / "metrics", ignore_errors=True)

    def watch(line: str) -> None:
        if stage := re.match(r"Running stage '(.+)':", line):
            say(f"  {stage[1]}")

    if dvc_logged("repro", "--force", "--no-run-cache", "report", folder=clone, log=log, watch=watch):
        raise UserError(f"HEAD could not be recomputed: see {log}")


def _nothing(_line: str) -> None:
    pass


def _flat(outs: Outs) -> dict[str, str]:
    return {path: md5 for stage, files in outs.items() if stage != TRACKING_STAGE for path, md5 in files.items()}


def _close(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and abs(one - other) <= TOLERANCE


def _shown(value: float | None) -> str:
    return "absent" if value is None else f"{value:.6g}"
