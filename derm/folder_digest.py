"""What a folder holds, as one number: so that a folder named in a param cannot change unseen."""

import os
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

from tqdm import tqdm

from derm.files import file_digest
from derm.sources.image_files import refuse_unreadable
from derm.workers import worker_count


def files_below(folder: Path) -> list[Path]:
    """All files at any depth, sorted; linked folders are followed, hidden files and folders are passed over.

    UserError if a folder cannot be read.
    """
    found, visited = [], set()
    for here, folders, files in os.walk(folder, onerror=refuse_unreadable, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        real = os.path.realpath(here)
        if real in visited:  # a link back up would never end
            folders.clear()
            continue
        visited.add(real)
        found += [path for name in files if not name.startswith(".") and (path := Path(here) / name).is_file()]
    return sorted(found)


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of the files below `folder` (see `files_below`), as 64 hex digits.

    UserError if a file or a folder cannot be read.
    """
    files = files_below(folder)
    whole = sha256()
    with ThreadPoolExecutor(worker_count()) as pool:
        digests = tqdm(
            pool.map(_digest, files),
            total=len(files),
            desc=f"digest of {folder.name}",
            unit="file",
            mininterval=0.5,
        )
        for path, digest in zip(files, digests, strict=True):
            name = os.fsencode(path.relative_to(folder).as_posix())  # as the disk has it, UTF-8 or not
            whole.update(name + f"\0{digest}\n".encode())
    return whole.hexdigest()


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        refuse_unreadable(error)
        raise
