"""The real huggingface_hub against a small server with the hub's routes: what is fetched, and what errors say."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import file_download

from derm.encoders.hub import fetch, fetch_if_any, told
from derm.errors import UserError
from tests.derm.encoders.fake_hub import COMMIT, FakeHub, fake_hub, point_to


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    files = tmp_path / "files"
    files.mkdir()
    (files / "config.json").write_text("{}")
    with fake_hub() as running:
        running.folders["owner/model"] = files
        point_to(monkeypatch, running.address, tmp_path / "cache")
        # Its patience with a hub that is down, a minute, is not what is tested here.
        monkeypatch.setattr(file_download, "_ETAG_RETRY_TIMEOUT", 0.1)
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        yield running


def line(repository: str = "owner/model", file: str = "config.json", revision: str = "") -> str:
    with pytest.raises(UserError) as caught:
        fetch(repository, file, revision)
    message = str(caught.value)
    assert "\n" not in message and "Traceback" not in message
    return message


def test_fetched_once_and_then_taken_from_the_cache(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = fetch("owner/model", "config.json", "")
    assert path.read_text() == "{}" and path.parent.name == COMMIT
    assert fetch("owner/model", "config.json", COMMIT) == path
    assert hub.files("owner/model") == ["config.json"]
    asked = len(hub.requests)
    point_to(monkeypatch, hub.address, tmp_path / "cache", offline=True)
    assert fetch("owner/model", "config.json", "") == fetch("owner/model", "config.json", COMMIT) == path
    assert len(hub.requests) == asked


def test_a_file_that_may_be_absent(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert fetch_if_any("owner/model", "other.json", COMMIT) is None
    assert fetch_if_any("owner/model", "config.json", COMMIT) is not None
    point_to(monkeypatch, hub.address, tmp_path / "cache", offline=True)
    assert fetch_if_any("owner/model", "never-asked.json", COMMIT) is None
    hub.refused["owner/model"] = (403, "GatedRepo")
    point_to(monkeypatch, hub.address, tmp_path / "cache")
    with pytest.raises(UserError, match="terms"):
        fetch_if_any("owner/model", "another.json", "")


def test_a_network_that_fails_is_never_an_absent_file(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    point_to(monkeypatch, "http://127.0.0.1:9", tmp_path / "cache")
    with pytest.raises(UserError, match="cannot be fetched"):
        fetch_if_any("owner/model", "preprocessor_config.json", COMMIT)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (
            401,
            "GatedRepo",
            "terms to accept: open https://huggingface.co/owner/model, accept them, then `hf auth login`",
        ),
        (403, "GatedRepo", "the owner of your token has not accepted: open https://huggingface.co/owner/model"),
        (401, "RepoNotFound", "the hub has no repository 'owner/model', or it is private: check encoder.name"),
        (404, "RepoNotFound", "the hub has no repository 'owner/model', or it is private: check encoder.name"),
        (403, "", "your token may not read owner/model: open https://huggingface.co/owner/model"),
        (429, "", "too many requests"),
        (500, "", "the hub answered 500 for owner/model: try again later"),
        (503, "", "the hub answered 503 for owner/model: try again later"),
    ],
)
def test_what_the_hub_refuses_is_told_in_one_line(hub: FakeHub, status: int, code: str, expected: str):
    hub.refused["owner/model"] = (status, code)
    assert expected in line()


def test_unknown_repository_revision_and_file(hub: FakeHub):
    assert "no repository 'owner/none'" in line("owner/none")
    assert f"encoder.revision: owner/model has no commit '{40 * 'a'}'" in line(revision=40 * "a")
    assert "owner/model has no file 'other.json'" in line(file="other.json")
    assert "encoder.name: 'a/b/c' is no name of a hub repository" in line("a/b/c")


def test_a_token_that_the_hub_does_not_know(hub: FakeHub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_forgotten")
    assert "the hub does not accept your token for owner/model: `hf auth login` again" in line()


def test_offline_says_how_to_work_offline(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    point_to(monkeypatch, hub.address, tmp_path / "cache", offline=True)
    message = line()
    assert "HF_HUB_OFFLINE is set" in message and "`hf download owner/model`" in message
    assert "encoder.weights to that folder and encoder.weights_sha256" in message
    assert not hub.requests


def test_no_network_says_how_to_work_without(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    point_to(monkeypatch, address, tmp_path / "cache")
    message = line()
    assert "check the network" in message and "encoder.weights to that folder" in message


def test_a_full_disk_names_the_file():
    message = str(told(OSError(28, "No space left on device", "/cache/blobs/abc"), "owner/model", ""))
    assert message.startswith(
        "owner/model cannot be kept in the hub's cache: No space left on device: /cache/blobs/abc"
    )
