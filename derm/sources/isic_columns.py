"""What the tables of the ISIC challenges 2016 to 2024 call things, what a row of them says of an image, and which names
of different years can mean one lesion."""

import csv
import re
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from derm.errors import UserError
from derm.sources.folders import PARTS
from derm.sources.image_files import without_suffix
from derm.sources.listing import as_label, known
from derm.sources.tables import LINE, read_table

IDS = ("image", "image_id", "image_name", "isic_id")
# Our column, and what the tables of the years call it.
FIELDS = {
    "lesion_id": ("lesion_id",),
    "patient_id": ("patient_id", "patient"),
    "age": ("age_approx", "age_approximate"),
    "sex": ("sex",),
    "body_site": ("anatom_site_general", "anatom_site_general_challenge"),
    "confirmation": ("diagnosis_confirm_type",),
    "source": ("attribution",),
}
# Images that show one lesion: the duplicates of 2020, and those of HAM10000 (Abhishek et al. 2024).
PAIRS = (("image_name_1", "image_name_2"), ("from_img", "to_img"))

# One column a diagnosis: 2018 and 2019.
ONE_HOT = ("MEL", "NV", "BCC", "AKIEC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
# One column a question: 2017; an image that is neither is a nevus, by the rules of that task.
QUESTIONS = ("melanoma", "seborrheic_keratosis")
DIAGNOSIS = "diagnosis"
COARSE = ("benign_malignant", "target", "malignant")
BENIGN, MALIGNANT = "benign", "malignant"
SAYS = {BENIGN: BENIGN, "0": BENIGN, "0.0": BENIGN, MALIGNANT: MALIGNANT, "1": MALIGNANT, "1.0": MALIGNANT}

# 2016 hands out rows such as `ISIC_0000000,benign` and no header line.
NO_HEADER = ("image_id", "benign_malignant")
IMAGE_ID = re.compile(r"ISIC_\d+\w*(\.\w+)?")
# A header is read to know a table by; a first line longer than this is none.
FIRST_LINE = 1 << 16

# What a name can mean. Two names agree if something can be meant by both. Only what is certain stands here: AKIEC of
# 2018 (actinic keratosis / Bowen's disease) became AK or SCC in 2019, and BKL holds three benign keratoses.
KERATOSES = {"seborrheic keratosis", "solar lentigo", "lichenoid keratosis"}
MEANINGS = {
    "mel": {"melanoma"},
    "nv": {"nevus"},
    "bcc": {"basal cell carcinoma"},
    "ak": {"actinic keratosis"},
    "scc": {"squamous cell carcinoma"},
    "akiec": {"actinic keratosis", "squamous cell carcinoma"},
    "bkl": KERATOSES,
    "pigmented benign keratosis": KERATOSES,
    "df": {"dermatofibroma"},
    "vasc": {"vascular lesion"},
}
# Actinic keratosis stands in neither: some call it benign, some malignant.
SURELY = {
    BENIGN: {"nevus", "dermatofibroma", "vascular lesion", *KERATOSES},
    MALIGNANT: {"melanoma", "basal cell carcinoma", "squamous cell carcinoma"},
}
NO_LABELS = pd.DataFrame(columns=["diagnosis", "problem"])


def agree(one: str, other: str) -> bool:
    """Whether two diagnoses can both be right for one image; what is not known to be the same is not."""
    if one == other:
        return True
    if one in SURELY and other in SURELY:
        return False
    for coarse, fine in ((one, other), (other, one)):
        if coarse in SURELY:
            opposite = SURELY[MALIGNANT if coarse == BENIGN else BENIGN]
            return not MEANINGS.get(fine, {fine}) <= opposite
    return bool(MEANINGS.get(one, {one}) & MEANINGS.get(other, {other}))


def read_columns(path: Path) -> pd.DataFrame | None:
    """The columns of a table that say something of images, as text, with `LINE`; None if there is none.

    The image's id (without the ending of a file) stands in `image_id`; of a table of pairs, its two columns are all.
    Only the first line is read of a table that is passed over, so that no stray file can stop the reading.
    UserError if a table of images cannot be read.
    """
    names = _first_line(path)
    header = NO_HEADER if _is_row(names) else ()
    names = list(header) or names
    for pair in PAIRS:
        if set(pair) <= set(names):
            return read_table(path, pair, keep=pair)[[*pair]].map(without_suffix)
    image = next((name for name in IDS if name in names), None)
    described = {origin for origins in FIELDS.values() for origin in origins}
    wanted = [name for name in names if name in {*ONE_HOT, *QUESTIONS, DIAGNOSIS, *COARSE, *described}]
    if image is None or not wanted:
        return None
    table = read_table(path, (image,), header, keep={image, *wanted})
    return table[[*wanted, LINE]].assign(image_id=table[image].map(without_suffix))


def labels(table: pd.DataFrame) -> pd.DataFrame | None:
    """`diagnosis` and `problem` of every row, one of them empty (both where nothing stands), aligned with the table.

    problem: what stands in the row that is no diagnosis, and what was expected.
    Without rows if something stands in the columns of diagnoses and none of it is one: a table of predictions.
    None if nothing stands in such columns, or there are none.
    """
    if {"MEL", "NV"} <= set(table):
        return _one_hot(table, [name for name in ONE_HOT if name in table])
    if set(QUESTIONS) <= set(table):
        return _one_hot(table, list(QUESTIONS), otherwise="nevus")
    return _named(table) if {DIAGNOSIS, *COARSE} & set(table) else None


def _one_hot(table: pd.DataFrame, names: list[str], otherwise: str = "") -> pd.DataFrame:
    """otherwise: what a row of zeros means; nothing by default."""
    given = table[names].to_numpy()
    values = table[names].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    ones, zeros = values == 1, values == 0
    if not (ones.any() or (otherwise and zeros.any())):
        return NO_LABELS
    count = ones.sum(axis=1)
    sound = (ones | zeros).all(axis=1) & ((count == 1) | ((count == 0) & bool(otherwise)))
    meant = np.array([name.lower().replace("_", " ") for name in names])
    told = np.where(count == 1, meant[ones.argmax(axis=1)], otherwise)
    problem = np.full(len(table), "", dtype=object)
    for row in np.flatnonzero(~sound):
        cells = zip(names, given[row], zeros[row], strict=True)
        there = ", ".join(f"{name} is {value or 'empty'}" for name, value, zero in cells if not zero)
        problem[row] = f"{there or 'all are 0'}; expected one 1 and else 0 among {', '.join(names)}"
    return pd.DataFrame({"diagnosis": np.where(sound, told, ""), "problem": problem}, index=table.index)


def _named(table: pd.DataFrame) -> pd.DataFrame | None:
    """The diagnosis where it is known, else benign or malignant; a row that contradicts itself has a problem."""
    diagnosis = as_label(known(table[DIAGNOSIS])) if DIAGNOSIS in table else pd.Series("", index=table.index)
    coarse = {name: table[name].str.lower().map(SAYS).fillna("") for name in COARSE if name in table}
    if not any((said != "").any() for said in (diagnosis, *coarse.values())):
        return NO_LABELS if any((known(table[name]) != "").any() for name in coarse) else None
    problem = pd.Series("", index=table.index)
    kept, origin = diagnosis, pd.Series(DIAGNOSIS, index=table.index)
    for name, said in coarse.items():
        for one, other in set(zip(kept, said, strict=True)):
            if one and other and not agree(one, other):
                here = (kept == one) & (said == other) & (problem == "")
                problem[here] = origin[here] + f" is {one}, {name} is {other}: keep the one that is right"
        origin = origin.where(kept != "", name)
        kept = kept.where(kept != "", said)
    for name in coarse:
        strange = (kept == "") & (problem == "") & (known(table[name]) != "")
        problem[strange] = f"{name} is " + table[name][strange] + f", expected 0 or 1, {BENIGN} or {MALIGNANT}"
    return pd.DataFrame({"diagnosis": kept.where(problem == "", ""), "problem": problem})


def part_of(file: str) -> str:
    """What a table's name says of the part, else the nearest folder that says one; empty if two are said."""
    for name in reversed(PurePosixPath(file).parts):
        said = {PARTS[word] for word in re.split(r"[^a-z]+", name.lower()) if word in PARTS}
        if said:
            return said.pop() if len(said) == 1 else ""
    return ""


def _first_line(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            line = file.readline(FIRST_LINE).decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check its access rights") from None
    try:
        cells = next(csv.reader([line], delimiter=max(",;\t", key=line.count)), [])
    except csv.Error:
        return []
    return [cell.strip() for cell in cells]


def _is_row(cells: list[str]) -> bool:
    return len(cells) == 2 and bool(IMAGE_ID.fullmatch(cells[0])) and cells[1].lower() in SAYS
