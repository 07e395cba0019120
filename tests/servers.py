"""MLflow's two servers, started for a test and ended with it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextlib.contextmanager
def tracking_server(folder: Path, database: Path, port: int) -> Iterator[str]:
    """The address of `mlflow server`, which keeps its runs in `database` and its artifacts in `folder`/served."""
    command = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{database}", "--artifacts-destination", str(folder / "served")]
    address = f"http://127.0.0.1:{port}"
    with _mlflow(command, folder, f"{address}/health", MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"):
        yield address


@contextlib.contextmanager
def model_server(model: str, store: str, folder: Path) -> Iterator[str]:
    """The address of `mlflow models serve`, started in an empty folder: all that it has is the store."""
    port = free_port()
    command = ["models", "serve", "--env-manager", "local", "--port", str(port), "--model-uri", model]
    with _mlflow(command, folder, f"http://127.0.0.1:{port}/ping", MLFLOW_TRACKING_URI=store):
        yield f"http://127.0.0.1:{port}/invocations"


@contextlib.contextmanager
def _mlflow(command: list[str], folder: Path, page: str, **environment: str) -> Iterator[None]:
    """A server of MLflow's, once `page` answers; everything that it has started ends with it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "PYTHONPATH"))}
    with (folder / "server.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command],
            cwd=folder,
            env=kept | environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            for _ in range(300):
                with contextlib.suppress(OSError), urllib.request.urlopen(page):
                    break
                time.sleep(0.2)
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(20)
