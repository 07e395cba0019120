"""What a dataset on a Dataverse server holds, by its DOI (native API, guides.dataverse.org/en/latest/api)."""

import html
import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import requests

from derm.download.answers import HEADERS, TIMEOUT, reason, refusal
from derm.errors import UserError

# As Dataverse writes them (SHA-1 has stood with and without its dash), and as hashlib does.
ALGORITHMS = {"md5": "md5", "sha1": "sha1", "sha256": "sha256", "sha512": "sha512"}
TERMS_LENGTH = 1500


@dataclass(frozen=True)
class DataFile:
    """One file of a dataset.

    names: what the listing calls it: the label, the stored name, the name before ingestion.
    url: where its bytes are; for a table that Dataverse has ingested, those of the original file.
    size: bytes at that address; None if the listing does not say. digest: `md5:<hex>`, or None.
    tabular: ingested, so that size and digest may be those of another form of it (IQSS/dataverse #5321, #9501).
    """

    names: tuple[str, ...]
    url: str
    size: int | None
    digest: str | None
    tabular: bool


@dataclass(frozen=True)
class Dataset:
    """A dataset's files, its page for people, and what the server says of its licence and terms (empty: nothing)."""

    doi: str
    page: str
    files: list[DataFile]
    licence: str
    terms: str

    def find(self, stem: str, endings: tuple[str, ...]) -> DataFile:
        """The file that the listing calls `stem`, with one of the endings, in any case of letters.

        UserError, with what is there, if the listing has none.
        """
        wanted = {f"{stem}{ending}".lower() for ending in endings}
        for file in self.files:
            if wanted & {name.lower() for name in file.names}:
                return file
        there = ", ".join(file.names[0] for file in self.files) or "nothing"
        raise UserError(f"{self.page} lists no {stem} ({'/'.join(endings)}); it lists: {there}")


def list_dataset(server: str, doi: str) -> Dataset:
    """Ask `server` (its address, without /api) for the latest published version of `doi:...`.

    UserError if the server cannot be reached, does not know the dataset, or does not answer as a Dataverse does.
    """
    server = server.rstrip("/")
    address = f"{server}/api/datasets/:persistentId/?persistentId={doi}"
    try:
        with requests.get(address, headers=HEADERS, timeout=TIMEOUT, stream=True) as response:
            if response.status_code != HTTPStatus.OK:
                raise UserError(f"{server} does not list {doi}: {refusal(response)}")
            version = json.loads(response.content)["data"]["latestVersion"]
        files = [_data_file(server, entry) for entry in version["files"]]
        return Dataset(doi, f"{server}/dataset.xhtml?persistentId={doi}", files, _licence(version), _terms(version))
    except requests.RequestException as error:
        raise UserError(f"{server} cannot be reached ({reason(error)}): check the connection and --server") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{address}: the answer is not a Dataverse's listing ({type(error).__name__}: {error}); check --server"
        ) from None


def _data_file(server: str, entry: dict[str, Any]) -> DataFile:
    stored = entry["dataFile"]
    names = [entry.get("label"), stored.get("filename"), stored.get("originalFileName")]
    tabular = bool(stored.get("tabularData") or stored.get("originalFileFormat"))
    checksum = stored.get("checksum") or {"type": "MD5", "value": stored.get("md5")}
    algorithm = ALGORITHMS.get(str(checksum["type"]).lower().replace("-", ""))
    value = checksum["value"]
    size = stored.get("originalFileSize") if tabular else stored["filesize"]
    return DataFile(
        names=tuple(_plain(str(name)) for name in names if name),
        url=f"{server}/api/access/datafile/{int(stored['id'])}{'?format=original' if tabular else ''}",
        size=int(size) if size else None,
        digest=f"{algorithm}:{str(value).lower()}" if algorithm and value else None,
        tabular=tabular,
    )


def _licence(version: dict[str, Any]) -> str:
    """Since Dataverse 5.10 an object with name and uri, before that a word."""
    licence = version.get("license") or ""
    if isinstance(licence, dict):
        return _plain(" ".join(str(licence[key]) for key in ("name", "uri") if licence.get(key)))
    return _plain(str(licence))


def _terms(version: dict[str, Any]) -> str:
    parts = [_plain(str(version[key])) for key in ("termsOfUse", "restrictions", "conditions") if version.get(key)]
    terms = " ".join(parts)
    return terms if len(terms) <= TERMS_LENGTH else f"{terms[:TERMS_LENGTH]}..."


def _plain(text: str) -> str:
    """Without HTML, line breaks, or signs that could steer a terminal."""
    text = html.unescape(re.sub(r"<[^>]*>", " ", text))
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
