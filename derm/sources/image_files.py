"""Image files in a dataset's folder, by what a table may call them."""

from collections import defaultdict
from pathlib import Path, PurePosixPath, PureWindowsPath

from derm.errors import UserError
from derm.folder_files import files_below
from derm.images import SUFFIXES


def image_files(folder: Path) -> list[str]:
    """Image files at any depth, as paths relative to `folder`, sorted; hidden files and folders are passed over.

    UserError if a folder cannot be read, or if a name is no text.
    """
    found = [file for file in files_below(folder) if file.lower().endswith(SUFFIXES)]
    for file in found:
        if not file.isprintable():
            name = file.encode(errors="backslashreplace").decode()
            raise UserError(f"{folder}: the name of {name!r} holds what is no text: rename the file")
    return found


def without_suffix(name: str) -> str:
    """The name without the ending that makes it an image: `photo.1.JPG` -> `photo.1`; other endings stay."""
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


class ImageFinder:
    """Finds the file that a table means: by path or by name, with or without the ending, in any case of letters."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = image_files(root)
        self._exact = set(self.files)
        self._by_key: dict[str, list[str]] = defaultdict(list)
        for file in self.files:
            whole, name = file.lower(), PurePosixPath(file).name.lower()
            for key in {whole, without_suffix(whole), name, without_suffix(name)}:
                self._by_key[key].append(file)

    def find(self, given: str) -> tuple[str, str]:
        """The file, relative to the root, and what is wrong: one of them is empty.

        Nothing outside the root is ever looked at: an address, a path that leaves the root or an absolute path
        elsewhere is refused with its reason.
        """
        if not given:
            return "", "no image file is named"
        if "://" in given:
            return "", f"{given!r} is an address, not a file: fetch the images into the dataset's folder first"
        name = given.replace("\\", "/")
        if PurePosixPath(name).is_absolute() or PureWindowsPath(given).is_absolute():
            inside = self._inside(name)
            if inside is None:
                return "", f"{given!r} is an absolute path outside the dataset's folder: name it relative to data.root"
            name = inside
        if ".." in PurePosixPath(name).parts:
            return "", f"{given!r} could leave the dataset's folder"
        name = PurePosixPath(name).as_posix()
        if name in self._exact:
            return name, ""
        found = self._by_key.get(name.lower(), [])
        if len(found) > 1:
            return "", f"{given!r} may be {found[0]} or {found[1]}: name the path from data.root"
        return (found[0], "") if found else ("", "image file not found")

    def _inside(self, name: str) -> str | None:
        for root in (self.root.absolute(), self.root.resolve()):
            if Path(name).is_relative_to(root):
                return Path(name).relative_to(root).as_posix()
        return None
