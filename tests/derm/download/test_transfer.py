"""One file, and everything that can go wrong on its way."""

import os
from pathlib import Path

import pytest

from derm.download import transfer
from derm.download.transfer import fetch
from derm.errors import UserError
from tests.derm.download.dataset import hexadecimal
from tests.derm.download.server import Dataverse, Request, Stored

NAME = "HAM10000_images_part_1.zip"


@pytest.fixture
def stored(server: Dataverse) -> Stored:
    return server.file(NAME)


def get(server: Dataverse, folder: Path, digest: str = "", size: int | None = -1) -> Path:
    """Fetch the first archive into `folder`."""
    stored = server.file(NAME)
    number = next(number for number, one in server.files.items() if one is stored)
    target = folder / NAME
    digest = digest or f"md5:{hexadecimal(stored.content)}"
    size = len(stored.content) if size == -1 else size
    fetch(f"{server.address}/api/access/datafile/{number}", target, size, digest, "fetch it by hand")
    return target


def ranges(requests: list[Request]) -> list[str | None]:
    return [request.range for request in requests]


def test_a_file_arrives_whole_and_alone(server: Dataverse, stored: Stored, tmp_path: Path) -> None:
    target = get(server, tmp_path)
    assert target.read_bytes() == stored.content
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    (request,) = server.requests
    assert request.range is None and request.agent.startswith("derm-download")
    get(server, tmp_path)
    assert len(server.requests) == 1


def test_a_broken_transfer_goes_on_at_the_very_byte(server: Dataverse, stored: Stored, tmp_path: Path) -> None:
    stored.breaks = [5001, 2003, len(stored.content)]
    assert get(server, tmp_path).read_bytes() == stored.content
    assert ranges(server.requests) == [None, "bytes=5001-", "bytes=7004-"]
    assert {request.if_range for request in server.requests[1:]} == {f'"{hexadecimal(stored.content)}"'}
    assert sum(request.sent for request in server.requests) == len(stored.content)


def test_breaks_on_every_try_keep_the_part_and_the_next_run_ends_it(
    server: Dataverse, stored: Stored, tmp_path: Path
) -> None:
    stored.breaks = [1000]
    with pytest.raises(UserError, match=r"broke 4 times running .*kept in .*\.part: run the same command again"):
        get(server, tmp_path)
    assert (tmp_path / f"{NAME}.part").read_bytes() == stored.content[:4000]
    assert not (tmp_path / NAME).exists()
    stored.breaks = []
    assert get(server, tmp_path).read_bytes() == stored.content
    assert ranges(server.requests)[-1] == "bytes=4000-"
    assert sum(request.sent for request in server.requests) == len(stored.content)


def test_tries_that_bring_much_do_not_count(
    server: Dataverse, stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "PROGRESS", 1000)
    stored.breaks = [1000]
    assert get(server, tmp_path).read_bytes() == stored.content
    assert len(server.requests) > len(transfer.PAUSES) + 1


def test_a_server_that_ignores_ranges_starts_over(server: Dataverse, stored: Stored, tmp_path: Path) -> None:
    stored.ignores_range = True
    stored.breaks = [5000, len(stored.content)]
    assert get(server, tmp_path).read_bytes() == stored.content
    assert ranges(server.requests) == [None, "bytes=5000-"]


def test_a_part_of_another_version_is_not_gone_on_with(server: Dataverse, stored: Stored, tmp_path: Path) -> None:
    stored.breaks = [5000, 0]
    with pytest.raises(UserError):
        get(server, tmp_path)
    stored.content, stored.breaks = b"another version" * 3000, []
    assert get(server, tmp_path).read_bytes() == stored.content


def test_a_part_that_is_longer_than_the_file_is_given_up(server: Dataverse, stored: Stored, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(b"x" * (len(stored.content) + 1))
    assert get(server, tmp_path).read_bytes() == stored.content


def test_a_whole_part_of_unknown_size_is_found_to_be_whole(server: Dataverse, stored: Stored, tmp_path: Path) -> None:
    """The server says 416, and how long the file is: exactly what is here."""
    (tmp_path / f"{NAME}.part").write_bytes(stored.content)
    assert get(server, tmp_path, size=None).read_bytes() == stored.content
    assert ranges(server.requests) == [f"bytes={len(stored.content)}-"]
    assert server.requests[0].sent == 0


def test_a_whole_part_is_not_asked_for_again(server: Dataverse, stored: Stored, tmp_path: Path) -> None:
    """A kill after the last byte, before the digest was computed."""
    (tmp_path / f"{NAME}.part").write_bytes(stored.content)
    assert get(server, tmp_path).read_bytes() == stored.content
    assert server.requests == []


def test_a_kill_while_the_digest_is_computed_costs_nothing(
    server: Dataverse, stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("pooch.core.hash_matches", interrupt)
        get(server, tmp_path)
    assert get(server, tmp_path).read_bytes() == stored.content
    assert len(server.requests) == 1 and [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_stalled_transfer_is_a_broken_one(server: Dataverse, stored: Stored, tmp_path: Path) -> None:
    stored.stalls_at = 3000
    with pytest.raises(UserError, match="Read timed out"):
        get(server, tmp_path)
    assert ranges(server.requests) == [None, "bytes=3000-", "bytes=6000-", "bytes=9000-"]


def test_the_servers_passing_trouble_is_waited_for(server: Dataverse, stored: Stored, tmp_path: Path) -> None:
    stored.statuses = [503, 500, 429]
    assert get(server, tmp_path).read_bytes() == stored.content
    assert len(server.requests) == 4


def test_trouble_that_lasts_is_one_line(server: Dataverse, stored: Stored, tmp_path: Path) -> None:
    stored.statuses = [500] * 9
    with pytest.raises(UserError, match=r"500 Internal Server Error: you may not have it \(500\)") as told:
        get(server, tmp_path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_refusal_is_not_tried_again_and_says_what_the_server_says(
    server: Dataverse, stored: Stored, tmp_path: Path, status: int
) -> None:
    """400 is what a Dataverse says where a guestbook must be signed first."""
    stored.statuses = [status] * 9
    with pytest.raises(UserError, match=rf"you may not have it \({status}\): fetch it by hand") as told:
        get(server, tmp_path)
    assert "\n" not in str(told.value) and len(server.requests) == 1


def test_a_web_page_in_its_place_costs_nothing_of_what_is_here(
    server: Dataverse, stored: Stored, tmp_path: Path
) -> None:
    """What the log-in page of a hotel does to a transfer that goes on."""
    part = tmp_path / f"{NAME}.part"
    part.write_bytes(stored.content[:7000])
    stored.page = True
    with pytest.raises(UserError, match="the answer is a web page"):
        get(server, tmp_path)
    assert part.read_bytes() == stored.content[:7000]


def test_a_file_of_another_size_than_the_listed_one_is_refused(
    server: Dataverse, stored: Stored, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=rf"{len(stored.content)} bytes are offered, 99999 are listed"):
        get(server, tmp_path, size=99999)


def test_a_wrong_digest_removes_the_file(server: Dataverse, stored: Stored, tmp_path: Path) -> None:
    wrong = "0" * 32
    with pytest.raises(UserError, match=f"{NAME}.*expected md5:{wrong}, found {hexadecimal(stored.content)}") as told:
        get(server, tmp_path, digest=f"md5:{wrong}")
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_put_there_by_hand_is_taken_if_its_digest_is_right(
    server: Dataverse, stored: Stored, tmp_path: Path
) -> None:
    (tmp_path / NAME).write_bytes(stored.content)
    get(server, tmp_path)
    assert server.requests == []


def test_without_hard_links_it_works_too(
    server: Dataverse, stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    assert get(server, tmp_path).read_bytes() == stored.content
    (tmp_path / NAME).unlink()
    with pytest.raises(UserError, match=f"found {hexadecimal(stored.content)}"):
        get(server, tmp_path, digest="md5:" + "0" * 32)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Connection refused") as told:
        fetch("http://127.0.0.1:9/file", tmp_path / NAME, 10, None, "")
    assert "\n" not in str(told.value)
