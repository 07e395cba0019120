"""Test images that a person should see: contact sheets and the gallery, each photograph with two maps beside it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from PIL import Image

from derm.decisions.outcome import Calibration
from derm.explanation.gallery import Card
from derm.explanation.localisation import MEASURES, Box, localisation
from derm.explanation.maps import explain, seen_box
from derm.explanation.measure import BATCH, read_mask
from derm.explanation.methods import OF_NO_CLASS
from derm.explanation.model import Explained
from derm.explanation.params import ExplainParams
from derm.explanation.sheets import Tile
from derm.explanation.study import targets_of
from derm.images import read_image

LARGEST = 800  # pixels, longest side of what is kept of a photograph


def rival(row: pd.Series, target: int, calibration: Calibration) -> int:
    """The class that is shown beside another: the positive one; beside the positive one, the most probable other."""
    classes, positive = calibration.classes, calibration.positive
    if positive is not None and classes[target] != positive:
        return classes.index(positive)
    others = [index for index in range(len(classes)) if index != target]
    return max(others, key=lambda index: float(row[f"p_{classes[index]}"]))


def cards(
    explained: Explained,
    rows: pd.DataFrame,
    calibration: Calibration,
    params: ExplainParams,
    device: torch.device,
) -> list[Card]:
    """A card for each of the test images: the map of the class asked for (`explain.target`), and of its rival.

    rows: of the image table and the predictions. The measures are of the first map, where there is a mask.
    """
    classes, method, seed = calibration.classes, params.method, params.seed
    firsts = targets_of(rows, params.target, classes, calibration.positive)
    made = []
    for start in range(0, len(rows), BATCH):
        batch = rows.iloc[start : start + BATCH]
        photographs = [read_image(row["path"], row["sha256"]) for _, row in batch.iterrows()]
        first = firsts[start : start + BATCH]
        second = [rival(row, index, calibration) for (_, row), index in zip(batch.iterrows(), first, strict=True)]
        # What knows no class is one map for all of them.
        sought = [first] if method in OF_NO_CLASS else [first, second]
        pairs = [explain(explained, photographs, of, [method], device, batch, seed + start)[method] for of in sought]
        for place, (_, row) in enumerate(batch.iterrows()):
            photograph, mask = photographs[place], read_mask(row)
            box = seen_box(explained.encoders, *photograph.size)
            found = {} if mask is None else localisation(pairs[0][place], mask, box)
            photograph, mask, box = _small(photograph, mask, box)
            told = {name: float(row[f"p_{name}"]) for name in classes}
            made.append(
                Card(
                    photograph=photograph,
                    maps=[
                        ("any class" if method in OF_NO_CLASS else _named(of[place], classes, told), pair[place])
                        for of, pair in zip(sought, pairs, strict=True)
                    ],
                    box=box,
                    image_id=str(row["image_id"]),
                    lesion_id=str(row["lesion_id"]),
                    true=classes[row["target"]],
                    told=classes[row["predicted"]],
                    decided=classes[row["decision"]],
                    probabilities=told,
                    flagged=None if calibration.positive is None else str(row["flag"]) == "1",
                    mask=mask,
                    measures={
                        name: round(value, 2)
                        for name, value in found.items()
                        if name in MEASURES and not np.isnan(value)
                    },
                )
            )
    return made


def _named(index: int, classes: Sequence[str], told: dict[str, float]) -> str:
    return f"{classes[index]} {told[classes[index]]:.2f}"


def _small(photograph: Image.Image, mask: np.ndarray | None, box: Box) -> tuple[Image.Image, np.ndarray | None, Box]:
    """Not larger than LARGEST: all of them are in memory at once, and no picture of them is."""
    ratio = LARGEST / max(photograph.size)
    if ratio >= 1:
        return photograph, mask, box
    size = max(1, round(photograph.width * ratio)), max(1, round(photograph.height * ratio))
    across, down = size[0] / photograph.width, size[1] / photograph.height
    if mask is not None:
        mask = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    left, top, right, bottom = box
    return photograph.resize(size), mask, (left * across, top * down, right * across, bottom * down)


def tile(card: Card, judged: str) -> Tile:
    """As it stands on a contact sheet; judged: `told` or `decided`, which makes it right or wrong."""
    caption = f"true {card.true}   told {card.told} {card.probabilities[card.told]:.2f}   decided {card.decided}"
    caption += "   flagged" if card.flagged else ""
    return Tile(
        photograph=card.photograph,
        maps=card.maps,
        box=card.box,
        name=card.image_id,
        caption=caption,
        is_right=getattr(card, judged) == card.true,
        mask=card.mask,
    )


def for_gallery(rows: pd.DataFrame, count: int, first: Sequence[str]) -> pd.DataFrame:
    """So many rows: those whose image ids come first, such as the sheets', then others spread over the true classes."""
    known = rows[rows["image_id"].isin(first)]
    rest = rows[~rows["image_id"].isin(first)]
    turn = rest.groupby("target").cumcount()
    spread = rest.assign(turn=turn).sort_values(["turn", "target"], kind="stable").drop(columns="turn")
    return pd.concat([known, spread]).head(count)
