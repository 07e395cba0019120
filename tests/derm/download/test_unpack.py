"""Archives, also such as nobody should send."""

import io
import shutil
import stat
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from derm.download.unpack import unpack
from derm.errors import UserError
from tests.derm.download.dataset import zipped


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "images.zip"


def refused(archive: Path, match: str) -> None:
    """Unpacking ends in one line, and leaves nothing anywhere."""
    folder = archive.parent / "out/images"
    with pytest.raises(UserError, match=match) as told:
        unpack(archive, folder)
    assert "\n" not in str(told.value)
    assert not folder.exists() and not list(archive.parent.glob("out/.*"))
    assert [path.name for path in archive.parent.iterdir() if path.name != "out"] == [archive.name]


@pytest.mark.parametrize("top", ["", "images/", "a/b/"])
def test_folders_in_the_archive_do_not_matter(archive: Path, top: str) -> None:
    content = {f"{top}x.jpg": b"1", f"{top}y.jpg": b"2", f"{top}.hidden": b"3", f"__MACOSX/{top}._x.jpg": b"4"}
    archive.write_bytes(zipped(({top: b""} if top else {}) | content))
    folder = archive.parent / "out/images"
    assert unpack(archive, folder) == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"x.jpg": b"1", "y.jpg": b"2"}


def test_an_empty_folder_is_replaced_and_a_leftover_of_a_kill_removed(archive: Path) -> None:
    archive.write_bytes(zipped({"x.jpg": b"1"}))
    (archive.parent / "out/images").mkdir(parents=True)
    (archive.parent / "out/.images.unpacking").mkdir()
    (archive.parent / "out/.images.unpacking/old.jpg").write_bytes(b"half")
    unpack(archive, archive.parent / "out/images")
    assert sorted(path.name for path in (archive.parent / "out").rglob("*")) == ["images", "x.jpg"]


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "a/../../evil.jpg", "/etc/evil.jpg", "C:\\evil.jpg", "..\\evil.jpg", "__MACOSX/../../evil"]
)
def test_a_member_that_leaves_the_folder_is_refused(archive: Path, name: str) -> None:
    archive.write_bytes(zipped({"x.jpg": b"1", name: b"2"}))
    refused(archive, "would leave the folder")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO])
def test_links_and_pipes_are_refused(archive: Path, kind: int) -> None:
    member = zipfile.ZipInfo("x.jpg")
    member.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(member, "/etc/passwd")
    refused(archive, "link or no plain file")


def test_two_files_of_one_name_are_refused(archive: Path) -> None:
    archive.write_bytes(zipped({"a/x.jpg": b"1", "b/x.jpg": b"2"}))
    refused(archive, "two files in it are called 'x.jpg'")


def test_an_archive_without_files_is_refused(archive: Path) -> None:
    archive.write_bytes(zipped({"images/": b"", "__MACOSX/x": b""}))
    refused(archive, "there is no file in it")


def test_an_encrypted_member_is_refused(archive: Path) -> None:
    content = bytearray(zipped({"x.jpg": b"1" * 99}))
    content[6] |= 1  # in the member's own header
    content[content.index(b"PK\x01\x02") + 8] |= 1  # and in the directory
    archive.write_bytes(bytes(content))
    refused(archive, "encrypted")


def test_a_member_with_a_wrong_checksum_is_one_line(archive: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as opened:
        opened.writestr("x.jpg", b"good" * 100)
    archive.write_bytes(stream.getvalue().replace(b"goodgood", b"goodbad!", 1))
    refused(archive, "cannot be unpacked .*CRC-32 for file 'x.jpg'.*delete it and run the same command again")


# Named by hand: a zip holds the time, and test processes must agree on names.
@pytest.mark.parametrize(
    "content",
    [b"", b"<html>no zip</html>", zipped({"x.jpg": b"1" * 999})[:-30]],
    ids=["nothing", "a page", "half a zip"],
)
def test_what_is_no_zip_is_one_line(archive: Path, content: bytes) -> None:
    archive.write_bytes(content)
    refused(archive, "cannot be unpacked")


def test_a_bomb_or_a_full_disk_is_refused_by_the_size_that_is_declared(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.write_bytes(zipped({"x.jpg": b"0" * 10_000_000}))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=9_000_000))
    refused(archive, r"unpacking images\.zip needs 10\.0 MB and 9\.0 MB are free")
