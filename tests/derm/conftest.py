"""What the tests of the nouns share."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Everything here is so small that threads only wait for each other on a busy machine; for each module anew, for
    stages that run in this process set their own number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """The CPU, also for code that chooses its device itself."""
    monkeypatch.setenv("DERM_DEVICE", "cpu")
    return torch.device("cpu")
