"""What many tests share."""

from pathlib import Path

import pytest

import derm  # noqa: F401  (its settings have to stand before numpy is loaded)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder that is also the repository root of caches and journal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file first: one process takes it, and the others the rest meanwhile."""
    items.sort(key=lambda item: item.get_closest_marker("chain") is None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tests that did not run for want of data or a device are said loudly, once each reason."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = [str(report.longrepr[2]) for report in skipped if isinstance(report.longrepr, tuple)]
    for reason in sorted({reason for reason in reasons if "NOT RUN" in reason}):
        terminalreporter.write_line(f"{sum(one == reason for one in reasons)} tests {reason}", yellow=True, bold=True)
