"""Test images that a person should see: contact sheets and the gallery, each photograph with two maps beside it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from derm.decisions.outcome import Calibration
from derm.explanation.gallery import Card
from derm.explanation.localisation import MEASURES, localisation
from derm.explanation.maps import explain, seen_box
from derm.explanation.measure import BATCH, read_mask
from derm.explanation.model import Explained
from derm.explanation.sheets import Tile
from derm.explanation.study import targets_of
from derm.images import read_image


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
    method: str,
    target: str,
    device: torch.device,
) -> list[Card]:
    """A card for each of the test images: the map of the class asked for (`explain.target`), and of its rival.

    rows: of the image table and the predictions. The measures are of the first map, where there is a mask.
    """
    classes = calibration.classes
    firsts = targets_of(rows, target, classes, calibration.positive)
    made = []
    for start in range(0, len(rows), BATCH):
        batch = rows.iloc[start : start + BATCH]
        photographs = [read_image(row["path"], row["sha256"]) for _, row in batch.iterrows()]
        first = firsts[start : start + BATCH]
        second = [rival(row, index, calibration) for (_, row), index in zip(batch.iterrows(), first, strict=True)]
        pairs = [explain(explained, photographs, of, [method], device, batch)[method] for of in (first, second)]
        for place, (_, row) in enumerate(batch.iterrows()):
            photograph, mask = photographs[place], read_mask(row)
            box = seen_box(explained.encoders, *photograph.size)
            found = {} if mask is None else localisation(pairs[0][place], mask, box)
            told = {name: float(row[f"p_{name}"]) for name in classes}
            made.append(
                Card(
                    photograph=photograph,
                    maps=[
                        (f"{classes[of]} {told[classes[of]]:.2f}", pair[place])
                        for of, pair in ((first[place], pairs[0]), (second[place], pairs[1]))
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
