"""Unpack an archive of images into one flat folder that is whole or absent."""

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PureWindowsPath

from tqdm import tqdm

from derm.download.disk import check_free
from derm.errors import UserError

ENCRYPTED = 0x1


def unpack(archive: Path, folder: Path) -> int:
    """Unpack the files of a zip into `folder`, without the folders inside the zip; returns how many.

    Passed over: hidden files and `__MACOSX`. The files are written to a hidden folder beside `folder`, which is then
    renamed. UserError, with nothing left behind, if the archive is damaged, if a member could leave the folder, is a
    link or encrypted, if two would have one name, if there is none, or if the disk has no room for them.
    """
    temporary = hidden(folder)
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _members(opened, archive)
            check_free(folder, sum(member.file_size for member in members.values()), f"unpacking {archive.name}")
            temporary.mkdir(parents=True)
            for name, member in tqdm(members.items(), desc=f"unpacking {archive.name}", unit="file", disable=None):
                with opened.open(member) as source, (temporary / name).open("wb") as written:
                    shutil.copyfileobj(source, written, 1 << 20)
        put_in_place(temporary, folder)
        return len(members)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise UserError(
            f"{archive}: cannot be unpacked ({error}): delete it and run the same command again, which fetches it anew"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def hidden(folder: Path) -> Path:
    """Where a folder is built: beside its place, under a name that readers pass over."""
    return folder.with_name(f".{folder.name}.unpacking")


def put_in_place(built: Path, folder: Path) -> None:
    """Rename what was built; an empty folder in its place is replaced."""
    if folder.is_dir():
        folder.rmdir()
    built.rename(folder)


def _members(opened: zipfile.ZipFile, archive: Path) -> dict[str, zipfile.ZipInfo]:
    """The members to unpack, by file name. Every member is judged, also those that are passed over."""
    members: dict[str, zipfile.ZipInfo] = {}
    for member in opened.infolist():
        # Windows' rules know both separators, drives and roots; a zip may come from anywhere.
        path = PureWindowsPath(member.filename)
        if path.drive or path.root or ".." in path.parts:
            raise UserError(f"{archive}: {member.filename!r} in it would leave the folder; nothing was unpacked")
        # Upper half: the mode of the file on the Unix that made the archive; 0 where it was another system.
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UserError(f"{archive}: {member.filename!r} in it is a link or no plain file; nothing was unpacked")
        if member.is_dir() or "__MACOSX" in path.parts or any(part.startswith(".") for part in path.parts):
            continue
        if member.flag_bits & ENCRYPTED:
            raise UserError(f"{archive}: {member.filename!r} in it is encrypted; nothing was unpacked")
        if path.name in members:
            raise UserError(f"{archive}: two files in it are called {path.name!r}; nothing was unpacked")
        members[path.name] = member
    if not members:
        raise UserError(f"{archive}: there is no file in it")
    return members
