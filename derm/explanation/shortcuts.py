"""Whether the answer hangs on what should not matter: hair, a ruler, ink and dark corners drawn onto photographs.

Each of them occurs more often beside some diagnoses than beside others, so that a classifier can learn it in place of
the lesion (Winkler et al. 2019, JAMA Dermatology 155(10), for ink; Bissoto et al. 2019, arXiv 1904.08818).
"""

import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps
from tqdm import tqdm

from derm.contact_sheet import HEIGHT, RIGHT, WIDTH, WRONG, Cell, draw_sheet
from derm.decisions.outcome import Calibration, outcomes
from derm.errors import UserError
from derm.explanation.model import Explained, logits
from derm.lesions import lesions_of
from derm.measures.bootstrap import group_weights, percentile_interval
from derm.seeds import derived
from derm.synthetic.artefacts import with_dark_corners, with_hair, with_ink, with_ruler

Artefact = Literal["hair", "ruler", "ink", "dark_corners"]
NAMES: dict[Artefact, str] = {"hair": "hair", "ruler": "ruler", "ink": "ink", "dark_corners": "dark corners"}
DRAWN: dict[Artefact, Callable[[np.random.Generator, np.ndarray, float], np.ndarray]] = {
    "hair": partial(with_hair, fewest=8),  # a single hair is no test
    "ruler": with_ruler,
    "ink": with_ink,
    "dark_corners": with_dark_corners,
}
DRAWN_AT = 300  # pixels of the longest side that the artefacts' lengths are meant for
BATCH = 16
SHEET_COLUMNS = 2


def with_artefact(photograph: Image.Image, artefact: Artefact, image_id: str, seed: int) -> Image.Image:
    """A copy of an upright RGB photograph of any size with the artefact drawn onto it.

    The drawing is that of the seed and the image id, wherever the image stands; a copy of another size gets the same
    one, larger or smaller.
    """
    rng = np.random.default_rng(derived(seed, zlib.crc32(f"{artefact} {image_id}".encode())))
    scene = np.asarray(photograph, dtype=np.float32) / 255
    drawn = DRAWN[artefact](rng, scene, max(photograph.size) / DRAWN_AT)
    return Image.fromarray(np.round(255 * drawn.clip(0, 1)).astype(np.uint8))


def changes(
    explained: Explained,
    photographs: Sequence[Image.Image],
    ids: Sequence[str],
    artefacts: Sequence[Artefact],
    calibration: Calibration,
    device: torch.device,
    images: pd.DataFrame | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """What becomes of the answer when an artefact is drawn onto each upright RGB photograph.

    ids: image id of each; images: as `derm.explanation.model.network` takes them. Returns a row for each artefact and
    image, in the order given: artefact, image_id, before and after (the positive class's calibrated probability),
    change (after - before), predicted_before, predicted_after (class index), flag_before, flag_after (1 or 0).

    Before, too, is the photograph as it is and nothing else: where the features have several views of an image, whose
    logits are averaged, it need not be what `evaluate` told. What an encoder crops away, as many do the corners with a
    ruler, changes nothing, here as in use. UserError if the task has no positive class.
    """
    if calibration.positive is None:
        raise UserError("shortcuts are told by the positive class, and the task has none: set task.positive")
    drawings: dict[Artefact | None, str] = {None: "as it is"}
    drawings.update((name, NAMES[name]) for name in artefacts)
    told = {}
    for artefact, name in drawings.items():
        found = []
        for start in tqdm(range(0, len(photographs), BATCH), desc=f"shortcuts, {name}", unit="batch"):
            part = slice(start, start + BATCH)
            batch = [
                photograph if artefact is None else with_artefact(photograph, artefact, image_id, seed)
                for photograph, image_id in zip(photographs[part], ids[part], strict=True)
            ]
            found.append(logits(explained, batch, device, None if images is None else images.iloc[part], BATCH))
        told[artefact] = outcomes(torch.cat(found).double().numpy(), calibration)
    before, column = told.pop(None), f"p_{calibration.positive}"
    tables = [
        pd.DataFrame(
            {
                "artefact": artefact,
                "image_id": list(ids),
                "before": before[column],
                "after": after[column],
                "change": after[column] - before[column],
                **{f"{name}_before": before[name] for name in ("predicted", "flag")},
                **{f"{name}_after": after[name] for name in ("predicted", "flag")},
            }
        )
        for artefact, after in told.items()
    ]
    return pd.concat(tables, ignore_index=True)


def by_artefact(changed: pd.DataFrame, rows: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """What `changes` found, summed up for each artefact, with 95 % intervals from resampling groups within targets.

    rows: a row for each image, with image_id, lesion_id, group, target. Returns artefact, images, lesions, change (mean
    of the positive class's probability), change_low, change_high; and of the images, flag (share whose flag flips),
    flag_low, flag_high, predicted (share whose most probable class is another), predicted_low, predicted_high. The
    interval is that of the images drawn, with the one drawing that each of them has.
    """
    of = rows.set_index("image_id")
    table = []
    for artefact, found in changed.groupby("artefact", sort=False):
        known = of.loc[found["image_id"]]
        weights = group_weights(known["group"].to_numpy(), known["target"].to_numpy(), resamples, seed)
        row = {"artefact": artefact, "images": len(found), "lesions": len(np.unique(lesions_of(known)))}
        values = {
            "change": found["change"].to_numpy(),
            "flag": _flips(found, "flag"),
            "predicted": _flips(found, "predicted"),
        }
        for name, value in values.items():
            low, high = percentile_interval(weights @ value / weights.sum(axis=1))
            row |= {name: value.mean(), f"{name}_low": low, f"{name}_high": high}
        table.append(row)
    return pd.DataFrame(table)


def worst(changed: pd.DataFrame, rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """The largest changes of the positive class's probability, up or down, one a group; `rows` as in `by_artefact`."""
    group = changed["image_id"].map(rows.set_index("image_id")["group"])
    ordered = changed.assign(group=group, size=changed["change"].abs())
    ordered = ordered.sort_values(["size", "image_id", "artefact"], ascending=[False, True, True])
    return ordered.drop_duplicates("group").head(count).drop(columns="size")


def shortcut_sheet(cases: pd.DataFrame, photographs: Sequence[Image.Image], positive: str, seed: int) -> Image.Image:
    """Each photograph beside itself with the artefact, and what was told of both.

    cases: rows of `worst`, with the upright RGB photograph of each; seed: that of `changes`.
    """
    cells = []
    for photograph, case in zip(photographs, cases.to_dict("records"), strict=True):
        artefact, image_id = case["artefact"], case["image_id"]
        pair = photograph, with_artefact(photograph, artefact, image_id, seed)
        flips = [name for name in ("flag", "predicted") if case[f"{name}_before"] != case[f"{name}_after"]]
        said = {"flag": "flag flips", "predicted": "predicted class changes"}
        line = ", ".join([f"{NAMES[artefact]} {case['change']:+.2f}", *(said[name] for name in flips)])
        cells.append(
            Cell(
                [ImageOps.pad(picture, (WIDTH, HEIGHT), color="white") for picture in pair],
                WRONG if flips else RIGHT,
                line,
                [[image_id, f"{positive} {case['before']:.2f}"], ["", f"{positive} {case['after']:.2f}"]],
            )
        )
    told = f"the largest changes of the probability of {positive}, one image a lesion; left as it is, right drawn onto"
    return draw_sheet("Shortcuts", told, cells, SHEET_COLUMNS, "There is no image.")


def _flips(found: pd.DataFrame, name: str) -> np.ndarray:
    """1.0 where it is another one after than before, float64 [n]."""
    return (found[f"{name}_before"] != found[f"{name}_after"]).to_numpy(dtype=np.float64)
