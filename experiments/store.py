"""Where MLflow keeps its records: found, made if need be, and given up on in time if it does not answer."""

import logging
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from filelock import FileLock

from derm.workspace import private_folder, repository_root

if TYPE_CHECKING:
    from mlflow import MlflowClient

OPENING_SECONDS = 15
"""How long a store may take to answer its first questions. With the imports, a run waits less than 30 s."""

# One slow or failing request must not become MLflow's own four minutes of retries; a user's own setting holds.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}

Result = TypeVar("Result")


class StoreUnavailableError(Exception):
    """The store did not answer, or not usefully; the message says which store and why, in one line."""


class Store(NamedTuple):
    """An open store: its client, and for each experiment asked for its id."""

    client: "MlflowClient"
    experiments: dict[str, str]


def store_uri() -> str:
    """``$MLFLOW_TRACKING_URI``, else the SQLite file ``<repository>/mlflow.db``.

    A relative SQLite path hangs on the repository: a queued run's current folder is thrown away.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip() or "sqlite:///mlflow.db"
    database = sqlite_file(uri)
    return uri if database is None else f"sqlite:///{database}"


def sqlite_file(uri: str) -> Path | None:
    """The absolute path of a SQLite store's file; None for any other store."""
    prefix, _, path = uri.partition(":///")
    return repository_root() / path if prefix == "sqlite" and path else None


def shown(text: str) -> str:
    """An address, or a text with addresses in it, without the user and password that may stand there."""
    return re.sub(r"//[^/@\s]+@", "//", text)


def open_store(experiments: Iterable[str]) -> Store:
    """A client, and every experiment in ``experiments``, made where it does not exist.

    Raises StoreUnavailableError after at most OPENING_SECONDS (and the time to import MLflow), whatever is the matter.
    """
    quieten()
    uri = store_uri()
    try:
        import mlflow  # noqa: F401 its import must not count as the store's slowness

        names = sorted(set(experiments))
        return _within(OPENING_SECONDS, lambda: _open(uri, names))
    except Exception as error:
        raise StoreUnavailableError(f"MLflow's store {shown(uri)} cannot be used: {reason(error)}") from error


def check_answers(store: Store) -> None:
    """Raises StoreUnavailableError if an open store has stopped answering."""
    try:
        _within(OPENING_SECONDS, lambda: [store.client.get_experiment(name) for name in store.experiments.values()])
    except Exception as error:
        raise StoreUnavailableError(
            f"MLflow's store {shown(store_uri())} stopped answering: {reason(error)}"
        ) from error


def reason(error: BaseException) -> str:
    """The first line of an error, cut to a readable length, without passwords."""
    lines = str(error).strip().splitlines()
    text = shown(lines[0]) if lines else type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."


def quieten() -> None:
    """No telemetry, no progress bars, no migration chatter on the console of somebody who waits for numbers."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"mlflow\.")


def _open(uri: str, experiments: list[str]) -> Store:
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.ERROR)  # importing mlflow sets it to INFO
    if uri.startswith(("http:", "https:", "databricks")):
        client = MlflowClient(uri, uri)
        return Store(client, {name: _experiment(client, name, None) for name in experiments})
    database = sqlite_file(uri)
    home = repository_root() if database is None else database.parent
    home.mkdir(parents=True, exist_ok=True)
    # Of four processes that make or migrate one SQLite store at the same time, three fail.
    with FileLock(private_folder("mlflow") / "store.lock"):
        client = MlflowClient(uri, uri)
        artifacts = (home / "mlartifacts").as_uri()
        return Store(client, {name: _experiment(client, name, artifacts) for name in experiments})


def _experiment(client: "MlflowClient", name: str, artifacts: str | None) -> str:
    """The id of the experiment ``name``, made if it is not there."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name, artifact_location=artifacts)
        except MlflowException:
            found = client.get_experiment_by_name(name)  # somebody else made it in the meantime
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise StoreUnavailableError(
            f"experiment `{name}` was deleted in it: restore it, or name another in tracking.experiment"
        )
    return found.experiment_id


def _within(seconds: float, function: Callable[[], Result]) -> Result:
    """What ``function`` returns or raises; TimeoutError after ``seconds``.

    A thread, since no setting of a library bounds name resolution, connecting and retries taken together. One that
    is still waiting is left behind and ends with the process.
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer within {seconds} s")
    return results[0]
