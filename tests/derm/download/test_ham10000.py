"""The whole download: from a Dataverse to a folder that the reader takes."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from derm.download.ham10000 import download
from derm.errors import UserError
from derm.sources.ham10000 import read
from tests.derm.download.dataset import FIRST, SECOND, TEST, hexadecimal, zipped
from tests.derm.download.server import Dataverse

PART_1 = "HAM10000_images_part_1.zip"
LAYOUT = ["HAM10000_images_part_1", "HAM10000_images_part_2", "HAM10000_metadata.csv"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "raw/ham10000"


def get(
    server: Dataverse, out: Path, masks: bool = False, test: bool = False, accepted: bool = True, keep: bool = False
) -> None:
    """As the command line calls it."""
    download(out, masks, test, accepted, server.address, keep)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_tables_and_images_are_where_the_reader_looks(
    server: Dataverse, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    get(server, out)
    assert names(out) == LAYOUT and names(out.parent) == ["ham10000"]
    listing = read(out)
    assert list(listing.images["image_id"]) == [*FIRST, *SECOND]
    assert all(Path(path).is_file() for path in listing.images["path"]) and listing.warnings == []
    assert names(out / "HAM10000_images_part_2") == [f"{name}.jpg" for name in SECOND]
    assert (out / "HAM10000_metadata.csv").read_bytes() == server.file("HAM10000_metadata").original
    told = capsys.readouterr()
    assert f"{out}: 7 images of HAM10000, 0 masks\nnext: make data ROOT={out}\n" in told.out and told.err == ""
    assert [request.original for request in server.requests] == [True, False, False]


def test_masks_and_the_official_test_set_come_when_asked_for(
    server: Dataverse, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    get(server, out)
    before = len(server.requests)
    get(server, out, masks=True, test=True)
    assert sorted(request.label.split("_")[0] for request in server.requests[before:]) == [
        "HAM10000",
        "ISIC2018",
        "ISIC2018",
    ]
    listing = read(out)
    parts = listing.images.groupby("source_part")["image_id"].apply(list)
    assert parts["test"] == TEST and parts["train"] == [*FIRST, *SECOND]
    assert (listing.images["path"] != "").all() and listing.warnings == []
    assert (listing.images["mask"] != "").sum() == 7
    assert names(out / "HAM10000_segmentations_lesion_tschandl")[0] == f"{FIRST[0]}_segmentation.png"
    told = capsys.readouterr()
    assert "7 images of HAM10000, 7 masks, 2 images of the official test set" in told.out and told.err == ""


def test_what_is_there_is_not_fetched_again(server: Dataverse, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    get(server, out)
    asked, listings = len(server.requests), server.listings
    get(server, out)
    assert (len(server.requests), server.listings) == (asked, listings)
    assert "nothing to fetch" in capsys.readouterr().out
    shutil.rmtree(out / "HAM10000_images_part_1")
    get(server, out)
    assert [request.label for request in server.requests[asked:]] == [PART_1]


def test_without_accepted_terms_they_are_shown_and_nothing_is_fetched(
    server: Dataverse, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="--accept-terms"):
        get(server, out, accepted=False)
    shown = capsys.readouterr().out
    for words in ("CC BY-NC 4.0", "Tschandl", "2018", "doi:10.1038/sdata.2018.161", "not to re-identify"):
        assert words in shown
    assert server.requests == [] and not out.parent.exists()


def test_all_breaks_and_the_next_run_ends_what_the_first_began(server: Dataverse, out: Path) -> None:
    stored = server.file(PART_1)
    stored.breaks = [3000, 0]
    with pytest.raises(UserError, match="run the same command again"):
        get(server, out)
    archives = out.parent / "ham10000.download"
    assert (archives / f"{PART_1}.part").stat().st_size == 3000
    # What is not data yet is neither for git nor, beside the dataset's folder, for DVC.
    assert (archives / ".gitignore").read_text() == "*\n" and not out.exists()
    stored.breaks = []
    get(server, out)
    assert [request.range for request in server.asked(PART_1)][-1] == "bytes=3000-"
    assert sum(request.sent for request in server.asked(PART_1)) == len(stored.content)
    assert len(server.asked("HAM10000_metadata")) == 1
    assert names(out) == LAYOUT and not archives.exists()


def test_archives_can_be_kept(server: Dataverse, out: Path) -> None:
    get(server, out, keep=True)
    assert PART_1 in names(out.parent / "ham10000.download")
    shutil.rmtree(out)
    asked = len(server.requests)
    get(server, out)
    assert len(server.requests) == asked and names(out) == LAYOUT and names(out.parent) == ["ham10000"]


def test_a_part_that_another_command_began_is_left_to_it(server: Dataverse, out: Path) -> None:
    masks = server.file("HAM10000_segmentations")
    masks.breaks = [3000, 0]
    with pytest.raises(UserError):
        get(server, out, masks=True)
    get(server, out)
    assert names(out) == LAYOUT
    masks.breaks = []
    get(server, out, masks=True)
    assert server.asked("HAM10000_segmentations")[-1].range == "bytes=3000-"
    assert names(out.parent) == ["ham10000"]


def test_a_wrong_digest_of_an_archive_is_one_line_and_the_file_is_gone(server: Dataverse, out: Path) -> None:
    stored = server.file(PART_1)
    stored.listed_digest = "0" * 32
    with pytest.raises(UserError, match=f"{PART_1}.*expected md5:{'0' * 32}, found {hexadecimal(stored.content)}"):
        get(server, out)
    assert not list((out.parent / "ham10000.download").glob(f"{PART_1}*"))
    stored.listed_digest = ""
    get(server, out)
    assert names(out) == LAYOUT


def test_a_table_that_dataverse_has_changed_is_taken_with_a_warning(
    server: Dataverse, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = server.file("HAM10000_metadata")
    stored.listed_digest = hexadecimal(stored.content)
    get(server, out)
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("WARNING: HAM10000_metadata.csv")
    assert stored.listed_digest in warning and hexadecimal(stored.original or b"") in warning


def test_a_table_that_is_none_is_refused_and_removed(server: Dataverse, out: Path) -> None:
    stored = server.file("HAM10000_metadata")
    stored.original, stored.listed_digest = b"sorry,no table\n1,2\n", "0" * 32
    with pytest.raises(UserError, match=r"no column image_id, dx.*it is removed") as told:
        get(server, out)
    assert "\n" not in str(told.value)
    assert not list((out.parent / "ham10000.download").glob("HAM10000_metadata*")) and not out.exists()


def test_room_is_asked_for_before_anything_is_fetched(
    server: Dataverse, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zips = [len(server.file(name).content) for name in (PART_1, "HAM10000_images_part_2.zip")]
    table = len(server.file("HAM10000_metadata").original or b"")
    needed = sum(zips) * 2.1 + 2 * table
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed - 1))
    with pytest.raises(UserError, match=r"the download needs 0\.1 MB and 0\.1 MB are free there") as told:
        get(server, out)
    assert "\n" not in str(told.value) and server.requests == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed + 1))
    get(server, out)


def test_what_is_here_needs_no_room_again(server: Dataverse, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = server.file(PART_1)
    stored.breaks = [3000, 0]
    with pytest.raises(UserError):
        get(server, out)
    stored.breaks = []
    zips = [len(server.file(name).content) for name in (PART_1, "HAM10000_images_part_2.zip")]
    needed = sum(zips) * 2.1 + len(server.file("HAM10000_metadata").original or b"") - 3000
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed + 1))
    get(server, out)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="NOT RUN: no /dev/full on this machine")
def test_a_disk_that_fills_up_in_mid_transfer_is_one_line(server: Dataverse, out: Path) -> None:
    archives = out.parent / "ham10000.download"
    archives.mkdir(parents=True)
    (archives / f"{PART_1}.part").symlink_to("/dev/full")
    with pytest.raises(UserError, match="the disk is full; what has arrived is kept") as told:
        get(server, out)
    assert "\n" not in str(told.value)
    (archives / f"{PART_1}.part").unlink()
    get(server, out)
    assert names(out) == LAYOUT


def test_a_disk_that_fills_up_while_unpacking_is_one_line(
    server: Dataverse, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfileobj", full)
        with pytest.raises(UserError, match="the disk is full"):
            get(server, out)
    assert names(out) == ["HAM10000_metadata.csv"]
    asked = len(server.requests)
    get(server, out)
    assert names(out) == LAYOUT and len(server.requests) == asked


def test_a_place_that_cannot_be_written_is_one_line(server: Dataverse, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file.*: Not a directory"):
        get(server, tmp_path / "file/raw")
    assert server.requests == []


def test_an_archive_that_would_write_elsewhere_is_refused(server: Dataverse, out: Path) -> None:
    server.file(PART_1).content = zipped({"../../evil.jpg": b"1"})
    with pytest.raises(UserError, match="would leave the folder"):
        get(server, out)
    assert not list(out.parent.parent.rglob("evil*"))


def test_a_file_that_the_listing_lacks_is_named(server: Dataverse, out: Path) -> None:
    server.file("HAM10000_segmentations").label = "masks.zip"
    with pytest.raises(UserError, match=r"lists no HAM10000_segmentations_lesion_tschandl .*masks\.zip"):
        get(server, out, masks=True)
    assert server.requests == []


def test_images_that_are_gone_are_told(server: Dataverse, out: Path) -> None:
    get(server, out)
    (out / f"HAM10000_images_part_1/{FIRST[2]}.jpg").unlink()
    with pytest.raises(UserError, match=rf"1 of the images .*first {FIRST[2]}.*delete HAM10000_images_part_1"):
        get(server, out)


def test_the_official_tables_row_without_an_image_is_a_warning(
    server: Dataverse, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As published: ISIC_0035068 stands in the table and not in the archive."""
    stored = server.file("ISIC2018_Task3_Test_GroundTruth")
    stored.original = (stored.original or b"") + b"HAMTEST_9,ISIC_0035068,nv,,,,,\n"
    get(server, out, test=True)
    told = capsys.readouterr()
    assert told.err == (
        "WARNING: 1 listed images of the official test set have no file (ISIC_0035068): `prepare` will refuse these "
        "rows\n"
    )


def test_images_without_a_row_are_a_warning(server: Dataverse, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table that came short, where its digest could not be trusted anyway."""
    stored = server.file("HAM10000_metadata")
    stored.original = b"\n".join((stored.original or b"").splitlines()[:-2]) + b"\n"
    stored.listed_digest = "0" * 32
    get(server, out)
    assert f"WARNING: 2 images in {out} stand in no table, such as {SECOND[1]}" in capsys.readouterr().err


def test_two_downloads_at_once_do_not_write_into_each_other(server: Dataverse, out: Path) -> None:
    from filelock import FileLock

    archives = out.parent / "ham10000.download"
    archives.mkdir(parents=True)
    with FileLock(archives / "lock"), pytest.raises(UserError, match=r"another download into .* is going on"):
        get(server, out)
    assert server.requests == []
    get(server, out)


def test_places_where_no_dataset_can_be(server: Dataverse, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (Path("/"), tmp_path / "file"):
        with pytest.raises(UserError, match="--out"):
            get(server, place)


def test_a_link_to_another_disk_gets_its_archives_there(server: Dataverse, tmp_path: Path) -> None:
    (tmp_path / "big/ham").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "big/ham")
    get(server, tmp_path / "link", keep=True)
    assert names(tmp_path / "big/ham") == LAYOUT
    assert names(tmp_path / "big") == ["ham", "ham.download"] and names(tmp_path) == ["big", "link"]
