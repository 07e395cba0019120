"""Contact sheets: the photograph beside what spoke for the answer, with what is true and what was told."""

from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont, ImageOps

WIDTH, HEIGHT = 232, 174
CAPTION = 52
GAP = 14
COLUMNS = 3
RIGHT, WRONG, INK = "#0072B2", "#D55E00", "#222222"


@dataclass(frozen=True)
class Tile:
    """One image.

    photograph: upright RGB. heat: float [rows, columns] in [0, 1], over `box` (left, top, right, bottom) of it.
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
    heat = Image.fromarray((tile.heat * 255).astype(np.uint8)).resize(seen.size, Image.Resampling.BILINEAR)
    strength = np.asarray(heat, dtype=np.float64) / 255
    colours = colormaps["viridis"](strength)[..., :3] * 255
    opacity = 0.75 * strength[..., None] ** 0.8
    return Image.fromarray(np.round(np.asarray(seen) * (1 - opacity) + colours * opacity).astype(np.uint8))


def _paste_centred(sheet: Image.Image, picture: Image.Image, left: int, top: int) -> None:
    sheet.paste(picture, (left + (WIDTH - picture.width) // 2, top + (HEIGHT - picture.height) // 2))


def contact_sheet(title: str, explanation: str, tiles: list[Tile]) -> Image.Image:
    """All tiles under a title; a sheet without tiles says so."""
    across = 2 * WIDTH + GAP
    rows = max(1, -(-len(tiles) // COLUMNS))
    columns = min(COLUMNS, max(2, len(tiles)))
    header = 64
    sheet = Image.new("RGB", (columns * across + GAP, header + rows * (HEIGHT + CAPTION) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, 12), title, fill=INK, font=ImageFont.load_default(20))
    draw.text((GAP, 40), explanation, fill="#555555", font=ImageFont.load_default(13))
    if not tiles:
        draw.text(
            (GAP, header + 20), "There is no such image in the test part.", fill=INK, font=ImageFont.load_default(15)
        )
    for number, tile in enumerate(tiles):
        left = GAP + (number % COLUMNS) * across
        top = header + (number // COLUMNS) * (HEIGHT + CAPTION)
        _paste_centred(sheet, ImageOps.contain(tile.photograph, (WIDTH, HEIGHT)), left, top)
        _paste_centred(sheet, overlay(tile), left + WIDTH, top)
        colour = RIGHT if tile.is_right else WRONG
        draw.rectangle((left, top + HEIGHT, left + 2 * WIDTH - 1, top + HEIGHT + 3), fill=colour)
        draw.text((left, top + HEIGHT + 7), tile.caption, fill=INK, font=ImageFont.load_default(13))
        draw.text((left, top + HEIGHT + 24), tile.name, fill="#777777", font=ImageFont.load_default(11))
    return sheet
