"""What patch tokens take on disk, said before anything is computed."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image

from derm.embedding.job import Item, Job, lacking
from derm.embedding.key import embeddings_folder
from derm.embedding.tokens import as_tokens, bytes_of_tokens
from derm.errors import UserError


@torch.inference_mode()
def token_shape(job: Job) -> tuple[int, int]:
    """(patches, channels) of one embedding: from the cache, else by one forward pass. UserError as `as_tokens`."""
    known = job.cache(job.views[0]).shape()
    if known and "tokens" in known:
        patches, channels = known["tokens"]
        return patches, channels
    blank = job.encoder.transform(Image.new("RGB", (64, 64)))
    grid = job.encoder.embed_with_grid(blank[None].to(job.device))[1]
    patches, channels = as_tokens(grid, job.token_pooling or 1).shape[1:]
    return patches, channels


def token_needs(job: Job, items: Mapping[Path, Sequence[Item]], shape: tuple[int, int]) -> dict[Path, int]:
    """Bytes of tokens that go to each folder: all to the features, and to the cache what it lacks."""
    needs = {folder: bytes_of_tokens(len(those) * len(job.views), shape) for folder, those in items.items()}
    digests = {item.digest for those in items.values() for item in those}
    missing = sum(map(len, lacking(job, digests).values()))
    return needs | {embeddings_folder(): bytes_of_tokens(missing, shape)}


def refuse_full_disk(needs: Mapping[Path, int]) -> None:
    """Say what the tokens take. UserError if a disk has not that much free."""
    told = ", ".join(f"{_told(need)} in {folder}" for folder, need in needs.items())
    print(f"patch tokens take {told}; DVC's copy is a link where the disk can link, else as much again")
    disks: dict[int, list[Path]] = {}
    for folder in needs:
        disks.setdefault(_there(folder).stat().st_dev, []).append(folder)
    for folders in disks.values():
        need, free = sum(needs[folder] for folder in folders), shutil.disk_usage(_there(folders[0])).free
        if need > free:
            raise UserError(
                f"features.tokens needs {_told(need)} ({told}), and {_told(free)} are free: make room, set "
                "features.token_pooling=2 for a quarter of it, or features.tokens=false"
            )


def _told(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def _there(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    folder = folder.resolve()
    return next(place for place in (folder, *folder.parents) if place.exists())
