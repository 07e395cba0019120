"""HAM10000 from a Dataverse server into the folder that `derm.sources.ham10000` reads."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pooch
from filelock import FileLock, Timeout

from derm.download.dataverse import DataFile, Dataset, list_dataset
from derm.download.disk import as_size, check_free, disk_trouble
from derm.download.layout import Part, check_dataset, wanted_parts
from derm.download.terms import require_accepted
from derm.download.transfer import fetch
from derm.download.unpack import unpack
from derm.errors import UserError
from derm.files import write_bytes
from derm.sources.tables import read_table

SERVER = "https://dataverse.harvard.edu"
DOI = "doi:10.7910/DVN/DBW86T"
# JPEG does not get smaller in a zip: the images take about as much room as their archive.
UNPACKED = 1.1
TABLE_ENDINGS = (".csv", ".tab", ".tsv", "")
ARCHIVE_ENDINGS = (".zip", "")


def download(
    out: Path, with_masks: bool, official_test: bool, accepted: bool, server: str = SERVER, keep_archives: bool = False
) -> None:
    """Fetch what is missing in `out` and put it in its place; nothing is fetched if all is there.

    Archives and unfinished files lie in `<out>.download` beside it (inside, DVC would count them as data) until
    everything is unpacked. UserError, in one line, for all that can go wrong; the same command then goes on.
    """
    parts = wanted_parts(with_masks, official_test)
    archives = archive_folder(out)
    with disk_trouble(out):
        missing = [part for part in parts if not part.is_there(out)]
        if missing:
            dataset = list_dataset(server, DOI)
            require_accepted(accepted, dataset.licence, dataset.terms)
            files = {part: dataset.find(part.stem, _endings(part)) for part in missing}
            with _only_one(archives):
                _fetch_and_unpack(files, dataset, out, archives)
        else:
            print(f"{out}: tables and folders are there, nothing to fetch")
        check_dataset(out, with_masks)
        if archives.is_dir() and not keep_archives:
            _clear(parts, archives)


def archive_folder(out: Path) -> Path:
    """Beside the dataset's folder, or beside what it points to. UserError if nothing can be beside it."""
    real = out.resolve()
    if not real.name:
        raise UserError(f"--out {out} is the root of a disk: name a folder in it")
    if real.exists() and not real.is_dir():
        raise UserError(f"--out {out} is a file: name a folder")
    return real.with_name(f"{real.name}.download")


def _endings(part: Part) -> tuple[str, ...]:
    return TABLE_ENDINGS if part.table else ARCHIVE_ENDINGS


@contextmanager
def _only_one(archives: Path) -> Iterator[None]:
    """The folder of archives, for this process alone. UserError if another download has it; a killed one has not."""
    archives.mkdir(parents=True, exist_ok=True)
    # Nothing of this is for git; the rule goes when the folder goes.
    (archives / ".gitignore").write_text("*\n")
    try:
        lock = FileLock(archives / "lock").acquire(timeout=0)
    except Timeout:
        raise UserError(f"another download into {archives} is going on: wait for it, or end it") from None
    with lock:
        yield


def _fetch_and_unpack(files: dict[Part, DataFile], dataset: Dataset, out: Path, archives: Path) -> None:
    targets = {part: archives / f"{part.stem}{'.csv' if part.table else '.zip'}" for part in files}
    check_free(archives, sum(_room(file, targets[part], part) for part, file in files.items()), "the download")
    for part, file in files.items():
        by_hand = (
            f"fetch it in a browser from {dataset.page}, put it into {archives} as {targets[part].name}, "
            "and run the same command again"
        )
        print(f"fetching {targets[part].name}{f' ({as_size(file.size)})' if file.size else ''}", flush=True)
        if file.tabular:
            fetch(file.url, targets[part], None, None, by_hand)
            _check_table(targets[part], file)
        else:
            fetch(file.url, targets[part], file.size, file.digest, by_hand)
    for part in files:
        if part.table:
            write_bytes(part.place(out), targets[part].read_bytes())
        else:
            count = unpack(targets[part], part.place(out))
            print(f"{part.place(out)}: {count} files", flush=True)


def _clear(parts: list[Part], archives: Path) -> None:
    """Remove the archives of what is in its place, and the folder, unless it holds the beginning of another part."""
    for part in parts:
        for path in archives.glob(f"{part.stem}.*"):
            path.unlink()
    others = {part.stem for part in wanted_parts(with_masks=True, official_test=True)}
    if not any(path.name.split(".")[0] in others for path in archives.iterdir()):
        shutil.rmtree(archives)


def _room(file: DataFile, target: Path, part: Part) -> float:
    """Bytes that the disk still has to take for this file: the rest of it, and what will be unpacked from it."""
    size = file.size or 0
    partial = target.with_name(f"{target.name}.part")
    here = next((path.stat().st_size for path in (target, partial) if path.exists()), 0)
    return max(size - here, 0) + (size if part.table else size * UNPACKED)


def _check_table(path: Path, file: DataFile) -> None:
    """A table that Dataverse has ingested may have another digest than the listed one: it must then be a table.

    UserError, with the file removed, if it is not.
    """
    if not file.digest:
        return
    algorithm, _, listed = file.digest.partition(":")
    found = pooch.file_hash(str(path), alg=algorithm)
    if found == listed:
        return
    try:
        read_table(path, required=("image_id", "dx"))
    except UserError as error:
        path.unlink()
        raise UserError(f"{error}; listed digest {file.digest}, found {algorithm}:{found}; it is removed") from None
    print(
        f"WARNING: {path.name}: the digest is {algorithm}:{found}, listed is {file.digest}; Dataverse changes such "
        "tables, and this one reads well",
        file=sys.stderr,
    )
