"""A map laid over its photograph, for people to look at."""

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageChops, ImageFilter, ImageOps

from derm.contact_sheet import HEIGHT, WIDTH

# (left, top, right, bottom) of what of a photograph was seen, in its pixels.
Box = tuple[float, float, float, float]
# Of the same size as its photograph: 'L', above 127 where the lesion is, or bool [rows, columns].
Mask = Image.Image | np.ndarray

# Perceptually uniform, told apart by colour-blind readers, and of blues and greens that skin and lesions do not have:
# magma and plasma look like the lesion itself, cividis like its grey-brown parts.
COLOURS = colormaps["viridis"]
# What counts as lowest and as highest, of what is above 0: one hot cell does not make all others vanish, and a map that
# is nowhere 0 is not one veil.
LOWEST, HIGHEST = 2.0, 99.0
# Below 1 the middle of the scale is lifted, above 1 it sinks.
GAMMA = 0.8
# Of the highest: the lesion's structures still show through.
OPACITY = 0.65
# Where no encoder looked the photograph is mixed with so much of this grey.
VEIL, UNSEEN = 0.6, 235
# The outline is one pixel of white between pixels of near-black for each of so many pixels of the shorter side.
THIN, WHITE, DARK = 220, (255, 255, 255), (20, 20, 20)


def fitted(photograph: Image.Image, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    """The upright RGB photograph as large as it can be in `size`, (width, height) in pixels; its shape is kept."""
    return ImageOps.contain(photograph, size)


def is_whole(box: Box, photograph: Image.Image) -> bool:
    """Whether all of the photograph was seen, to a pixel."""
    return tuple(map(round, box)) == (0, 0, *photograph.size)


def overlay(
    photograph: Image.Image,
    heat: np.ndarray,
    box: Box,
    mask: Mask | None = None,
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> Image.Image:
    """The photograph as `fitted` gives it, coloured where the map is high and left alone where it is 0.

    heat: float32 [rows, columns] in [0, 1] over the whole photograph. What is beside the box is veiled. The mask's edge
    is drawn; along the photograph's own edge there is none. A map that is the same everywhere is coloured everywhere, a
    map of 0 nowhere.
    """
    seen = fitted(photograph, size)
    strength = _strength(heat, seen.size, _scaled_box(box, photograph.size, seen.size))[..., None]
    veil = np.where(np.isnan(strength), VEIL, 0)
    strength = np.nan_to_num(strength)
    opacity = OPACITY * strength
    pixels = np.asarray(seen) * (1 - veil) + UNSEEN * veil
    pixels = pixels * (1 - opacity) + COLOURS(strength[..., 0])[..., :3] * 255 * opacity
    picture = Image.fromarray(np.round(pixels).astype(np.uint8))
    return picture if mask is None else _outlined(picture, mask)


def colour_key(width: int, height: int) -> Image.Image:
    """The colours from little (left) to much, on white, as strongly as `overlay` lays them."""
    strength = np.linspace(0, 1, width)[None, :, None] ** GAMMA
    row = 255 * (1 - OPACITY * strength) + COLOURS(strength[..., 0])[..., :3] * 255 * OPACITY * strength
    return Image.fromarray(np.round(row).astype(np.uint8)).resize((width, height))


def _strength(heat: np.ndarray, size: tuple[int, int], box: tuple[int, int, int, int]) -> np.ndarray:
    """How strongly to colour, float [height, width] in [0, 1]; NaN beside the box."""
    resized = np.asarray(Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
    left, top, right, bottom = box
    seen = resized[top:bottom, left:right].astype(np.float64)
    strength = np.full((size[1], size[0]), np.nan)
    above = seen[seen > 0]
    low, high = np.percentile(above, (LOWEST, HIGHEST)) if above.size else (0.0, 1.0)
    if high <= low:
        low = 0.0  # all that is above 0 is the same
    strength[top:bottom, left:right] = ((seen - low) / (high - low)).clip(0, 1) ** GAMMA
    return strength


def _scaled_box(box: Box, photograph: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box in the picture's pixels, at least one of them."""
    across, down = size[0] / photograph[0], size[1] / photograph[1]
    left = min(max(round(box[0] * across), 0), size[0] - 1)
    top = min(max(round(box[1] * down), 0), size[1] - 1)
    return left, top, max(left + 1, round(box[2] * across)), max(top + 1, round(box[3] * down))


def _outlined(picture: Image.Image, mask: Mask) -> Image.Image:
    """The picture with the mask's edge in white between dark lines, seen on every skin and under every colour."""
    lesion = Image.fromarray(mask.astype(np.uint8) * 255) if isinstance(mask, np.ndarray) else mask.convert("L")
    inside = np.asarray(lesion.resize(picture.size, Image.Resampling.BILINEAR)) > 127
    lesion = Image.fromarray(inside.astype(np.uint8) * 255)
    wide = 2 * max(1, round(min(picture.size) / THIN)) + 1
    # Filters repeat the picture's border: a lesion that runs over it has no edge there.
    line = ImageChops.subtract(lesion, lesion.filter(ImageFilter.MinFilter(wide)))
    picture.paste(DARK, mask=line.filter(ImageFilter.MaxFilter(wide)))
    picture.paste(WHITE, mask=line)
    return picture
