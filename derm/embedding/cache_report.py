"""What the embedding cache holds, and throwing away what is no longer needed."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from derm.embedding.cache import KEY_FILE, Stored, entry_files, held_in, stored_keys
from derm.embedding.key import embeddings_folder

_DAY = 86400


class Kept(NamedTuple):
    """One key's folder. stored: what its description says, None if that is damaged or lost."""

    folder: Path
    stored: Stored | None
    size: int
    last_used: float


def kept() -> list[Kept]:
    """Every folder of the cache, what was used last first. What is not as the cache makes it is passed over."""
    known = {stored.folder: stored for stored in stored_keys()}
    found = []
    for folder in sorted(path for path in embeddings_folder().glob("*/*") if path.is_dir()):
        files = own_files(folder)
        if files:
            stored = known.get(folder)
            last_used = stored.last_used if stored else max(path.stat().st_mtime for path in files)
            found.append(Kept(folder, stored, sum(path.stat().st_size for path in files), last_used))
    return sorted(found, key=lambda one: one.last_used, reverse=True)


def own_files(folder: Path) -> list[Path]:
    """What the cache has written into a key's folder, its description last."""
    description = folder / KEY_FILE
    return [*entry_files(folder), *([description] if description.is_file() else [])]


def show() -> None:
    """Print one line for each key."""
    everything = kept()
    for one in everything:
        print(describe(one))
    print(f"{sum(one.size for one in everything) / 1e6:,.1f} MB in {embeddings_folder()}")


def prune(features: dict[str, Any], older_than: int | None = None) -> None:
    """Remove what the present features are not made of, and was not used for so many days; print what is removed.

    features: their manifest. A folder whose description is damaged stays: what it holds is not known.
    """
    before = time.time() - (older_than or 0) * _DAY
    freed = 0
    for one in kept():
        needed = one.stored is None or _is_of(one.stored.content, features)
        if needed or (older_than is not None and one.last_used > before):
            continue
        print(f"removed: {describe(one)}")
        # The description last: what a killed pruning leaves is still known for what it is.
        for path in own_files(one.folder):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # another run writes there, or other views are kept
            one.folder.rmdir()
            one.folder.parent.rmdir()
        freed += one.size
    print(f"{freed / 1e6:,.1f} MB freed in {embeddings_folder()}")


def _is_of(key: dict[str, Any], features: dict[str, Any]) -> bool:
    """Whether embeddings under this key stand in the features with this manifest."""
    of_encoder = [
        (manifest, batch_size)
        for manifest, batch_size in zip(features["encoders"], features["batch_size"], strict=True)
        if manifest == key["encoder"] and batch_size == key["batch_size"]
    ]
    same = all(key.get(name) == features.get(name) for name in ("device", "compile", "token_pooling"))
    return bool(of_encoder) and same and key["view"] in features["views"]


def describe(one: Kept) -> str:
    """One line: encoder and recipe, view, device, images, size, last used."""
    tail = f"{one.size / 1e6:,.1f} MB, last used {time.strftime('%Y-%m-%d', time.localtime(one.last_used))}"
    if one.stored is None:
        return f"{one.folder.relative_to(embeddings_folder())}: {KEY_FILE} is lost or damaged, {tail}"
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
