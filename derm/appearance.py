"""What a photograph looks like, in four numbers: how bright and sharp it is, whether something stands out, skin tone.

They describe pictures and not lesions: they tell on which photographs a classifier is more often wrong. All are
computed from small copies, so that they cost little beside decoding, and hardly depend on the photograph's resolution.
Each was looked at on HAM10000: the extremes are what their names say, with the exceptions named below.
"""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from derm.files import DECIMALS

# Width and height of the copy whose colours are looked at; a photograph is squashed into it, whatever its shape.
WIDTH, HEIGHT = 32, 24
# Longer side, in pixels, at which sharpness is measured.
SHARPNESS_SIDE = 200
# Below this L* nothing is skin: what surrounds the round field of a dermatoscope (vignette), or thick hair.
BLACK = 20.0
# The part of the pixels in the middle that differ most from the border: a lesion is at least about as large.
LESION_SHARE = 0.01
# With less of the frame than this left as skin, its colour is that of the lesion's margin.
LEAST_SKIN = 0.05
ITA_CATEGORIES = ("very light", "light", "intermediate", "tan", "brown", "dark")
ITA_LIMITS = (55.0, 41.0, 28.0, 10.0, -30.0)
BLUISH = "bluish light"


def _frame() -> tuple[np.ndarray, np.ndarray]:
    """The border ring, a tenth of the frame's height wide, and the ellipse in its middle, bool [HEIGHT, WIDTH]."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    to_edge = np.minimum.reduce([x, WIDTH - 1 - x, y, HEIGHT - 1 - y])
    radius = np.hypot((2 * x + 1) / WIDTH - 1, (2 * y + 1) / HEIGHT - 1)
    return to_edge < round(0.1 * HEIGHT), radius < 0.7


def _linear() -> np.ndarray:
    """IEC 61966-2-1: the light that each of the 256 values of an sRGB channel stands for, 0 to 1."""
    value = np.arange(256) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


RING, MIDDLE = _frame()
LINEAR = _linear()
# From linear sRGB to XYZ under D65; each row divided by its sum, so that white is 1, 1, 1.
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
TO_XYZ /= TO_XYZ.sum(axis=1, keepdims=True)


class Appearance(NamedTuple):
    """Rounded as tables are, so that a photograph has the same numbers alone and in a table.

    brightness: L* (0 to 100) that a tenth of the frame exceeds. The mean would call every large dark lesion, and every
    vignette, a dark photograph. Red skin is dark in this sense.
    sharpness: variance of the Laplacian of the grey picture's middle (Pech-Pacheco et al. 2000, "Diatom
    autofocusing in brightfield microscopy"), reduced to 200 pixels. With the threshold that 5 % of HAM10000 fall
    below, it finds 88 % of its pictures once they are blurred with a standard deviation of 1 of these pixels, and 24 %
    at 0.7. What it cannot: tell finer blur; tell a faint lesion on smooth skin from a blurred one; see blur behind
    hair in focus, or under noise; compare pictures of fewer than 200 pixels, which are not enlarged.
    lesion_contrast: how far the hundredth of the frame, within its middle, that differs most from the border is from
    the border's colour (median outside the vignette), as mean CIE76 distance in CIELAB. Low where no lesion is seen,
    where it is faint, or where it fills the frame with one colour; hair and marks raise it. No mask is needed.
    ita: individual typology angle in degrees (`ita_category`) of the skin's median L* and b*, outside the mask with a
    margin and outside the vignette; NaN without a mask, or with too little skin. It follows the light and the camera
    at least as much as the skin, and dense hair or reddening lower it: HAM10000's few "dark" ones are these.
    """

    brightness: float
    sharpness: float
    lesion_contrast: float
    ita: float


MEASURES = list(Appearance._fields)


def appearance(image: Image.Image, mask: Image.Image | None) -> Appearance:
    """Measure an upright RGB image of any size.

    mask: of the same size, lesion where it is not black, in any mode that converts to grey; None: there is none.
    Only local variables: safe in many threads.
    """
    image = _reduced(image)
    colours = cielab(np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BOX, reducing_gap=1.0)))
    black = colours[0] < BLACK
    return Appearance(
        brightness=round(_brightness(colours), DECIMALS),
        sharpness=round(_sharpness(image), DECIMALS),
        lesion_contrast=round(_contrast(colours, black), DECIMALS),
        ita=round(_ita(colours, black, mask), DECIMALS),
    )


def cielab(pixels: np.ndarray) -> np.ndarray:
    """sRGB uint8 [..., 3] as L*, a*, b*, float64 [3, ...], under D65, 2 degrees (CIE 15:2004, section 8.2.1)."""
    red, green, blue = np.moveaxis(LINEAR.take(pixels), -1, 0)
    # No matrix product, whose last digits depend on the library that multiplies.
    outer = np.multiply.outer
    ratio = outer(TO_XYZ[:, 0], red) + outer(TO_XYZ[:, 1], green) + outer(TO_XYZ[:, 2], blue)
    x, y, z = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * ((29 / 6) ** 2 / 3) + 4 / 29)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def ita_category(ita: float) -> str:
    """The published category of an individual typology angle: empty for NaN.

    ITA = arctan((L* - 50) / b*) 180 / pi (Chardon et al. 1991, "Skin colour typology and suntanning pathways"): very
    light above 55, light above 41, intermediate above 28, tan above 10, brown above -30, else dark (Del Bino and
    Bernerd 2013, doi 10.1111/bjd.12529). Skin under white light has b* above 0. Where it is not, the angle
    is beyond 90 degrees and says more of the light and the camera than of the skin: `BLUISH`. (The formula itself would
    jump there from very light to dark.)
    """
    if math.isnan(ita):
        return ""
    if abs(ita) > 90:
        return BLUISH
    return ITA_CATEGORIES[sum(ita <= limit for limit in ITA_LIMITS)]


def _reduced(image: Image.Image) -> Image.Image:
    """By a whole factor, which is quick, to no less than what sharpness is measured on."""
    factor = max(image.size) // SHARPNESS_SIDE
    return image.reduce(factor) if factor > 1 else image


def _brightness(colours: np.ndarray) -> float:
    place = round(0.9 * (WIDTH * HEIGHT - 1))
    return float(np.partition(colours[0].ravel(), place)[place])


def _sharpness(image: Image.Image) -> float:
    # Left out: the vignette's edge, rulers and text are mostly in the outer eighths.
    left, top = image.width // 8, image.height // 8
    middle = image.crop((left, top, image.width - left, image.height - top)).convert("L")
    # At least 3 pixels, of which the Laplacian has one.
    reduction = max(1.0, max(image.size) / SHARPNESS_SIDE)
    size = max(3, round(middle.width / reduction)), max(3, round(middle.height / reduction))
    part = np.asarray(middle if middle.size == size else middle.resize(size, Image.Resampling.BOX)).astype(np.int16)
    inner = part[1:-1, 1:-1]
    laplacian = part[1:-1, :-2] + part[1:-1, 2:] + part[:-2, 1:-1] + part[2:, 1:-1] - 4 * inner
    # Sums of whole numbers are exact, and quicker than numpy's variance.
    squares = np.square(laplacian, dtype=np.int32).sum(dtype=np.int64)
    return float(squares / laplacian.size - (laplacian.sum(dtype=np.int64) / laplacian.size) ** 2)


def _contrast(colours: np.ndarray, black: np.ndarray) -> float:
    border = RING & ~black
    # In a frame that is black at most of its border, black is the border's colour.
    if np.count_nonzero(border) < np.count_nonzero(RING) / 4:
        border = RING
    difference = colours[:, MIDDLE] - _median(colours[:, border])[:, None]
    squares = (difference**2).sum(axis=0)
    count = round(LESION_SHARE * WIDTH * HEIGHT)
    return float(np.sqrt(np.partition(squares, -count)[-count:]).mean())


def _ita(colours: np.ndarray, black: np.ndarray, mask: Image.Image | None) -> float:
    if mask is None:
        return math.nan
    # Masks are of one piece, so every few pixels tell enough.
    lesion = np.asarray(mask.resize((WIDTH, HEIGHT), Image.Resampling.NEAREST).convert("L")) > 0
    skin = colours[:, ~_widened(lesion | black)]
    if skin.shape[1] < LEAST_SKIN * WIDTH * HEIGHT:
        return math.nan
    lightness, _, yellowness = _median(skin)
    # atan2 goes on beyond 90 degrees where b* falls below 0 (see `ita_category`).
    return math.degrees(math.atan2(lightness - 50, yellowness))


def _median(colours: np.ndarray) -> np.ndarray:
    """Of each row of [channels, n]; the upper one of two in the middle. np.median takes three times as long."""
    middle = colours.shape[1] // 2
    return np.partition(colours, middle)[:, middle]


def _widened(area: np.ndarray) -> np.ndarray:
    """By one pixel to all sides, 3 % of the frame's width: a lesion's margin is not sharp."""
    rows = area.copy()
    rows[1:] |= area[:-1]
    rows[:-1] |= area[1:]
    wide = rows.copy()
    wide[:, 1:] |= rows[:, :-1]
    wide[:, :-1] |= rows[:, 1:]
    return wide
