"""Near-identical images: the same photograph saved again, resized or squeezed, under another name.

Two steps. A perceptual hash of 256 bits (imagehash's pHash) names candidates: pairs that differ in at most `RADIUS`
bits. Pixels decide: fine detail (hair, skin lines, ruler marks) must agree in the middle of the frame and all over it,
which lookalike nevi do not, however alike their shape and colour. Both thresholds were set on HAM10000 and on those
of its images that stand in the nine-class ISIC folders, squeezed to squares: tests/derm/test_real_data.py finds every
one of these by its pixels alone, and merges no two lesions of HAM10000 but a pair that is on the published list.
Mirrored, turned or strongly cropped copies are not found.
"""

from collections.abc import Iterator

import imagehash
import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import gaussian_filter
from tqdm import tqdm

from derm.images import read_image

HASH_SIDE = 16
BITS = HASH_SIDE * HASH_SIDE
BANDS, BAND_BITS = 16, 16
# With at most 31 differing bits in 16 bands, one band differs in at most one bit: that is how pairs are found.
RADIUS = 2 * BANDS - 1
SIMILARITY = 0.65
# Side, in pixels, of the small grey image on which detail is compared, its tiles, and the margin left off around it.
SIDE, TILE, MARGIN = 64, 16, 12
DETAIL_SIGMA = 1.5
# Pairs looked at in one go: bounds the memory where many hashes share a band.
CHUNK = 4_000_000
COLUMNS = ["one", "other", "distance", "similarity"]


def perceptual_hash(image: Image.Image) -> str:
    """The pHash of an upright RGB image as 64 hex digits (Zauner 2010; imagehash.phash with 16x16 frequencies)."""
    bits = imagehash.phash(image, hash_size=HASH_SIDE).hash
    return np.packbits(bits.ravel()).tobytes().hex()


def candidate_pairs(hashes: list[str], radius: int = RADIUS) -> np.ndarray:
    """Pairs of hashes that differ in at most `radius` (up to 31) bits: int [pairs, 3], two positions and the distance.

    Multi-index hashing (Norouzi et al. 2014, arXiv 1307.2982): hashes this near agree in one of 16 bands up to one
    bit, so only those that do are compared: of random hashes 0.4 % of all pairs (benchmarks/prepare.py measures it).
    """
    if not 0 <= radius <= RADIUS:
        raise ValueError(f"radius is {radius}: this search is exact up to {RADIUS}")
    if len(hashes) < 2:
        return np.empty((0, 3), dtype=np.int64)
    rows = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=np.uint8).reshape(len(hashes), BITS // 8)
    bands, words = rows.view(np.uint16), rows.view(np.uint64)
    found = []
    for band in range(BANDS):
        for one, other in _sharing(bands[:, band]):
            distance = np.bitwise_count(words[one] ^ words[other]).sum(axis=1, dtype=np.int64)
            near = distance <= radius
            found.append(np.stack([one[near], other[near], distance[near]], axis=1))
    pairs = np.concatenate(found) if found else np.empty((0, 3), dtype=np.int64)
    return np.unique(pairs, axis=0)


def _sharing(values: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions whose values are equal or differ in one bit, the smaller first, in chunks; values: uint16 [n]."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    for mask in (0, *(1 << bit for bit in range(BAND_BITS))):
        wanted = ordered ^ np.uint16(mask)
        first, last = np.searchsorted(ordered, wanted, "left"), np.searchsorted(ordered, wanted, "right")
        counts = last - first
        ends = np.cumsum(counts)
        start = 0
        while start < len(order):
            stop = max(start + 1, int(np.searchsorted(ends, (ends[start - 1] if start else 0) + CHUNK, "right")))
            here = counts[start:stop]
            one = np.repeat(order[start:stop], here)
            offset = np.arange(len(one)) - np.repeat(np.cumsum(here) - here, here)
            other = order[np.repeat(first[start:stop], here) + offset]
            ahead = one < other
            yield one[ahead], other[ahead]
            start = stop


def detail(image: Image.Image) -> np.ndarray:
    """Fine detail of an image, whatever its size and shape: float [64, 64], grey with its blurred self taken off."""
    grey = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)
    return grey - gaussian_filter(grey, DETAIL_SIGMA)


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """How far two images' `detail` agrees, from -1 to 1.

    The smaller of two correlations: over the middle of the frame (round black borders agree between any two images of
    one camera), and the median over 16 tiles (a small dark spot on smooth skin is not enough).
    """
    inner = slice(MARGIN, SIDE - MARGIN)
    steps = range(0, SIDE, TILE)
    tiles = [
        _correlation(one[top : top + TILE, left : left + TILE], other[top : top + TILE, left : left + TILE])
        for top in steps
        for left in steps
    ]
    return min(_correlation(one[inner, inner], other[inner, inner]), float(np.median(tiles)))


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    scale = np.sqrt((one * one).sum() * (other * other).sum())
    return float((one * other).sum() / scale) if scale > 1e-9 else 0.0


def near_identical(images: pd.DataFrame, between: pd.Series | None = None) -> pd.DataFrame:
    """Pairs of near-identical images: `one, other` (positions in `images`), `distance` (bits), `similarity`.

    images: `path, sha256, perceptual_hash`. Images of equal bytes are no news here and are looked at once.
    between: one value an image; only pairs that differ in it are of interest (None: all pairs are).
    Best pairs first. UserError if a file has changed since its hash was made.
    """
    first = images.reset_index(drop=True).drop_duplicates("sha256")
    pairs = candidate_pairs(list(first["perceptual_hash"]))
    pairs[:, :2] = first.index.to_numpy()[pairs[:, :2]]
    if between is not None:
        sides = between.to_numpy()
        pairs = pairs[sides[pairs[:, 0]] != sides[pairs[:, 1]]]
    paths, digests = images["path"].to_numpy(), images["sha256"].to_numpy()
    details: dict[int, np.ndarray] = {}
    found = []
    for one, other, distance in tqdm(
        pairs.tolist(), desc="comparing lookalikes", unit="pair", disable=len(pairs) < 500
    ):
        for position in (one, other):
            if position not in details:
                details[position] = detail(read_image(paths[position], digests[position]))
        value = similarity(details[one], details[other])
        if value >= SIMILARITY:
            found.append((one, other, distance, value))
    table = pd.DataFrame(found, columns=COLUMNS)
    return table.sort_values(["similarity", "one", "other"], ascending=[False, True, True], ignore_index=True)
