"""What the embedding cache holds, and throwing away what is no longer needed."""

import shutil
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from derm.embedding.cache import KEY_FILE, Stored, held_in, stored_keys
from derm.embedding.key import embeddings_folder

_DAY = 86400


class Kept(NamedTuple):
    """One key's folder. stored: what its description says, None if it has none (of an older version, or damaged)."""

    folder: Path
    stored: Stored | None
    size: int
    last_used: float


def kept() -> list[Kept]:
    """Every folder of the cache, what was used last first."""
    known = {stored.folder: stored for stored in stored_keys()}
    holding = {path.parent for path in embeddings_folder().rglob("*.safetensors")}
    found = []
    for folder in {*known, *holding}:
        files = [path for path in folder.iterdir() if path.is_file()]
        stored = known.get(folder)
        last_used = stored.last_used if stored else max(path.stat().st_mtime for path in files)
        found.append(Kept(folder, stored, sum(path.stat().st_size for path in files), last_used))
    return sorted(found, key=lambda one: one.last_used, reverse=True)


def show() -> None:
    """Print one line for each key."""
    everything = kept()
    for one in everything:
        print(describe(one))
    print(f"{sum(one.size for one in everything) / 1e6:,.1f} MB in {embeddings_folder()}")


def prune(manifests: Collection[dict[str, Any]], older_than: int | None = None) -> None:
    """Remove what is of none of these encoders, and was not used for so many days; print what is removed."""
    before = time.time() - (older_than or 0) * _DAY
    freed = 0
    for one in kept():
        needed = one.stored is not None and one.stored.content["encoder"] in manifests
        if needed or (older_than is not None and one.last_used > before):
            continue
        print(f"removed: {describe(one)}")
        # The description last: what a killed pruning leaves is still known for what it is.
        for path in sorted(one.folder.iterdir(), key=lambda path: path.name == KEY_FILE):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        with suppress(OSError):  # another run writes there, or other views are kept
            one.folder.rmdir()
            if one.folder.parent != embeddings_folder():
                one.folder.parent.rmdir()
        freed += one.size
    print(f"{freed / 1e6:,.1f} MB freed in {embeddings_folder()}")


def describe(one: Kept) -> str:
    """One line: encoder and recipe, view, device, images, size, last used."""
    tail = f"{one.size / 1e6:,.1f} MB, last used {time.strftime('%Y-%m-%d', time.localtime(one.last_used))}"
    if one.stored is None:
        return f"{one.folder.relative_to(embeddings_folder())}: of an older version, {tail}"
    content, manifest = one.stored.content, one.stored.content["encoder"]
    transform = manifest.get("transform")
    facts: list[str] = []
    if isinstance(transform, dict) and "size" in transform:
        facts.append("x".join(map(str, transform["size"])) + f" {transform.get('resize', '')}".rstrip())
    facts += [f"{manifest[key]} pooling" for key in ("pooling",) if isinstance(manifest.get(key), str)]
    facts += [str(manifest[key]) for key in ("precision",) if key in manifest]
    facts += [f"view {content['view']}", f"batches of {content['batch_size']} on {content['device']}"]
    facts += ["compiled"] if content.get("compile") else []
    if "token_pooling" in content:
        facts.append(f"tokens pooled {content['token_pooling']}x{content['token_pooling']}")
    return f"{manifest['encoder']}: {', '.join(facts)}: {len(held_in(one.folder)):,} images, {tail}"
