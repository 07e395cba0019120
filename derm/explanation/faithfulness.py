"""Whether the answer hangs on what a map shows: parts of the photograph are taken away, and the model is asked again.

Everything is done to the upright photograph, so that joined encoders see the same picture, and counts the part of it
alone that an encoder is shown. What is taken away is filled from what is left: a black or grey hole would be a picture
that no photograph looks like, and the answer to it says little.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageFilter
from tqdm import tqdm

from derm.explanation.maps import seen_box
from derm.explanation.model import Explained, probabilities
from derm.seeds import derived

SHARES = (0.2, 0.4, 0.6, 0.8)
STEPS = 8
# Cells along the longer side of what is seen: areas are ranked and filled in these. The time of filling grows faster
# than its square; from 24 to 96, the mean ROAD of 40 photographs of HAM10000 changed by less than 0.005.
GRID = 32
# Photographs are made as small as this first, longest side in pixels: few encoders are shown more.
LARGEST = 1024
NOISE = 0.01  # standard deviation of what is filled, of RGB in [0, 1], as in ROAD
BLUR = 10 / 224  # standard deviation over the longer side of what is seen (Fong and Vedaldi 2017, arXiv 1704.03296)


@dataclass(frozen=True)
class Seen:
    """The part of a photograph that is seen, cut into cells of equal size, but for a pixel.

    pixels: uint8 [rows, columns, 3] of the box, whose left upper corner is at `corner`. cells: int [rows, columns], the
    cell that each of its pixels lies in, numbered row by row. grid: (rows, columns) of cells.
    """

    photograph: Image.Image
    corner: tuple[int, int]
    pixels: np.ndarray
    cells: np.ndarray
    grid: tuple[int, int]

    @property
    def box(self) -> tuple[int, int, int, int]:
        left, top = self.corner
        return left, top, left + self.pixels.shape[1], top + self.pixels.shape[0]

    def with_pixels(self, pixels: np.ndarray) -> Image.Image:
        """The photograph with other pixels in the box."""
        changed = self.photograph.copy()
        changed.paste(Image.fromarray(pixels), self.corner)
        return changed


def seen_of(explained: Explained, photograph: Image.Image) -> Seen:
    """What the encoders that count see of a photograph."""
    if max(photograph.size) > LARGEST:
        photograph = photograph.copy()
        photograph.thumbnail((LARGEST, LARGEST))
    box = seen_box(explained.encoders, photograph.width, photograph.height)
    left, top, right, bottom = int(box[0]), int(box[1]), int(np.ceil(box[2])), int(np.ceil(box[3]))
    pixels = np.array(photograph.crop((left, top, right, bottom)))
    ratio = min(1.0, GRID / max(pixels.shape[:2]))
    rows, columns = (max(1, round(side * ratio)) for side in pixels.shape[:2])
    down = np.arange(pixels.shape[0]) * rows // pixels.shape[0]
    across = np.arange(pixels.shape[1]) * columns // pixels.shape[1]
    return Seen(photograph, (left, top), pixels, down[:, None] * columns + across, (rows, columns))


def ranked(seen: Seen, heat: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Numbers of all pixels of the box, row by row, the most relevant first: int [rows * columns].

    heat: float [rows, columns] over the whole photograph, in any size. Cells that are equal, such as all those where
    nothing speaks for the class, come in a random order: by position, the upper ones would always be the first.
    """
    across, down = heat.shape[1] / seen.photograph.width, heat.shape[0] / seen.photograph.height
    left, top, right, bottom = seen.box
    box = (left * across, top * down, right * across, bottom * down)
    rows, columns = seen.grid
    in_cells = Image.fromarray(heat.astype(np.float32)).resize((columns, rows), Image.Resampling.BOX, box)
    relevance = np.asarray(in_cells).ravel().round(6)  # no order among what differs by how it was computed
    order = np.lexsort((generator.random(relevance.size), -relevance))
    rank = np.empty(order.size, dtype=np.int64)
    rank[order] = np.arange(order.size)
    return rank[seen.cells.ravel()].argsort(kind="stable")


def without(seen: Seen, removed: np.ndarray, noise: np.ndarray | float = 0.0) -> Image.Image:
    """The photograph with the removed pixels (bool [rows, columns] of the box) filled from those that are left.

    noise: added to what is filled, of RGB in [0, 255]. The filling is ROAD's, done on the cells and laid over the
    pixels smoothly. A cell has the mean colour of what is left of it; one of which nothing is left is the weighted mean
    of its neighbours, which is one system of linear equations. Nothing left at all: ValueError.
    """
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer

    if not removed.any():
        return seen.photograph
    where, left, count = seen.cells.ravel(), ~removed.ravel(), seen.grid[0] * seen.grid[1]
    if not left.any():
        raise ValueError("all is removed: nothing is left to fill it from")
    flat = seen.pixels.reshape(-1, 3) * left[:, None]
    sums = np.stack([np.bincount(where, flat[:, channel], count) for channel in range(3)])
    pixels_left = np.bincount(where, left, count)
    filled = torch.from_numpy(sums / pixels_left.clip(1)).reshape(3, *seen.grid).float()
    if not pixels_left.all():
        filled = NoisyLinearImputer(noise=0)(filled, torch.from_numpy(pixels_left > 0).reshape(seen.grid).float())
    size = seen.pixels.shape[1], seen.pixels.shape[0]
    cells = Image.fromarray(_as_pixels(filled.permute(1, 2, 0).numpy()))
    smooth = cells.resize(size, Image.Resampling.BILINEAR)
    return seen.with_pixels(np.where(removed[..., None], _as_pixels(np.asarray(smooth) + noise), seen.pixels))


def road(
    explained: Explained,
    photographs: Sequence[Image.Image],
    maps: Sequence[np.ndarray],
    targets: Sequence[int],
    device: torch.device,
    images: pd.DataFrame | None = None,
    seed: int = 0,
    shares: Sequence[float] = SHARES,
) -> np.ndarray:
    """ROAD of each map, float64 [n] in [-0.5, 0.5] (Rong et al. 2022, arXiv 2202.00449): what a random map gets is
    about 0, and the higher, the more the answer hangs on what the map shows.

    photographs: upright RGB; maps: of `derm.explanation.maps.explain`, one for each; targets: the class explained;
    images: as `derm.explanation.model.network` takes them; shares: of the area, each above 0 and below 1.

    The mean over shares of (p without the least relevant - p without the most relevant) / 2, with p the head's
    probability of the class before calibration, as in the library's `ROADCombined`. What is removed is
    filled (`without`) with a little noise, else the shape of what was removed could be read from how smooth it is. An
    image's order of equals and its noise are those of the seed and its pixels, wherever it stands.
    """
    if not all(0 < share < 1 for share in shares):
        raise ValueError(f"shares {tuple(shares)} are not all above 0 and below 1")

    def perturbed(number: int) -> list[Image.Image]:
        seen = seen_of(explained, photographs[number])
        generator = _generator(seen, seed)
        order = ranked(seen, maps[number], generator)
        noise = generator.normal(0, 255 * NOISE, seen.pixels.shape)
        counts = [round(share * order.size) for share in shares]
        parts = [order[order.size - count :] for count in counts] + [order[:count] for count in counts]
        return [without(seen, _mask(seen, part), noise) for part in parts]

    told = _asked(explained, perturbed, targets, device, images, "ROAD")
    least_first, most_first = told[:, : len(shares)], told[:, len(shares) :]
    return (least_first - most_first).mean(axis=1) / 2


def insertion_deletion(
    explained: Explained,
    photographs: Sequence[Image.Image],
    maps: Sequence[np.ndarray],
    targets: Sequence[int],
    device: torch.device,
    images: pd.DataFrame | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Insertion and deletion of each map, float64 [n] in [0, 1] (Petsiuk et al. 2018, arXiv 1806.07421): high and low
    if the answer hangs on what the map shows.

    Arguments as for `road`. The area under the class's probability against the share of the area that is inserted into
    a blurred photograph, or blurred in the photograph, the most relevant first, by STEPS trapezia. (The paper deletes
    to black.) A wide blur takes the structure and leaves the colours: a lesion told by its colour alone loses little.
    """
    shares = np.linspace(0, 1, STEPS + 1)

    def perturbed(number: int) -> list[Image.Image]:
        seen = seen_of(explained, photographs[number])
        order = ranked(seen, maps[number], _generator(seen, seed))
        blur = ImageFilter.GaussianBlur(BLUR * max(seen.pixels.shape[:2]))
        blurred = np.array(seen.photograph.crop(seen.box).filter(blur))
        firsts = [_mask(seen, order[: round(share * order.size)])[..., None] for share in shares]
        inserted = [seen.with_pixels(np.where(first, seen.pixels, blurred)) for first in firsts]
        # With nothing deleted it is what it is with all inserted, and the other way round.
        return inserted + [seen.with_pixels(np.where(first, blurred, seen.pixels)) for first in firsts[1:-1]]

    told = _asked(explained, perturbed, targets, device, images, "insertion and deletion")
    inserted = told[:, : STEPS + 1]
    deleted = np.concatenate([inserted[:, -1:], told[:, STEPS + 1 :], inserted[:, :1]], axis=1)
    return np.trapezoid(inserted, shares, axis=1), np.trapezoid(deleted, shares, axis=1)


def blanked(
    explained: Explained,
    photographs: Sequence[Image.Image],
    masks: Sequence[Image.Image],
    targets: Sequence[int],
    device: torch.device,
    images: pd.DataFrame | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """What blanking the lesion, and what blanking all but the lesion, does to the class's probability: two float64 [n],
    each p blanked - p of the photograph, in [-1, 1].

    masks: of the photograph's size, lesion where it is not black, in any mode that converts to grey; else as for
    `road`. What is blanked is filled from what is left, as in ROAD: skin closes over the lesion, and the colours of the
    lesion's rim run out to the edges. So neither leaves an outline that tells what was there. NaN for both where one of
    the two would leave nothing to fill from: a mask of all that is seen, or of nothing.
    """
    whole = np.zeros(len(photographs), dtype=bool)

    def perturbed(number: int) -> list[Image.Image]:
        seen = seen_of(explained, photographs[number])
        mask = masks[number].convert("L").resize(seen.photograph.size, Image.Resampling.NEAREST)
        lesion = np.asarray(mask.crop(seen.box)) > 0
        try:
            return [seen.photograph, without(seen, lesion), without(seen, ~lesion)]
        except ValueError:
            whole[number] = True
            return [seen.photograph] * 3

    told = _asked(explained, perturbed, targets, device, images, "blanked")
    change = told[:, 1:] - told[:, :1]
    change[whole] = np.nan
    return change[:, 0], change[:, 1]


def _asked(
    explained: Explained,
    perturbed: Callable[[int], list[Image.Image]],
    targets: Sequence[int],
    device: torch.device,
    images: pd.DataFrame | None,
    what: str,
) -> np.ndarray:
    """The probability of each image's class for what became of it, float64 [n, pictures]; one image at a time."""
    told = []
    for number in tqdm(range(len(targets)), desc=what, unit="image"):
        pictures = perturbed(number)
        known = None if images is None else images.iloc[[number] * len(pictures)]
        told.append(probabilities(explained, pictures, device, known)[:, targets[number]])
    return torch.stack(told).double().numpy()


def _generator(seen: Seen, seed: int) -> np.random.Generator:
    return np.random.default_rng(derived(seed, zlib.crc32(seen.pixels.tobytes())))


def _mask(seen: Seen, numbers: np.ndarray) -> np.ndarray:
    """Bool [rows, columns] of the box, true at these pixels."""
    mask = np.zeros(seen.cells.size, dtype=bool)
    mask[numbers] = True
    return mask.reshape(seen.cells.shape)


def _as_pixels(values: np.ndarray) -> np.ndarray:
    return np.round(values.clip(0, 255)).astype(np.uint8)
