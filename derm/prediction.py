"""Files in, a table of predictions out; a bad file costs its own row and nothing else."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from PIL import Image
from tqdm import tqdm

from derm.answer_columns import WHOLE, answer_columns
from derm.classifier import Classifier
from derm.diagnosis_names import full_name
from derm.errors import UserError
from derm.files import write_csv
from derm.images import SUFFIXES, UnreadableImageError, decode, read_bytes
from derm.known import known_of


def predict_files(
    paths: Iterable[Path],
    classifier_folder: Path,
    out: Path,
    encoder_weights: Sequence[Path] = (),
    metadata: Path | None = None,
) -> pd.DataFrame:
    """Classify every image and write the table to `out`.

    Columns: image, p_<class>..., predicted and decision (class index), each with its `_name` and, `_in_full`, what that
    stands for, flag, set (classes, with | between), status (`ok`, or the reason why the row is empty), those of
    `derm.uncertainty.uncertainty`, ood_score and ood (1: further from the training images than nearly all lesions),
    quality (notes) and nearest (the training lesions it looks most like). encoder_weights: see `Classifier.load`.
    metadata: a CSV with `image` and what is known of `age`, `sex` and `body_site`.
    UserError if a folder holds no image, the classifier is unusable, or the metadata are of no use to it.
    """
    files = list_images(paths)
    if out.is_dir() or not out.resolve().parent.is_dir():
        raise UserError(f"--out {out}: expected a file in a folder that exists")
    classifier = Classifier.load(classifier_folder, encoder_weights)
    if classifier.synthetic:
        print("WARNING: this classifier was trained on synthetic images: its answers mean nothing", file=sys.stderr)
    known = known_of(files, metadata, classifier.head.shape.encoding)
    tables = []
    with tqdm(total=len(files), desc="predicting", unit="img", mininterval=0.5) as bar:
        for start in range(0, len(files), classifier.batch_size):
            batch = files[start : start + classifier.batch_size]
            images, status = [], []
            for path in batch:
                try:
                    images.append(decode(read_bytes(path)))
                    status.append("ok")
                except UnreadableImageError as error:
                    status.append(str(error))
            table = pd.DataFrame({"image": [path.as_posix() for path in batch], "status": status})
            if images:
                right = [start + place for place, told in enumerate(status) if told == "ok"]
                told = answers(classifier, images, known.iloc[right])
                table = table.join(told.set_index(table.index[table["status"] == "ok"]))
            tables.append(table)
            bar.update(len(batch))
    table = pd.concat(tables).reindex(columns=["image", *answer_columns(classifier.classes), "status"])
    write_csv(out, table)
    return table


def answers(classifier: Classifier, images: Sequence[Image.Image], known: pd.DataFrame) -> pd.DataFrame:
    """`answer_columns`, a row for each upright RGB image.

    known: its `age, sex, body_site` as text, empty where unknown. Whole numbers are of pandas' type that has room for
    empty cells; flag is empty without a positive class.
    """
    names = dict(enumerate(classifier.classes))
    told = classifier.predict(images, known)
    for column in ("predicted", "decision"):
        told[f"{column}_name"] = told[column].map(names)
        told[f"{column}_in_full"] = told[f"{column}_name"].map(full_name)
    if classifier.calibration.positive is None:
        told["flag"] = pd.NA
    return told.astype(dict.fromkeys(WHOLE, "Int64"))[answer_columns(classifier.classes)]


def list_images(paths: Iterable[Path]) -> list[Path]:
    """The files named, and the image files in the folders named, sorted. UserError if a folder holds none."""
    files = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(entry for entry in path.rglob("*") if entry.suffix.lower() in SUFFIXES and entry.is_file())
        if not inside:
            raise UserError(f"{path}: no image ({', '.join(SUFFIXES)}) in this folder")
        files += inside
    return files
