"""What a folder holds, as one number: so that a folder named in a param cannot change unseen."""

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

from tqdm import tqdm

from derm.files import file_digest
from derm.workers import worker_count


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of all files below `folder` (hidden ones left out), as 64 hex digits."""
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    whole = sha256()
    with ThreadPoolExecutor(worker_count()) as pool:
        digests = tqdm(
            pool.map(file_digest, files),
            total=len(files),
            desc=f"digest of {folder.name}",
            unit="file",
            mininterval=0.5,
        )
        for path, digest in zip(files, digests, strict=True):
            whole.update(f"{path.relative_to(folder).as_posix()}\0{digest}\n".encode())
    return whole.hexdigest()
