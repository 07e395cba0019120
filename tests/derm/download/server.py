"""A Dataverse on this machine: native API, data access API, and every way in which a transfer goes wrong."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.derm.download.dataset import FIRST, SECOND, TEST, archives, hexadecimal, ingested, table

DOI = "doi:10.7910/DVN/DBW86T"


@dataclass
class Stored:
    """A file on the server, what it is listed as, and how its transfers go.

    breaks: for each coming transfer, after how many bytes the connection closes; the last one holds for all others.
    statuses: for each coming request, the status it gets instead of the file.
    """

    label: str
    content: bytes
    original: bytes | None = None
    listed_digest: str = ""
    listed_size: int | None = None
    breaks: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ignores_range: bool = False
    stalls_at: int | None = None
    page: bool = False


@dataclass
class Request:
    """One request for a file's bytes, and how many of them were sent."""

    label: str
    range: str | None
    if_range: str | None
    original: bool
    agent: str
    sent: int = 0


class Dataverse(ThreadingHTTPServer):
    """The server; `requests` holds what was asked of the data access API, in order."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = dict(enumerate(_files(), start=3172580))
        self.requests: list[Request] = []
        self.listings = 0
        self.go_on = threading.Event()
        self.version: dict[str, Any] = {
            "license": {"name": "CC BY-NC 4.0", "uri": "http://creativecommons.org/licenses/by-nc/4.0"},
            "termsOfUse": "<p>By <b>downloading</b> you agree\nnot to re-identify\x1b[31m anybody.</p>",
        }

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is killed is no news."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def file(self, label: str) -> Stored:
        """The file whose name begins so."""
        return next(stored for stored in self.files.values() if stored.label.startswith(label))

    def asked(self, label: str) -> list[Request]:
        """What was asked for this file."""
        return [request for request in self.requests if request.label.startswith(label)]

    def listing(self) -> dict[str, Any]:
        """The answer of the native API."""
        entries = []
        for number, stored in self.files.items():
            data: dict[str, Any] = {
                "id": number,
                "filename": stored.label,
                "filesize": len(stored.content) if stored.listed_size is None else stored.listed_size,
                "md5": stored.listed_digest or hexadecimal(stored.original or stored.content),
            }
            data["checksum"] = {"type": "MD5", "value": data["md5"]}
            if stored.original is not None:
                data |= {
                    "tabularData": True,
                    "originalFileFormat": "text/csv",
                    "originalFileSize": len(stored.original),
                }
                data["originalFileName"] = stored.label.replace(".tab", ".csv")
            entries.append({"label": stored.label, "restricted": False, "dataFile": data})
        return {"status": "OK", "data": {"id": 1, "latestVersion": {**self.version, "files": entries}}}


class Handler(BaseHTTPRequestHandler):
    """Answers as Dataverse does; a zip is handed out by another address, as from its S3 store."""

    protocol_version = "HTTP/1.1"
    server: Dataverse  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        parts, asked = urlsplit(self.path), parse_qs(urlsplit(self.path).query)
        if parts.path == "/api/datasets/:persistentId/":
            self.server.listings += 1
            known = asked.get("persistentId") == [DOI]
            self._json(200, self.server.listing()) if known else self._json(404, _error(f"{asked} is not found"))
        elif found := re.fullmatch(r"/api/access/datafile/(\d+)", parts.path):
            stored = self.server.files[int(found[1])]
            if stored.original is None:
                self.send_response(303)
                self.send_header("Location", f"/store/{found[1]}?signature=abc")
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                original = asked.get("format") == ["original"]
                self._send(stored, stored.original if original else stored.content, original)
        elif found := re.fullmatch(r"/store/(\d+)", parts.path):
            stored = self.server.files[int(found[1])]
            self._send(stored, stored.content, False)
        else:
            self._json(404, _error("no such address"))

    def _send(self, stored: Stored, content: bytes, original: bool) -> None:
        headers = self.headers
        request = Request(stored.label, headers["Range"], headers["If-Range"], original, headers["User-Agent"])
        self.server.requests.append(request)
        if stored.statuses:
            status = stored.statuses.pop(0)
            self._json(status, _error(f"you may not\nhave it ({status})"))
            return
        if stored.page:
            self._answer(200, b"<html>log in</html>", {"Content-Type": "text/html; charset=utf-8"})
            return
        tag = f'"{hexadecimal(content)}"'
        start, status, extra = 0, 200, {"ETag": tag}
        asked = re.fullmatch(r"bytes=(\d+)-", request.range or "")
        if asked and not stored.ignores_range and request.if_range in (None, tag):
            start, status = int(asked[1]), 206
            if start >= len(content):
                self._answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            extra["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.send_response(status)
        for name, value in {**extra, "Content-Length": str(len(content) - start)}.items():
            self.send_header(name, value)
        self.end_headers()
        self._body(stored, content[start:], request)

    def _body(self, stored: Stored, content: bytes, request: Request) -> None:
        limit = None
        if stored.breaks:
            limit = stored.breaks.pop(0) if len(stored.breaks) > 1 else stored.breaks[0]
        stall = stored.stalls_at
        first = content[: min(len(content), *(one for one in (limit, stall) if one is not None), len(content))]
        self.wfile.write(first)
        request.sent += len(first)
        if stall is not None and stall < len(content):
            self.server.go_on.wait(30)
        if limit is not None and limit < len(content):
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif len(first) < len(content):
            try:
                self.wfile.write(content[len(first) :])
                request.sent += len(content) - len(first)
            except OSError:
                self.close_connection = True

    def _json(self, status: int, content: dict[str, Any]) -> None:
        self._answer(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the tests' stderr."""


@contextmanager
def running() -> Iterator[Dataverse]:
    """A server in a thread of its own."""
    server = Dataverse()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.go_on.set()
        server.shutdown()
        server.server_close()


def _files() -> list[Stored]:
    zips = archives()
    metadata, test = table([*FIRST, *SECOND], "HAM"), table(TEST, "HAMTEST")
    return [
        Stored("HAM10000_v1_features.zip", zips["HAM10000_v1_features.zip"]),
        Stored("HAM10000_images_part_2.zip", zips["HAM10000_images_part_2.zip"]),
        Stored("HAM10000_images_part_1.zip", zips["HAM10000_images_part_1.zip"]),
        Stored("HAM10000_segmentations_lesion_tschandl.zip", zips["HAM10000_segmentations_lesion_tschandl.zip"]),
        Stored("ISIC2018_Task3_Test_Images.zip", zips["ISIC2018_Task3_Test_Images.zip"]),
        Stored("HAM10000_metadata.tab", ingested(metadata), metadata),
        Stored("ISIC2018_Task3_Test_GroundTruth.tab", ingested(test), test),
    ]


def _error(message: str) -> dict[str, str]:
    return {"status": "ERROR", "message": message}
