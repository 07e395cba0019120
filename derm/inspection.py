"""Open every image and mask once: what can be used, and why the rest cannot."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from derm.appearance import MEASURES, appearance
from derm.images import UnreadableImageError, decode, digest, read_bytes
from derm.near_duplicates import perceptual_hash
from derm.sources.listing import REJECTED
from derm.workers import worker_count


def inspect(images: pd.DataFrame, min_side: int, max_pixels: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Open every image and mask once: size and digest for the good ones, a reason for the bad ones.

    images: a listing's rows. Returns the rows with `width, height, sha256, perceptual_hash, mask, mask_sha256` and what
    the photograph looks like (`derm.appearance.MEASURES`) filled in, and the refused ones as `where, image_id, path,
    reason`. A bad mask is refused alone: its image stays, without.
    """

    def look(row: dict) -> tuple[dict, dict | None]:
        try:
            content = read_bytes(Path(row["path"]))
            image = decode(content, max_pixels, min_side)
        except UnreadableImageError as error:
            return {}, _refusal(row, row["path"], str(error))
        facts = {
            "width": image.width,
            "height": image.height,
            "sha256": digest(content),
            "perceptual_hash": perceptual_hash(image),
            "mask_sha256": "",
        }
        if not row["mask"]:
            return facts | appearance(image, None)._asdict(), None
        try:
            content = read_bytes(Path(row["mask"]))
            mask = decode(content, max_pixels)
            if mask.size != image.size:
                raise UnreadableImageError(
                    f"mask is {mask.width}x{mask.height}, its image {image.width}x{image.height}"
                )
        except UnreadableImageError as error:
            facts |= {"mask": ""} | appearance(image, None)._asdict()
            return facts, _refusal(row, row["mask"], f"mask left out: {error}")
        return facts | {"mask_sha256": digest(content)} | appearance(image, mask)._asdict(), None

    rows = images.to_dict("records")
    kept, refused = [], []
    with ThreadPoolExecutor(worker_count()) as pool:
        looked = tqdm(pool.map(look, rows), total=len(rows), desc="checking images", unit="img", mininterval=0.5)
        for row, (facts, refusal) in zip(rows, looked, strict=True):
            if facts:
                kept.append(row | facts)
            if refusal:
                refused.append(refusal)
    facts_columns = ["width", "height", "sha256", "perceptual_hash", "mask_sha256", *MEASURES]
    columns = [*images.columns, *facts_columns]
    return pd.DataFrame(kept, columns=columns), pd.DataFrame(refused, columns=REJECTED)


def _refusal(row: dict, path: str, reason: str) -> dict:
    return {"where": row["where"], "image_id": row["image_id"], "path": path, "reason": reason}
