"""Kaggle's copy, through a stand-in for the kagglehub package."""

import errno
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import requests

from derm.download.kaggle import HANDLE, download
from derm.errors import UserError
from derm.sources.ham10000 import read
from tests.derm.download.dataset import FIRST, SECOND, photograph, table

LAYOUT = ["HAM10000_images_part_1", "HAM10000_images_part_2", "HAM10000_metadata.csv"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "ham10000"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """The dataset as kagglehub unpacks it: every image twice, and tables of tiny images."""
    folder = tmp_path / "cache/versions/2"
    for part, images in (("part_1", FIRST), ("part_2", SECOND)):
        for name in (f"HAM10000_images_{part}", f"ham10000_images_{part}"):
            (folder / name).mkdir(parents=True)
            for n, image in enumerate(images):
                (folder / name / f"{image}.jpg").write_bytes(photograph(n))
    (folder / "HAM10000_metadata.csv").write_bytes(table([*FIRST, *SECOND], "HAM"))
    (folder / "hmnist_28_28_RGB.csv").write_text("pixel0000,label\n1,2\n")
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, cache: Path) -> list[str]:
    """Puts a kagglehub in place that hands out `cache`; holds what it was asked for."""
    handles: list[str] = []
    package = ModuleType("kagglehub")

    def dataset_download(handle: str) -> str:
        handles.append(handle)
        return str(cache)

    vars(package)["dataset_download"] = dataset_download
    monkeypatch.setitem(sys.modules, "kagglehub", package)
    return handles


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def dataset_download(_: str) -> str:
        raise error

    monkeypatch.setitem(sys.modules, "kagglehub", SimpleNamespace(dataset_download=dataset_download))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_the_reader_needs_is_linked_and_no_image_comes_twice(
    asked: list[str], cache: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    download(out, accepted=True)
    assert asked == [HANDLE] and names(out) == LAYOUT
    listing = read(out)
    assert list(listing.images["image_id"]) == [*FIRST, *SECOND] and listing.warnings == []
    image = out / f"HAM10000_images_part_1/{FIRST[0]}.jpg"
    assert image.samefile(cache / f"HAM10000_images_part_1/{FIRST[0]}.jpg")
    told = capsys.readouterr()
    assert "CC BY-NC 4.0" in told.out and "7 images of HAM10000" in told.out and told.err == ""
    download(out, accepted=False)
    assert asked == [HANDLE]


def test_where_links_cannot_be_the_files_are_copied(
    asked: list[str], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    download(out, accepted=True)
    assert asked and len(names(out / "HAM10000_images_part_1")) == 4


def test_only_the_lower_case_copy_will_do_too(asked: list[str], cache: Path, out: Path) -> None:
    for part in ("part_1", "part_2"):
        (cache / f"ham10000_images_{part}").rename(cache / "aside")
        (cache / f"HAM10000_images_{part}").rename(cache / f"ham10000_images_{part}")
        (cache / "aside").rename(cache / f"aside_{part}")
    download(out, accepted=True)
    assert asked and names(out) == LAYOUT


def test_the_terms_come_first(asked: list[str], out: Path) -> None:
    with pytest.raises(UserError, match="--accept-terms"):
        download(out, accepted=False)
    assert asked == [] and not out.exists()


def test_without_the_package_one_line_says_how_to_get_it(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(UserError, match="pip install kagglehub"):
        download(out, accepted=True)


@pytest.mark.parametrize("status", [401, 403])
def test_without_a_token_one_line_says_where_to_make_one(
    out: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """kagglehub fetches public datasets without a token; whether this one needs it, Kaggle says."""
    answer = requests.Response()
    answer.status_code = status
    failing(monkeypatch, requests.HTTPError(f"{status} Client Error.\n\nYou don't have permission", response=answer))
    with pytest.raises(UserError, match=r"https://www\.kaggle\.com/settings/api .*KAGGLE_API_TOKEN") as told:
        download(out, accepted=True)
    assert "\n" not in str(told.value)


def test_kagglehubs_own_word_for_no_token_is_understood(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class UnauthenticatedError(Exception):
        """As in kagglehub.exceptions."""

    failing(monkeypatch, UnauthenticatedError("User is not authenticated"))
    with pytest.raises(UserError, match=r"https://www\.kaggle\.com/settings/api"):
        download(out, accepted=True)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (requests.ConnectionError("Max retries exceeded: Name or service not known"), "Name or service not known"),
        (
            ValueError("Invalid Kaggle credentials file at /root/.kaggle/kaggle.json\nmore"),
            "Invalid Kaggle credentials",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
    ],
)
def test_other_trouble_is_one_line(out: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str) -> None:
    failing(monkeypatch, error)
    with pytest.raises(UserError, match=words) as told:
        download(out, accepted=True)
    assert "\n" not in str(told.value)


def test_a_copy_of_another_shape_is_named(asked: list[str], cache: Path, out: Path) -> None:
    (cache / "HAM10000_metadata.csv").unlink()
    with pytest.raises(UserError, match=r"holds no HAM10000_metadata\.csv; it holds HAM10000_images_part_1, "):
        download(out, accepted=True)
    assert asked and not out.exists()
