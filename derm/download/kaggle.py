"""HAM10000 from Kaggle's copy of it, through the kagglehub package."""

import os
import shutil
from http import HTTPStatus
from pathlib import Path

from derm.download.answers import reason
from derm.download.disk import disk_trouble
from derm.download.layout import Part, check_dataset, wanted_parts
from derm.download.terms import require_accepted
from derm.download.unpack import hidden, put_in_place
from derm.errors import UserError
from derm.files import write_bytes
from derm.sources.image_files import image_files

HANDLE = "kmader/skin-cancer-mnist-ham10000"
REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
UNKNOWN = ("UnauthenticatedError", "CredentialError")


def download(out: Path, accepted: bool) -> None:
    """Let kagglehub fetch its copy into its own cache, and put what the reader needs into `out`.

    The images are hard links where the disk allows it, and copies elsewhere. Kaggle's copy holds every image twice,
    and tables of tiny images: these are left out. UserError, in one line, for all that can go wrong.
    """
    with disk_trouble(out):
        missing = [part for part in wanted_parts(False, False) if not part.is_there(out)]
        if missing:
            require_accepted(accepted)
            cached = _cached()
            for part in missing:
                _put(cached, part, out)
        else:
            print(f"{out}: tables and folders are there, nothing to fetch")
        check_dataset(out, with_masks=False)


def _cached() -> Path:
    """The folder where kagglehub keeps the dataset, fetched if need be."""
    try:
        import kagglehub  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError("--from kaggle needs the kagglehub package: pip install kagglehub") from None
    cache = Path(os.environ.get("KAGGLEHUB_CACHE", "~/.cache/kagglehub"))
    try:
        with disk_trouble(cache):
            return Path(kagglehub.dataset_download(HANDLE))
    except UserError:
        raise
    except Exception as error:  # another project's errors, which have no common base
        raise _told(error) from None


def _told(error: Exception) -> UserError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in REFUSED or type(error).__name__ in UNKNOWN:
        return UserError(
            f"Kaggle refuses {HANDLE} without a valid token: make one at https://www.kaggle.com/settings/api "
            "(Generate New Token), then `export KAGGLE_API_TOKEN=...` or write it to ~/.kaggle/access_token"
        )
    return UserError(f"Kaggle's {HANDLE} cannot be fetched ({type(error).__name__}: {reason(error)})")


def _put(cached: Path, part: Part, out: Path) -> None:
    # By exact name: the folders of the second copy differ only in the case of their letters.
    names = {entry.name: entry for entry in cached.iterdir()}
    source = names.get(part.place(out).name) or names.get(part.stem.lower())
    if source is None:
        raise UserError(f"{cached} holds no {part.place(out).name}; it holds {', '.join(sorted(names)) or 'nothing'}")
    if part.table:
        write_bytes(part.place(out), source.read_bytes())
        return
    built = hidden(part.place(out))
    shutil.rmtree(built, ignore_errors=True)
    built.mkdir(parents=True)
    try:
        for file in image_files(source):
            _link_or_copy(source / file, built / Path(file).name)
        put_in_place(built, part.place(out))
    finally:
        shutil.rmtree(built, ignore_errors=True)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
