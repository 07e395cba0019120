"""The images on which two sides disagree most, as a contact sheet."""

import pandas as pd
from PIL import Image, ImageDraw, ImageFont, ImageOps

from derm.contact_sheet import HEIGHT, RIGHT, WIDTH, WRONG, Cell, draw_sheet
from derm.errors import UserError
from derm.images import read_image
from derm.measures.paired import Side

PER_SHEET = 24
ACROSS = 6
# Pixels: height of the strip below a photograph that says which side is right.
STRIP = 18


def disagreement_sheet(
    found: pd.DataFrame, a: Side, b: Side, images: pd.DataFrame, per_sheet: int = PER_SHEET
) -> Image.Image:
    """The strongest disagreements, one image a group; found: of `disagreements`; images: the image table.

    UserError, naming it, if an image is not in the image table or its file has changed.
    """
    rows = found.drop_duplicates("group").head(per_sheet)
    described = images.set_index("image_id")
    cells = []
    for _, row in rows.iterrows():
        if row["image_id"] not in described.index:
            raise UserError(
                f"image {row['image_id']} is not in the image table: run `dvc repro prepare` on the same data"
            )
        image = described.loc[row["image_id"]]
        photograph = _with_strip(read_image(image["path"], image["sha256"]), row)
        captions = [_told(side, row, len(of.tables)) for side, of in (("a", a), ("b", b))]
        cells.append(Cell([photograph], "white", f"true {row['true']}", [[*captions, row["image_id"]]]))
    counts = found["right"].value_counts()
    told = f"{len(found):,} of {len(a.tables[0]):,} images: A right on {counts.get('A', 0):,}, "
    told += f"B right on {counts.get('B', 0):,}, neither on {counts.get('neither', 0):,}; the {len(cells)} strongest, "
    told += "one a group; below them the decision with its probability, and that of the true class"
    title = f"Decided differently by A = {a.name} and B = {b.name}"
    return draw_sheet(title, told, cells, ACROSS, "They decide alike on all images.")


def _with_strip(photograph: Image.Image, row: pd.Series) -> Image.Image:
    """The photograph as large as its place allows, above a strip with a half for each side: its colour and a word say
    whether the side is right."""
    font = ImageFont.load_default(12)
    cell = Image.new("RGB", (WIDTH, HEIGHT), "white")
    cell.paste(ImageOps.pad(photograph, (WIDTH, HEIGHT - STRIP), color="white"))
    draw = ImageDraw.Draw(cell)
    for name, left in (("A", 0), ("B", WIDTH // 2 + 1)):
        right = row["right"] == name
        box = (left, HEIGHT - STRIP, left + WIDTH // 2 - 2, HEIGHT)
        draw.rectangle(box, fill=RIGHT if right else WRONG)
        middle = ((box[0] + box[2]) / 2, HEIGHT - STRIP / 2)
        draw.text(middle, f"{name} {'right' if right else 'wrong'}", fill="white", font=font, anchor="mm")
    return cell


def _told(side: str, row: pd.Series, seeds: int) -> str:
    """What a side decides, its probability and that of the true class, and how many of its seeds say so."""
    told = f"{side.upper()}: {row[f'{side}_decision']} {row[f'{side}_p']:.2f}"
    if row[f"{side}_decision"] != row["true"]:
        told += f", {row['true']} {row[f'{side}_p_true']:.2f}"
    return told + (f" ({row[f'{side}_share'] * seeds:.0f} of {seeds} seeds)" if seeds > 1 else "")
