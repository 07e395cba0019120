"""All tests of the maps of one model, made on as many test images as were asked for: from images to evidence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import pandas as pd
import torch
from PIL import Image

from derm.decisions.outcome import Calibration
from derm.explanation.faithfulness import blanked, insertion_deletion, road
from derm.explanation.maps import explain
from derm.explanation.measure import BATCH, COLUMNS, Measured, measure_all, read_mask
from derm.explanation.model import Explained
from derm.explanation.params import ExplainParams
from derm.explanation.sanity import coarse
from derm.explanation.shortcuts import NAMES as ARTEFACTS
from derm.explanation.shortcuts import changes
from derm.explanation.study import Drawn, draw, draw_with_masks, targets_of
from derm.images import read_image

# Maps are kept so coarse for the tests that come after: a thousand of them take 10 MB.
KEPT = (64, 48)


class Photographs(Sequence[Image.Image]):
    """The photographs of some rows of the image table, read when they are asked for, so that memory stays flat."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> Image.Image: ...
    @overload
    def __getitem__(self, place: slice) -> list[Image.Image]: ...
    def __getitem__(self, place: int | slice) -> Image.Image | list[Image.Image]:
        if isinstance(place, slice):
            return [self[number] for number in range(len(self))[place]]
        row = self._rows.iloc[place]
        return read_image(row["path"], row["sha256"])


class Masks(Sequence[Image.Image]):
    """Their masks, in the same way; each has one that is usable."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: int) -> Image.Image:  # pyright: ignore[reportIncompatibleMethodOverride]
        mask = read_mask(self._rows.iloc[place])
        assert mask is not None
        return Image.fromarray(mask.astype(np.uint8) * 255)


@dataclass(frozen=True)
class Subject:
    """What is examined. rows: test images, of the image table and the predictions (`target, predicted`); training:
    features [n, dim] and targets [n] of training images, for a head of shuffled labels; None: no sanity checks."""

    explained: Explained
    calibration: Calibration
    rows: pd.DataFrame
    training: tuple[np.ndarray, np.ndarray] | None
    device: torch.device


@dataclass(frozen=True)
class Examined:
    """What was found. measured: on the images of `drawn`. scores: name -> method -> float [m], on `scored`, NaN where
    it has none. changed: as `derm.explanation.shortcuts.changes`, on `shortcuts`; None if not asked for, or without a
    positive class."""

    drawn: Drawn
    measured: Measured
    scored: pd.DataFrame
    scores: dict[str, dict[str, np.ndarray]]
    shortcuts: pd.DataFrame
    changed: pd.DataFrame | None


def examine(subject: Subject, params: ExplainParams) -> Examined:
    """Make all tests that the params ask for."""
    drawn = draw_with_masks(subject.rows, params.localisation, params.seed)
    measured = Measured({}, pd.DataFrame(columns=pd.Index(COLUMNS)))
    if len(drawn.rows):
        targets = _targets(subject, params, drawn.rows)
        measured = measure_all(
            subject.explained,
            drawn.rows,
            targets,
            params.methods,
            subject.training,
            subject.device,
            params.seed,
        )
    # Among images with masks if there are enough: then the lesion can be blanked too.
    pool = drawn.rows if len(drawn.rows) >= params.faithfulness else subject.rows
    scored = draw(pool, params.faithfulness, params.seed)
    scores = _scores(subject, params, scored) if len(scored) else {}
    shortcuts, changed = draw(subject.rows, params.shortcuts, params.seed), None
    if len(shortcuts) and subject.calibration.positive is not None:
        changed = changes(
            subject.explained,
            Photographs(shortcuts),
            shortcuts["image_id"].tolist(),
            list(ARTEFACTS),
            subject.calibration,
            subject.device,
            shortcuts,
            params.seed,
        )
    return Examined(drawn, measured, scored, scores, shortcuts, changed)


def _targets(subject: Subject, params: ExplainParams, rows: pd.DataFrame) -> list[int]:
    return targets_of(rows, params.target, subject.calibration.classes, subject.calibration.positive)


def _scores(subject: Subject, params: ExplainParams, rows: pd.DataFrame) -> dict[str, dict[str, np.ndarray]]:
    """Faithfulness of each method and of RandomCAM; and what blanking does, which is of no method."""
    photographs, targets = Photographs(rows), _targets(subject, params, rows)
    asked = [*(method for method in params.methods if method != "randomcam"), "randomcam"]
    maps: dict[str, list[np.ndarray]] = {method: [] for method in asked}
    for start in range(0, len(rows), BATCH):
        part = slice(start, start + BATCH)
        given = subject.explained, photographs[part], targets[part], asked, subject.device
        for method, heats in explain(*given, rows.iloc[part], params.seed + start).items():
            maps[method] += [coarse(heat, KEPT) for heat in heats]
    scores: dict[str, dict[str, np.ndarray]] = {"road": {}, "insertion": {}, "deletion": {}, "blanked": {}}
    for place, method in enumerate(asked):
        # As Grad-CAM and HiResCAM of a linear head on mean pooling: what is equal has equal scores.
        twin = next((one for one in asked[:place] if _equal(maps[one], maps[method])), None)
        if twin is not None:
            for name in ("road", "insertion", "deletion"):
                scores[name][method] = scores[name][twin]
            continue
        arguments = subject.explained, photographs, maps[method], targets, subject.device, rows, params.seed
        scores["road"][method] = road(*arguments)
        scores["insertion"][method], scores["deletion"][method] = insertion_deletion(*arguments)
    masked = np.array([read_mask(row) is not None for _, row in rows.iterrows()])
    if masked.any():
        here, of = rows[masked], [target for target, has in zip(targets, masked, strict=True) if has]
        scores["blanked"] = {name: np.full(len(rows), np.nan) for name in ("lesion", "background")}
        told = blanked(subject.explained, Photographs(here), Masks(here), of, subject.device, here)
        for name, change in zip(scores["blanked"], told, strict=True):
            scores["blanked"][name][masked] = change
    return {name: of for name, of in scores.items() if of}


def _equal(maps: list[np.ndarray], others: list[np.ndarray]) -> bool:
    """But for how they were computed: maps are in [0, 1]."""
    return all(np.allclose(*pair, rtol=0, atol=1e-4) for pair in zip(maps, others, strict=True))
