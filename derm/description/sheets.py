"""Contact sheets of the data: what a class looks like, and which pairs of images were found to belong together."""

from hashlib import sha256

import pandas as pd
from PIL import Image, ImageOps

from derm.contact_sheet import HEIGHT, RIGHT, WIDTH, WRONG, Cell, draw_sheet
from derm.images import read_image

PER_SHEET = 24
# Images beside each other on the sheet of a class, and pairs on the sheet of pairs.
IMAGES_ACROSS, PAIRS_ACROSS = 6, 3
# Why two images belong together, the doubtful first.
KINDS = {"near-identical": "near-identical", "published": "on a published list", "bytes": "of equal bytes"}
SIDES = ("one", "other")


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
    return draw_sheet(title, told, cells, IMAGES_ACROSS, "There is no image of this class.")


def pairs_sheet(pairs: pd.DataFrame, images: pd.DataFrame, per_sheet: int = PER_SHEET) -> Image.Image:
    """Pairs of images that belong together, those a person should judge first; images: the image table.

    pairs: `one, other, kind, distance, similarity, joins`, and the lesion ids and diagnoses of both.
    UserError, naming the file, if an image has changed since the table was made.
    """
    title = "Pairs of images that belong together"
    if pairs.empty:
        told = "looked for: " + ", ".join(KINDS.values())
        return draw_sheet(title, told, [], PAIRS_ACROSS, "No pair was found.")
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
    return draw_sheet(title, told, cells, PAIRS_ACROSS, "")


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
