"""Fetch one file over HTTP so that what has arrived is never fetched again: breaks, kills and restarts cost nothing."""

import os
import re
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pooch
import requests
import urllib3
from tqdm import tqdm

from derm.download.answers import HEADERS, TIMEOUT, reason, refusal
from derm.download.disk import as_size
from derm.errors import UserError

# Seconds before each new try. A try that brought PROGRESS bytes starts the count anew: a line that breaks every
# few minutes still gets there.
PAUSES = (1.0, 3.0, 9.0, 27.0)
PROGRESS = 1 << 20
CHUNK = 1 << 16
# Answers that another try may better: time-out, too many requests, and the server's own trouble (5xx).
PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


class BrokenError(Exception):
    """A transfer that may go on; the message says what happened."""


def fetch(url: str, target: Path, size: int | None, digest: str | None, by_hand: str) -> None:
    """Leave at `target` the file with this digest (`md5:<hex>`; None: unchecked); nothing is fetched if it is there.

    size: bytes, None if unknown. by_hand: what to do if the server refuses, for the error line.
    Until it is complete the file is `<target>.part`. UserError if the server refuses, if the transfer breaks on every
    try (the part stays), or if the digest is another (the file is removed). OSError is the disk's.
    """
    pooch.get_logger().setLevel("WARNING")
    download = ResumingDownloader(target, size, by_hand)
    try:
        # pooch's type for downloaders has other parameters than the call that it makes.
        pooch.retrieve(url, digest, target.name, target.parent, downloader=download)  # pyright: ignore[reportArgumentType]
    except ValueError as error:
        download.start_over()
        found = re.search(r"but got (\w+)", str(error))
        raise UserError(
            f"{target.name}: its digest is not the listed one (expected {digest}, found "
            f"{found[1] if found else 'another'}); the file is removed: run the same command again"
        ) from None
    download.start_over()


class ResumingDownloader:
    """A downloader for pooch that writes to `<target>.part`, and goes on where that ends."""

    def __init__(self, target: Path, size: int | None, by_hand: str) -> None:
        self.name = target.name
        self.part = target.with_name(f"{target.name}.part")
        # The server's mark (ETag) of the content that the part belongs to.
        self.mark = target.with_name(f"{target.name}.part.etag")
        self.size = size
        self.by_hand = by_hand

    def __call__(self, url: str, output_file: str, _pooch: Any) -> None:
        """Fetch until all is here, then give it to pooch under the name that it asks for."""
        failed = 0
        while True:
            before = self.have()
            try:
                self._go_on(url)
                break
            except BrokenError as error:
                failed = 1 if self.have() - before >= PROGRESS else failed + 1
                if failed > len(PAUSES):
                    whole = f" of {as_size(self.size)}" if self.size else ""
                    raise UserError(
                        f"{self.name}: the transfer broke {failed} times running ({error}); {as_size(self.have())}"
                        f"{whole} are kept in {self.part}: run the same command again, which goes on from there"
                    ) from None
            time.sleep(PAUSES[failed - 1])
        Path(output_file).unlink()
        try:
            # A second name: pooch may be killed while it computes the digest, and then the part is still whole.
            os.link(self.part, output_file)
        except OSError:
            self.part.replace(output_file)

    def have(self) -> int:
        """Bytes that are here."""
        return self.part.stat().st_size if self.part.exists() else 0

    def start_over(self) -> None:
        """Forget what is here."""
        self.part.unlink(missing_ok=True)
        self.mark.unlink(missing_ok=True)

    def _go_on(self, url: str, whole: bool = False) -> None:
        """One request for what is missing, or for the whole file. BrokenError if another try may do better, UserError
        if not. Nothing of the part is given up before the server offers something that can take its place."""
        have = 0 if whole else self.have()
        if self.size and have == self.size:
            return
        headers = dict(HEADERS)
        if have:
            headers["Range"] = f"bytes={have}-"
            if mark := self.mark.read_text() if self.mark.exists() else "":
                headers["If-Range"] = mark
        try:
            with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
                start, total = self._offered(response, have)
                if have and start == total == have:
                    return
                if start in (0, have) and (self.size is None or total in (None, self.size)):
                    self._write(response, start, total)
                    return
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise BrokenError(reason(error)) from None
        if not have:
            raise UserError(f"{self.name}: {total} bytes are offered, {self.size} are listed: {self.by_hand}")
        # The part belongs to something else, or the server cannot give a piece of a file.
        self._go_on(url, whole=True)

    def _offered(self, response: requests.Response, have: int) -> tuple[int, int | None]:
        """The byte that the answer starts at, and the size of the whole file (None: not said).

        A start of -1 is an answer that does not fit what was asked. BrokenError and UserError as in `_go_on`.
        """
        status, headers = response.status_code, response.headers
        said = re.match(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", headers.get("Content-Range", ""))
        total = int(said[2]) if said and said[2].isdigit() else None
        if status == HTTPStatus.OK:
            if headers.get("Content-Type", "").startswith("text/html"):  # a hotel's log-in page, a firewall's question
                raise BrokenError("the answer is a web page")
            length = headers.get("Content-Length", "")
            return 0, int(length) if length.isdigit() else None
        if status == HTTPStatus.PARTIAL_CONTENT:
            return int(said[1]) if said and said[1] else -1, total
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            # Nothing lies behind the part: it may be whole.
            return have if total == have and self.size in (None, have) else -1, total
        if status in PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise BrokenError(refusal(response))
        raise UserError(f"{self.name} is refused, {refusal(response)}: {self.by_hand}")

    def _write(self, response: requests.Response, start: int, total: int | None) -> None:
        """Every piece goes to the file as it comes."""
        bar = tqdm(total=total, initial=start, desc=self.name, unit="B", unit_scale=True, disable=None)
        with bar, self.part.open("ab" if start else "wb") as stream:
            if not start:
                self._remember(response.headers.get("ETag", ""))
            while piece := response.raw.read1(CHUNK, decode_content=False):
                stream.write(piece)
                stream.flush()
                bar.update(len(piece))
        if total is not None and self.have() < total:
            raise BrokenError("the connection was closed early")

    def _remember(self, tag: str) -> None:
        """Keep the server's mark of what is being fetched, unless it is a weak one, which says nothing about bytes."""
        if tag.startswith('"') and tag.isascii():
            self.mark.write_text(tag)
        else:
            self.mark.unlink(missing_ok=True)
