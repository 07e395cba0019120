"""Reading the listing of a dataset, in the forms that Dataverse has given it over the years."""

from typing import Any

import pytest

from derm.download.dataverse import list_dataset
from derm.errors import UserError
from tests.derm.download.dataset import hexadecimal
from tests.derm.download.server import DOI, Dataverse


def test_the_listing_says_what_is_there_and_how_to_get_it(server: Dataverse) -> None:
    dataset = list_dataset(f"{server.address}/", DOI)
    archive = dataset.find("HAM10000_images_part_1", (".zip", ""))
    stored = server.file("HAM10000_images_part_1")
    assert archive.url == f"{server.address}/api/access/datafile/3172582"
    assert archive.size == len(stored.content) and archive.digest == f"md5:{hexadecimal(stored.content)}"
    assert not archive.tabular
    assert dataset.licence == "CC BY-NC 4.0 http://creativecommons.org/licenses/by-nc/4.0"
    # No HTML, no line break, nothing that steers a terminal.
    assert dataset.terms == "By downloading you agree not to re-identify [31m anybody."


@pytest.mark.parametrize(
    ("label", "data"),
    [
        ("HAM10000_metadata.tab", {}),
        ("HAM10000_metadata", {"originalFileName": "ham10000_METADATA.csv"}),
        ("ham10000_metadata.CSV", {}),
        ("table.tab", {"originalFileName": "HAM10000_metadata.csv"}),
    ],
)
def test_a_table_is_found_whatever_its_ending_and_fetched_as_it_was_uploaded(
    server: Dataverse, monkeypatch: pytest.MonkeyPatch, label: str, data: dict[str, Any]
) -> None:
    listing = server.listing()
    entry = listing["data"]["latestVersion"]["files"][5]
    entry["label"] = entry["dataFile"]["filename"] = label
    entry["dataFile"].pop("originalFileName")
    entry["dataFile"] |= data
    monkeypatch.setattr(server, "listing", lambda: listing)
    table = list_dataset(server.address, DOI).find("HAM10000_metadata", (".csv", ".tab", ""))
    assert table.tabular and table.url.endswith("/3172585?format=original")
    assert table.size == len(server.file("HAM10000_metadata").original or b"")


def test_old_and_odd_listings(server: Dataverse, monkeypatch: pytest.MonkeyPatch) -> None:
    """No checksum object but an md5, another algorithm, none at all; the licence as a word; no terms."""
    listing = server.listing()
    version = listing["data"]["latestVersion"]
    version["license"] = "NONE"
    version.pop("termsOfUse")
    files = [entry["dataFile"] for entry in version["files"]]
    files[0].pop("checksum")
    files[1]["checksum"] = {"type": "SHA-256", "value": "AB" * 32}
    del files[2]["checksum"], files[2]["md5"]
    files[3]["checksum"] = {"type": "CRC32", "value": "00000000"}
    monkeypatch.setattr(server, "listing", lambda: listing)
    dataset = list_dataset(server.address, DOI)
    assert dataset.licence == "NONE" and dataset.terms == ""
    digests = [file.digest for file in dataset.files[:4]]
    assert digests == [f"md5:{files[0]['md5']}", "sha256:" + "ab" * 32, None, None]


def test_a_missing_file_is_named_with_what_is_there(server: Dataverse) -> None:
    with pytest.raises(UserError, match=r"lists no HAM10000_masks \(\.zip/\); it lists: HAM10000_v1_features\.zip, "):
        list_dataset(server.address, DOI).find("HAM10000_masks", (".zip", ""))


@pytest.mark.parametrize("answer", [{}, {"data": {}}, {"data": {"latestVersion": {"files": [{}]}}}, [], None])
def test_an_answer_of_another_kind_is_one_line(server: Dataverse, monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    monkeypatch.setattr(server, "listing", lambda: answer)
    with pytest.raises(UserError, match="not a Dataverse's listing") as told:
        list_dataset(server.address, DOI)
    assert "\n" not in str(told.value)


def test_an_unknown_dataset_and_a_wrong_address_are_one_line(server: Dataverse) -> None:
    with pytest.raises(UserError, match=r"does not list doi:10\.1/X: the answer is 404 Not Found: .*is not found"):
        list_dataset(server.address, "doi:10.1/X")
    with pytest.raises(UserError, match="404"):
        list_dataset(f"{server.address}/nowhere", DOI)
    for address in ("http://127.0.0.1:9", "dataverse.harvard.edu", "http://nowhere.invalid"):
        with pytest.raises(UserError, match="cannot be reached") as told:
            list_dataset(address, DOI)
        assert "\n" not in str(told.value)
