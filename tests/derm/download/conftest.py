"""What the tests of downloads share."""

from collections.abc import Iterator

import pytest

from derm.download import transfer
from tests.derm.download.server import Dataverse, running


@pytest.fixture
def server() -> Iterator[Dataverse]:
    """A Dataverse that holds a small HAM10000."""
    with running() as dataverse:
        yield dataverse


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long here, and no pause is worth its time."""
    monkeypatch.setattr(transfer, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(transfer, "TIMEOUT", (5.0, 0.5))
