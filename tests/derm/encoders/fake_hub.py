"""A server with the hub's own routes for fetching files, so that the real huggingface_hub runs against it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

COMMIT = "c0ffee" + 34 * "0"


@dataclass
class FakeHub:
    """folders: repository -> its files. refused: repository -> (status, X-Error-Code). requests: what was asked."""

    folders: dict[str, Path] = field(default_factory=dict)
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    address: str = ""

    def files(self, repository: str) -> list[str]:
        """Files of a repository whose content was sent."""
        start = f"GET /{repository}/resolve/"
        return sorted({line.rsplit("/", maxsplit=1)[-1] for line in self.requests if line.startswith(start)})


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """A hub that runs until the block ends."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(send=False)

        def do_GET(self) -> None:
            self.answer(send=True)

        def log_message(self, format: str, *args: object) -> None:
            pass

        def answer(self, send: bool) -> None:
            path = unquote(self.path.split("?", maxsplit=1)[0])
            repository, _, rest = path.strip("/").partition("/resolve/")
            revision, _, file = rest.partition("/")
            commit = COMMIT if revision == "main" else revision
            hub.requests.append(f"{self.command} /{repository}/resolve/{revision}/{file}")
            folder = hub.folders.get(repository)
            if self.headers["Authorization"] is not None:
                self.refuse(401, "", "Invalid credentials in Authorization header")  # it knows no token
            elif repository in hub.refused:
                self.refuse(*hub.refused[repository])
            elif folder is None:
                self.refuse(401, "RepoNotFound")  # as the hub: nobody can tell a private repository from none
            elif commit != COMMIT:
                self.refuse(404, "RevisionNotFound")
            elif not (folder / file).is_file():
                self.refuse(404, "EntryNotFound")
            else:
                content = (folder / file).read_bytes()
                self.send_response(200)
                self.send_header("ETag", f'"{sha256(content).hexdigest()}"')
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if send:
                    self.wfile.write(content)

        def refuse(self, status: int, code: str, message: str = "") -> None:
            self.send_response(status)
            if message:
                self.send_header("X-Error-Message", message)
            if code:
                self.send_header("X-Error-Code", code)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def point_to(monkeypatch: pytest.MonkeyPatch, address: str, cache: Path, offline: bool = False) -> None:
    """huggingface_hub asks this address, and keeps what it gets in this folder; no token."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.delenv("HF_TOKEN", raising=False)
