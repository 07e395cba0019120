"""The vision tower's tensors out of a checkpoint that may hold much else: found by their names, each accounted for."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from derm.errors import UserError

# The file of a checkpoint with this name, or None if it has none.
Find = Callable[[str], Path | None]
WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
# What older versions stored beside the weights: the numbers 0, 1, 2 ...
_NOT_LEARNED = ("position_ids",)


def stored_names(find: Find, where: str) -> dict[str, str]:
    """Tensor name -> file that holds it, of a checkpoint in one safetensors file or in several with an index.

    UserError if it has neither, or if they are damaged.
    """
    whole = find(WHOLE)
    if whole is not None:
        return dict.fromkeys(names_in(whole), WHOLE)
    index = find(INDEX)
    if index is None:
        raise UserError(
            f"{where} has neither {WHOLE} nor {INDEX}: derm reads nothing else (other formats can run code when they "
            "are loaded); choose another revision or repository"
        )
    try:
        files = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = {str(name): str(file) for name, file in files.items()}
    except (ValueError, KeyError, AttributeError, TypeError):
        raise UserError(f"{where}: {INDEX} is damaged, expected a weight_map: fetch it again") from None
    outside = next((file for file in names.values() if "/" in file or "\\" in file or file.startswith(".")), None)
    if outside is not None:
        raise UserError(f"{where}: {INDEX} names {outside!r}, expected a file beside it")
    return names


def tower_prefix(names: Iterable[str], own: Collection[str], where: str) -> str:
    """What stands before the tower's own tensor names in a checkpoint: `vision_tower.`, `vision_model.`, ``...

    The text tower has some of the same names; the vision tower has more of them. UserError if half are not there.
    """
    wanted, found = frozenset(own), Counter[str]()
    for name in names:
        parts = name.split(".")
        for place in range(len(parts)):
            if ".".join(parts[place:]) in wanted:
                found[".".join([*parts[:place], ""]) if place else ""] += 1
    prefix, count = found.most_common(1)[0] if found else ("", 0)
    if 2 * count < len(wanted):
        raise UserError(
            f"{where} holds {count} of the {len(wanted)} tensors of the vision tower that its config.json describes: "
            "is it the right checkpoint?"
        )
    return prefix


def read_tower(find: Find, own: Collection[str], where: str) -> dict[str, torch.Tensor]:
    """The tensors below the tower's prefix, by their names in the tower; only the files that hold some are opened.

    As they are stored. That they are the tower's, and all of them, is for the caller to check.
    """
    names = stored_names(find, where)
    prefix = tower_prefix(names, own, where)
    files = sorted({file for name, file in names.items() if name.startswith(prefix)})
    tensors = _read(find, files, prefix, where)
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(_NOT_LEARNED)}


def read_every_tensor(find: Find, where: str) -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint, as they are stored."""
    return _read(find, sorted(set(stored_names(find, where).values())), "", where)


def names_in(path: Path) -> list[str]:
    """Names of the tensors in one safetensors file. UserError if it is damaged."""
    try:
        with safe_open(path, framework="pt") as archive:
            return list(archive.keys())
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a safetensors file ({error}): fetch it again") from None


def _read(find: Find, files: Iterable[str], prefix: str, where: str) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for file in files:
        path = find(file)
        if path is None:
            raise UserError(f"{where} has no file {file!r}, which {INDEX} names: fetch it too")
        try:
            with safe_open(path, framework="pt") as archive:
                for name in archive.keys():  # noqa: SIM118
                    if name.startswith(prefix):
                        tensors[name.removeprefix(prefix)] = archive.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path} is not a safetensors file ({error}): fetch it again") from None
    return tensors
