"""Contact sheets: photographs in rows, with a bar of colour and what is known of them below."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

# Pixels: a photograph's place, what lies between cells, between the photographs of a cell, and from line to line.
WIDTH, HEIGHT = 232, 174
GAP, BETWEEN, LINE = 14, 4, 17
LEAST = 720  # of a sheet, in pixels: below it a title and its lines find no room
RIGHT, WRONG, INK, FAINT = "#0072B2", "#D55E00", "#222222", "#777777"


@dataclass(frozen=True)
class Cell:
    """Photographs of one size beside each other, a bar of colour and a line below, and what each of them is.

    captions: for each photograph its lines of text.
    """

    photographs: Sequence[Image.Image]
    colour: str
    line: str
    captions: Sequence[Sequence[str]]


def draw_sheet(
    title: str,
    explanation: str,
    cells: list[Cell],
    columns: int,
    empty: str,
    each: tuple[int, int] = (WIDTH, HEIGHT),
    beside: int = 0,
) -> Image.Image:
    """Cells in rows under a title and the lines of an explanation; without cells, the sheet says `empty`.

    each: (width, height) of a photograph in pixels; beside: pixels that are left free to the right of the title.
    """
    large, medium, small = (ImageFont.load_default(size) for size in (20, 13, 11))
    width = max((len(cell.photographs) for cell in cells), default=1) * (each[0] + BETWEEN) - BETWEEN
    has_line = any(cell.line for cell in cells)
    captions = 7 + LINE * has_line
    lines = max((len(caption) for cell in cells for caption in cell.captions), default=0)
    height = each[1] + captions + LINE * lines + GAP
    columns = min(columns, max(len(cells), -(-LEAST // (width + GAP))))
    explained = explanation.splitlines()
    header = 64 + LINE * max(0, len(explained) - 1)
    size = (max(LEAST, columns * (width + GAP) + GAP), header + max(60, -(-len(cells) // columns) * height))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    room = sheet.width - 2 * GAP
    draw.text((GAP, 12), _fitted(title, large, room - beside), fill=INK, font=large)
    for number, line in enumerate(explained):
        draw.text((GAP, 40 + LINE * number), _fitted(line, medium, room), fill="#555555", font=medium)
    if not cells:
        draw.text((GAP, header + 10), empty, fill=INK, font=ImageFont.load_default(15))
    for number, cell in enumerate(cells):
        left, top = GAP + number % columns * (width + GAP), header + number // columns * height
        below = top + each[1]
        draw.rectangle((left, below, left + width - 1, below + 3), fill=cell.colour)
        draw.text((left, below + 7), _fitted(cell.line, medium, width), fill=INK, font=medium)
        for photograph, caption in zip(cell.photographs, cell.captions, strict=True):
            sheet.paste(photograph, (left, top))
            for line, text in enumerate(caption):
                place = (left, below + captions + LINE * line)
                draw.text(place, _fitted(text, small, each[0]), fill=FAINT, font=small)
            left += each[0] + BETWEEN
    return sheet


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float) -> str:
    """The text, its middle left out if it is wider than `room` pixels: ids differ at their ends."""
    keep = len(text)
    cut = text
    while keep > 2 and font.getlength(cut) > room:
        keep -= 1
        cut = f"{text[: keep // 2]}…{text[-(keep - keep // 2) :]}"
    return cut
