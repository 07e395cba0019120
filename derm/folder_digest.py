"""What a folder holds, as one number: so that a folder named in a param cannot change unseen."""

import os
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

from tqdm import tqdm

from derm.files import file_digest
from derm.folder_files import files_below, refuse_unreadable
from derm.workers import worker_count


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of the files below `folder` (see `files_below`), as 64 hex digits.

    UserError if a file or a folder cannot be read.
    """
    files = files_below(folder)
    whole = sha256()
    with ThreadPoolExecutor(worker_count()) as pool:
        digests = tqdm(
            pool.map(_digest, [folder / file for file in files]),
            total=len(files),
            desc=f"digest of {folder.name}",
            unit="file",
            mininterval=0.5,
        )
        for file, digest in zip(files, digests, strict=True):
            # The name as the disk has it, UTF-8 or not.
            whole.update(os.fsencode(file) + f"\0{digest}\n".encode())
    return whole.hexdigest()


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        refuse_unreadable(error)
        raise
