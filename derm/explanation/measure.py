"""Maps of many images measured against their masks, in one pass and with little memory; and by whom they are beaten."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from derm.explanation.localisation import centred_gaussian, edges, localisation, usable, within
from derm.explanation.maps import explain, map_size, seen_box
from derm.explanation.model import Explained
from derm.explanation.sanity import SHARES, alike, coarse, has_learned, head_of_shuffled_labels, shuffled_weights
from derm.images import read_image

GAUSSIAN, EDGES, WEIGHTS, LABELS = "centred blob", "edges", "random weights", "shuffled labels"
BATCH = 8
COLUMNS = ["method", "shuffled", "share", "row", "similarity"]


@dataclass(frozen=True)
class Pass:
    """One pass over the images. values: method -> a row of `area` and `MEASURES` for each image; maps: method -> coarse
    maps, float32 [n, rows, columns], for comparison with another pass."""

    values: dict[str, pd.DataFrame]
    maps: dict[str, np.ndarray]


def read_mask(row: pd.Series) -> np.ndarray | None:
    """The lesion's mask of an image (`mask, mask_sha256`), bool [rows, columns], or None if there is none that tells
    anything. UserError if the file is not the one that `prepare` saw."""
    if not row["mask"]:
        return None
    mask = np.asarray(read_image(row["mask"], row["mask_sha256"]).convert("L")) > 0
    return mask if usable(mask) else None


def measure(
    explained: Explained,
    rows: pd.DataFrame,
    targets: Sequence[int],
    methods: Sequence[str],
    device: torch.device,
    seed: int,
    references: bool,
    what: str,
) -> Pass:
    """Make and measure the maps of the images in rows (of the image table, masks usable), BATCH at a time.

    references: whether the centred blob and the edges are measured too, which need no network.
    """
    values: dict[str, list[dict[str, float]]] = {}
    maps: dict[str, list[np.ndarray]] = {}
    for start in tqdm(range(0, len(rows), BATCH), desc=what, unit="batch"):
        batch = rows.iloc[start : start + BATCH]
        photographs = [read_image(row["path"], row["sha256"]) for _, row in batch.iterrows()]
        masks = [read_mask(row) for _, row in batch.iterrows()]
        boxes = [seen_box(explained.encoders, *photograph.size) for photograph in photographs]
        made = explain(explained, photographs, targets[start : start + BATCH], methods, device, batch, seed + start)
        if references:
            sizes = [map_size(photograph) for photograph in photographs]
            given = list(zip(photographs, sizes, boxes, strict=True))
            made[GAUSSIAN] = [centred_gaussian(size, box, photograph.size) for photograph, size, box in given]
            made[EDGES] = [edges(photograph, size) for photograph, size, _ in given]
        for method, heats in made.items():
            for heat, mask, box in zip(heats, masks, boxes, strict=True):
                assert mask is not None
                values.setdefault(method, []).append(localisation(heat, mask, box))
                size = mask.shape[1], mask.shape[0]
                maps.setdefault(method, []).append(coarse(within(heat, box, size)))
    return Pass(
        {method: pd.DataFrame(told) for method, told in values.items()},
        {method: np.stack(told) for method, told in maps.items()},
    )


@dataclass(frozen=True)
class Measured:
    """values: as in `Pass`, of methods and references. sanity: COLUMNS, a row for each image (`row`, its place): the
    rank correlation of its map with that of the network shuffled so far, or of the head of shuffled labels."""

    values: dict[str, pd.DataFrame]
    sanity: pd.DataFrame


def measure_all(
    explained: Explained,
    rows: pd.DataFrame,
    targets: Sequence[int],
    methods: Sequence[str],
    training: tuple[np.ndarray, np.ndarray] | None,
    device: torch.device,
    seed: int,
) -> Measured:
    """Methods, references and sanity checks on the images in rows.

    training: features [n, dim] and targets [n] of training images, for the head of shuffled labels; None: no sanity
    checks. The last of SHARES is what stands as random weights.
    """
    asked = [method for method in methods if method != "randomcam"]
    plain = measure(explained, rows, targets, [*asked, "randomcam"], device, seed, True, "maps")
    values, told = dict(plain.values), []

    def compare(other: Pass, shuffled: str, share: float) -> None:
        for method in asked:
            pairs = zip(plain.maps[method], other.maps[method], strict=True)
            told.append(
                pd.DataFrame({"similarity": [alike(*pair) for pair in pairs]}).assign(
                    method=method, shuffled=shuffled, share=share, row=range(len(rows))
                )
            )

    if training is None or not asked:
        return Measured(values, pd.DataFrame(columns=pd.Index(COLUMNS)))
    for share in SHARES if has_learned(explained.encoders) else SHARES[:1]:
        with shuffled_weights(explained.head, explained.encoders, share, seed):
            other = measure(explained, rows, targets, asked, device, seed, False, f"{share:.0%} of weights shuffled")
        compare(other, "weights", share)
        if share == SHARES[-1]:
            values |= {f"{method}, {WEIGHTS}": other.values[method] for method in asked}
    # A head that reads patches is of another kind than the linear one, and its maps are of another layer.
    if not explained.reads_tokens:
        blind = replace(explained, head=head_of_shuffled_labels(explained.head, *training, seed))
        other = measure(blind, rows, targets, asked, device, seed, False, "labels shuffled")
        compare(other, "labels", 0.0)
        values |= {f"{method}, {LABELS}": other.values[method] for method in asked}
    return Measured(values, pd.concat(told)[COLUMNS])
