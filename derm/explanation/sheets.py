"""Contact sheets: the photograph beside what spoke for the answer, with what is true and what was told."""

from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageOps

from derm.contact_sheet import HEIGHT, RIGHT, WIDTH, WRONG, Cell, draw_sheet

COLUMNS = 3


@dataclass(frozen=True)
class Tile:
    """One image.

    photograph: upright RGB. heat: float [rows, columns] in [0, 1], over all of it. box: (left, top, right, bottom) of
    what of it was seen.
    """

    photograph: Image.Image
    heat: np.ndarray
    box: tuple[float, float, float, float]
    name: str
    caption: str
    is_right: bool


def overlay(tile: Tile) -> Image.Image:
    """What the encoder saw of the photograph, coloured where the map is high and left alone where it is low."""
    left, top, right, bottom = (round(edge) for edge in tile.box)
    seen = ImageOps.contain(tile.photograph.crop((left, top, right, bottom)), (WIDTH, HEIGHT))
    across, down = tile.heat.shape[1] / tile.photograph.width, tile.heat.shape[0] / tile.photograph.height
    part = (left * across, top * down, right * across, bottom * down)
    heat = Image.fromarray((tile.heat * 255).astype(np.uint8)).resize(seen.size, Image.Resampling.BILINEAR, part)
    strength = np.asarray(heat, dtype=np.float64) / 255
    colours = colormaps["viridis"](strength)[..., :3] * 255
    opacity = 0.75 * strength[..., None] ** 0.8
    return Image.fromarray(np.round(np.asarray(seen) * (1 - opacity) + colours * opacity).astype(np.uint8))


def contact_sheet(title: str, explanation: str, tiles: list[Tile]) -> Image.Image:
    """All tiles under a title; a sheet without tiles says so."""
    cells = [
        Cell(
            [ImageOps.pad(picture, (WIDTH, HEIGHT), color="white") for picture in (tile.photograph, overlay(tile))],
            RIGHT if tile.is_right else WRONG,
            tile.caption,
            [[tile.name], []],
        )
        for tile in tiles
    ]
    return draw_sheet(title, explanation, cells, COLUMNS, "There is no such image in the test part.")
