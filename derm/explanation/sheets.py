"""Contact sheets: the photograph beside what spoke for each of some classes, with what is true and what was told."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from derm.contact_sheet import BETWEEN, GAP, HEIGHT, INK, RIGHT, WIDTH, WRONG, Cell, draw_sheet
from derm.explanation.pictures import Box, Mask, colour_key, fitted, is_whole, overlay

# Pictures in a row, all tiles of it together: a sheet of about 1,450 pixels.
ACROSS = 6
# Pixels: of the key's colours, and of the key with its words.
KEY, BESIDE = (110, 12), 440
LINED, PALE = "White line: mask of the lesion.", "Pale: not seen by the encoder."


@dataclass(frozen=True)
class Tile:
    """One image.

    photograph: upright RGB. maps: (caption, heat) in the order in which they stand beside it; heat as
    `derm.explanation.pictures.overlay` takes it. box: of what was seen. mask: of the lesion, if there is one.
    """

    photograph: Image.Image
    maps: Sequence[tuple[str, np.ndarray]]
    box: Box
    name: str
    caption: str
    is_right: bool
    mask: Mask | None = None


def contact_sheet(title: str, explanation: str, tiles: list[Tile]) -> Image.Image:
    """All tiles under a title and a key of the colours; a sheet without tiles says so."""
    cells = [
        Cell(
            [ImageOps.pad(picture, (WIDTH, HEIGHT), color="white") for picture in _pictures(tile)],
            RIGHT if tile.is_right else WRONG,
            tile.caption,
            [[tile.name], *([caption] for caption, _ in tile.maps)],
        )
        for tile in tiles
    ]
    columns = max(1, ACROSS // max((len(cell.photographs) for cell in cells), default=1))
    told = "\n".join(filter(None, (explanation, notes(tiles))))
    sheet = draw_sheet(title, told, cells, columns, "There is no such image in the test part.", beside=BESIDE)
    if tiles:
        draw_key(sheet)
    return sheet


def notes(tiles: Sequence[Tile]) -> str:
    """What the line and the pale parts of these pictures mean; '' if there are none."""
    hidden = any(not is_whole(tile.box, tile.photograph) for tile in tiles)
    lined = any(tile.mask is not None for tile in tiles)
    return " ".join([LINED] * lined + [PALE] * hidden)


def draw_key(sheet: Image.Image) -> None:
    """The key of the colours into the upper right corner of a sheet."""
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    left = sheet.width - GAP - round(font.getlength("much"))
    draw.text((left, 14), "much", fill=INK, font=font)
    left -= KEY[0] + BETWEEN + 2
    sheet.paste(colour_key(*KEY), (left, 15))
    draw.rectangle((left - 1, 14, left + KEY[0], 15 + KEY[1]), outline="#bbbbbb")
    told = "spoke for the class (each map has its own scale):  little"
    draw.text((left - BETWEEN - 2 - font.getlength(told), 14), told, fill=INK, font=font)


def _pictures(tile: Tile) -> list[Image.Image]:
    """The photograph, then each map over it."""
    maps = [overlay(tile.photograph, heat, tile.box, tile.mask) for _, heat in tile.maps]
    return [fitted(tile.photograph), *maps]
