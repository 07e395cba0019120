"""Contact sheets of the data: what a class looks like, and which pairs of images were found to belong together."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import pandas as pd
from PIL import Image, ImageDraw, ImageFont, ImageOps

from derm.explanation.sheets import GAP, HEIGHT, INK, RIGHT, WIDTH, WRONG
from derm.images import read_image

FAINT = "#777777"
LINE, BETWEEN = 17, 4
PER_SHEET = 24
# Images beside each other on the sheet of a class, and pairs on the sheet of pairs.
IMAGES_ACROSS, PAIRS_ACROSS = 6, 3
# Why two images belong together, the doubtful first.
KINDS = {"near-identical": "near-identical", "published": "on a published list", "bytes": "of equal bytes"}
SIDES = ("one", "other")


@dataclass(frozen=True)
class Cell:
    """Photographs beside each other (WIDTH x HEIGHT each), a bar of colour and a line below, and what each of them is.

    captions: for each photograph its lines of text.
    """

    photographs: Sequence[Image.Image]
    colour: str
    line: str
    captions: Sequence[Sequence[str]]


def class_sheet(title: str, rows: pd.DataFrame, per_sheet: int = PER_SHEET) -> Image.Image:
    """Images of one class, one a group, with id and what is known of the patient below; rows: of the image table.

    Images come in the order of a hash of their ids: as good as drawn by lot, and the same every time.
    UserError, naming the file, if one has changed since the table was made.
    """
    drawn = rows.assign(lot=[sha256(image_id.encode()).hexdigest() for image_id in rows["image_id"]])
    drawn = drawn.sort_values("lot").drop_duplicates("group").head(per_sheet)
    cells = [Cell([_photograph(row)], RIGHT, _known(row), [[row["image_id"]]]) for _, row in drawn.iterrows()]
    told = f"{len(rows):,} images in {rows['group'].nunique():,} groups (patient or lesion); "
    told += f"shown: {len(cells)}, one a group, drawn by lot"
    return _sheet(title, told, cells, IMAGES_ACROSS, "There is no image of this class.")


def pairs_sheet(pairs: pd.DataFrame, images: pd.DataFrame, per_sheet: int = PER_SHEET) -> Image.Image:
    """Pairs of images that belong together, those a person should judge first; images: the image table.

    pairs: `one, other, kind, distance, similarity, joins`, and the lesion ids and diagnoses of both.
    UserError, naming the file, if an image has changed since the table was made.
    """
    title = "Pairs of images that belong together"
    if pairs.empty:
        told = "looked for: " + ", ".join(KINDS.values())
        return _sheet(title, told, [], PAIRS_ACROSS, "No pair was found.")
    described = images.set_index("image_id")
    cells = []
    for _, pair in doubtful_first(pairs).head(per_sheet).iterrows():
        photographs = [_photograph(described.loc[pair[side]]) for side in SIDES]
        colour = WRONG if pair["joins"] else RIGHT
        cells.append(Cell(photographs, colour, _why(pair), [_one_of(pair, side) for side in SIDES]))
    counts = pairs["kind"].value_counts()
    kinds = ", ".join(f"{counts[kind]} {told}" for kind, told in KINDS.items() if kind in counts)
    at_odds = (pairs["diagnosis_one"] != pairs["diagnosis_other"]).sum()
    told = f"{len(pairs)} in all ({kinds}), {len(cells)} shown: first those that join two groups no id holds together "
    told += f"({pairs['joins'].sum()}, orange), then the least similar; {at_odds} have two diagnoses"
    return _sheet(title, told, cells, PAIRS_ACROSS, "")


def doubtful_first(pairs: pd.DataFrame) -> pd.DataFrame:
    """Pairs in the order in which a person should judge them: those that join what no id holds together first, of
    these those with two diagnoses; then by kind as in `KINDS`, the least similar first."""
    order = pairs.assign(
        held=1 - pairs["joins"],
        agree=(pairs["diagnosis_one"] == pairs["diagnosis_other"]).astype(int),
        rank=pairs["kind"].map(list(KINDS).index),
    )
    order = order.sort_values(["held", "agree", "rank", "similarity", "one", "other"], ignore_index=True)
    return order[list(pairs)]


def _photograph(row: pd.Series) -> Image.Image:
    """An image of the image table, as large as its place allows, on white."""
    # Made small at once: a sheet of full-size photographs would not fit into memory.
    return ImageOps.pad(read_image(row["path"], row["sha256"]), (WIDTH, HEIGHT), color="white")


def _known(row: pd.Series) -> str:
    """Age, sex and site as far as they are known."""
    age = f"{row['age'].removesuffix('.0')} y" if row["age"] else ""
    return ", ".join(known for known in (age, row["sex"], row["body_site"]) if known)


def _why(pair: pd.Series) -> str:
    """Why the two belong together, and whether that is news."""
    why = KINDS[pair["kind"]]
    if pair["kind"] == "near-identical":
        why += f": {pair['distance']:.0f} bits apart, similarity {pair['similarity']:.2f}"
    return f"joins two groups; {why}" if pair["joins"] else why


def _one_of(pair: pd.Series, side: str) -> list[str]:
    """What one image of a pair is said to be; a diagnosis that the other does not have is pointed at."""
    label = pair[f"diagnosis_{side}"]
    at_odds = pair["diagnosis_one"] != pair["diagnosis_other"]
    return [f"OTHER DIAGNOSIS: {label}" if at_odds else label, pair[f"lesion_{side}"] or "no lesion id", pair[side]]


def _sheet(title: str, explanation: str, cells: list[Cell], columns: int, empty: str) -> Image.Image:
    """Cells in rows under a title; without any, the sheet says `empty`."""
    large, medium, small = (ImageFont.load_default(size) for size in (20, 13, 11))
    width = max((len(cell.photographs) for cell in cells), default=1) * (WIDTH + BETWEEN) - BETWEEN
    has_line = any(cell.line for cell in cells)
    captions = 7 + LINE * has_line
    lines = max((len(caption) for cell in cells for caption in cell.captions), default=0)
    height = HEIGHT + captions + LINE * lines + GAP
    columns = min(columns, max(len(cells), -(-720 // (width + GAP))))
    header = 64
    size = (columns * (width + GAP) + GAP, header + max(60, -(-len(cells) // columns) * height))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    room = sheet.width - 2 * GAP
    draw.text((GAP, 12), _fitted(title, large, room), fill=INK, font=large)
    draw.text((GAP, 40), _fitted(explanation, medium, room), fill="#555555", font=medium)
    if not cells:
        draw.text((GAP, header + 10), empty, fill=INK, font=ImageFont.load_default(15))
    for number, cell in enumerate(cells):
        left, top = GAP + number % columns * (width + GAP), header + number // columns * height
        below = top + HEIGHT
        draw.rectangle((left, below, left + width - 1, below + 3), fill=cell.colour)
        draw.text((left, below + 7), _fitted(cell.line, medium, width), fill=INK, font=medium)
        for photograph, caption in zip(cell.photographs, cell.captions, strict=True):
            sheet.paste(photograph, (left, top))
            for line, text in enumerate(caption):
                place = (left, below + captions + LINE * line)
                draw.text(place, _fitted(text, small, WIDTH), fill=FAINT, font=small)
            left += WIDTH + BETWEEN
    return sheet


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float) -> str:
    """The text, its middle left out if it is wider than `room` pixels: ids differ at their ends."""
    keep = len(text)
    cut = text
    while keep > 2 and font.getlength(cut) > room:
        keep -= 1
        cut = f"{text[: keep // 2]}…{text[-(keep - keep // 2) :]}"
    return cut
