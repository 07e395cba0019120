"""Does a map lie on the lesion? Four measures of a map against a lesion's mask, and references that know nothing of it.

Lesions are centred, so that any map that likes the middle looks right: a measure means something only beside that of a
blob in the middle.
"""

import numpy as np
import pandas as pd
from PIL import Image

Box = tuple[float, float, float, float]

MEASURES = {
    "energy": "share of the map inside the lesion",
    "enrichment": "that share over the lesion's share of the area",
    "pointing": "highest place is inside the lesion",
    "ratio": "mean inside the lesion over mean beside it",
}
# Of a map's highest value: one that is 0 on one side would have a ratio of 0, or one without bounds.
LEAST_MEAN = 1e-3
# Of the Gaussian, as a share of the width and height of what is seen: two thirds of its mass lie within the ellipse
# that touches three quarters of each side.
SPREAD = 0.25


def usable(mask: np.ndarray) -> bool:
    """Whether a lesion's mask (bool [rows, columns]) can tell anything: neither empty nor the whole frame, as two of
    HAM10000's are."""
    return bool(mask.any() and not mask.all())


def localisation(heat: np.ndarray, mask: np.ndarray, box: Box) -> dict[str, float]:
    """`MEASURES` of one map, and `area`, the lesion's share of what was seen.

    heat: float [rows, columns], not below 0. mask: bool, of any size, over the same photograph. box: (left, top, right,
    bottom) of what the encoder saw, in pixels of the mask; what it did not see does not count. NaN where all that was
    seen is lesion, or none of it. A map that is 0 everywhere tells of no place more than of another, as one that is the
    same everywhere.

    energy: Wang et al. 2020 (Score-CAM, arXiv 1910.01279). pointing: Zhang et al. 2018 (Excitation Backprop, IJCV 126);
    of several highest places the share that is inside. ratio: the statistic of Tschandl et al. 2020 (Nature Medicine
    26:1229).
    """
    rows, columns = heat.shape
    inside = (
        np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize((columns, rows), Image.Resampling.BOX)) > 127
    )
    photograph = mask.shape[1], mask.shape[0]
    heat, inside = (within(given, box, photograph) for given in (heat.astype(np.float64), inside))
    area = float(inside.mean())
    if not 0 < area < 1:
        return {"area": area, **dict.fromkeys(MEASURES, np.nan)}
    if not heat.any():
        heat = np.ones_like(heat)
    total, least = float(heat.sum()), LEAST_MEAN * float(heat.max())
    energy = float(heat[inside].sum()) / total
    return {
        "area": area,
        "energy": energy,
        "enrichment": energy / area,
        "pointing": float(inside[heat == heat.max()].mean()),
        "ratio": max(float(heat[inside].mean()), least) / max(float(heat[~inside].mean()), least),
    }


def within(heat: np.ndarray, box: Box, photograph: tuple[int, int]) -> np.ndarray:
    """The part of a map [rows, columns] over a whole photograph, which is (width, height), that lies in the box."""
    across, down = heat.shape[1] / photograph[0], heat.shape[0] / photograph[1]
    left, top, right, bottom = box
    return heat[round(top * down) : round(bottom * down), round(left * across) : round(right * across)]


def centred_gaussian(size: tuple[int, int], box: Box, photograph: tuple[int, int]) -> np.ndarray:
    """A blob in the middle of what was seen: float32 [rows, columns] of size (columns, rows), its highest 1, 0 beside
    the box.

    box: in pixels of the photograph, which is (width, height).
    """
    columns, rows = size
    x = (np.arange(columns) + 0.5) * photograph[0] / columns
    y = (np.arange(rows) + 0.5) * photograph[1] / rows
    left, top, right, bottom = box
    across = ((x - (left + right) / 2) / (SPREAD * (right - left))) ** 2
    down = ((y - (top + bottom) / 2) / (SPREAD * (bottom - top))) ** 2
    blob = np.exp(-(across[None, :] + down[:, None]) / 2)
    blob[:, (x < left) | (x > right)] = 0
    blob[(y < top) | (y > bottom), :] = 0
    return (blob / blob.max()).astype(np.float32)


def edges(photograph: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """How steep the grey photograph is, float32 [rows, columns] of size (columns, rows), its highest 1: a map
    that is made of edges alone. Blurred by a sixteenth of the shorter side, about as coarse as a map's cells."""
    from scipy.ndimage import gaussian_filter, sobel

    grey = np.asarray(photograph.convert("L").resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
    steep = gaussian_filter(np.hypot(sobel(grey, axis=0), sobel(grey, axis=1)), min(size) / 16)
    return steep / steep.max() if steep.max() > 0 else steep


def summary(values: pd.DataFrame, weights: np.ndarray) -> pd.DataFrame:
    """`metric, images, value, low, high`: the mean of each measure and its 95 % interval.

    values: columns of `MEASURES`, a row for each image, NaN where one has none; weights: of a bootstrap, [resamples,
    n]. The ratio's mean is geometric: it is a factor.
    """
    from derm.measures.bootstrap import percentile_interval

    rows = []
    for metric in MEASURES:
        given = values[metric].to_numpy(dtype=float)
        known = ~np.isnan(given)
        if not known.any():
            continue
        value, drawn = mean_and_draws(np.log(given[known]) if metric == "ratio" else given[known], weights[:, known])
        told = np.array([value, *percentile_interval(drawn)])
        rows.append((metric, int(known.sum()), *(np.exp(told) if metric == "ratio" else told)))
    return pd.DataFrame(rows, columns=pd.Index(["metric", "images", "value", "low", "high"]))


def mean_and_draws(values: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean of values [n], and in every resample (weights [resamples, n]) that draws any of them: [resamples]."""
    total = weights.sum(axis=1)
    return float(values.mean()), (weights @ values)[total > 0] / total[total > 0]


def lead(ours: np.ndarray, theirs: np.ndarray, weights: np.ndarray) -> tuple[float, float, float, int]:
    """Mean of ours - theirs over the images that have both, its 95 % interval, and how many these are; paired: the same
    images are drawn for both."""
    from derm.measures.bootstrap import percentile_interval

    known = ~np.isnan(ours) & ~np.isnan(theirs)
    if not known.any():
        return np.nan, np.nan, np.nan, 0
    value, drawn = mean_and_draws((ours - theirs)[known], weights[:, known])
    return value, *percentile_interval(drawn), int(known.sum())
