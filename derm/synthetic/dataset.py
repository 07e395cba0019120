"""The synthetic set on disk, in HAM10000's own folder layout."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from PIL import Image
from pydantic import Field, model_validator
from tqdm import tqdm

from derm.files import write_bytes, write_csv
from derm.image_table import SYNTHETIC
from derm.params import Section
from derm.synthetic.lesions import draw_lesion
from derm.synthetic.looks import draw_look
from derm.synthetic.patients import draw_patient
from derm.synthetic.photographs import Photograph, draw_skin, retake, take_photograph

IMAGE_FOLDERS = ("HAM10000_images_part_1", "HAM10000_images_part_2")
MASK_FOLDER = "HAM10000_segmentations_lesion_tschandl"
METADATA = "HAM10000_metadata.csv"
DUPLICATES = "near_duplicates_across_lesion_ids.csv"
FIRST_ID = 9_000_000  # far beyond any real HAM or ISIC number, so that the two can never be mixed up
SHARES = {"akiec": 0.08, "bcc": 0.12, "bkl": 0.17, "df": 0.07, "mel": 0.17, "nv": 0.32, "vasc": 0.07}
DUPLICATE_PAIRS = 3  # lesions that are listed under two lesion ids, as some of HAM10000's are
MOST_PHOTOGRAPHS = 6  # of one lesion, as in HAM10000

README = """\
Synthetic dermatoscopy images, drawn by a program (derm/synthetic) in the folder layout of HAM10000. No patient, no
skin and no camera was involved, and no number computed from these images means anything clinically: they exist so that
the pipeline can run from end to end without a download. Every lesion is a stack of random fields (melanin, blood, deep
pigment, keratin and scar) whose strengths are drawn by class, with a lean towards the classes it is mistaken for; every
photograph of it adds its own framing, light, focus, hair, ruler, dark corners or gel bubbles, drawn without regard to
the class. Ids start at HAM_9000000 and ISIC_9000000, so that they cannot be mistaken for real ones.
"""


class SampleParams(Section):
    """How many synthetic lesions and images to draw; the same numbers and seed give the same bytes."""

    lesions: int = Field(ge=50, le=100_000)
    images: int = Field(ge=50, le=300_000)
    seed: int = Field(ge=0, le=2**32 - 1)

    @model_validator(mode="after")
    def _enough_but_not_too_many_images(self) -> Self:
        most = MOST_PHOTOGRAPHS * (self.lesions - DUPLICATE_PAIRS) + DUPLICATE_PAIRS
        if not self.lesions <= self.images <= most:
            raise ValueError(
                f"sample.images between {self.lesions} and {most} for {self.lesions} lesions:"
                f" 1 to {MOST_PHOTOGRAPHS} photographs of each"
            )
        return self


@dataclass(frozen=True)
class Subject:
    """One lesion and the files to make of it.

    number: which lesion, 0 .. lesions - DUPLICATE_PAIRS - 1; with the seed it decides how the lesion looks.
    lesion_id: its id in the metadata; image_ids: one for each photograph.
    duplicate: (lesion id, image id) under which the first photograph is listed a second time, if it is.
    """

    number: int
    diagnosis: str
    lesion_id: str
    image_ids: tuple[str, ...]
    duplicate: tuple[str, str] | None


def draw_sample(root: Path, params: SampleParams) -> None:
    """Draw the whole set into `root`, which is made if missing. Shows a progress bar on stderr.

    Synthetic images and masks of an earlier, other sample in `root` are removed; other files are left alone.
    """
    for folder in (*IMAGE_FOLDERS, MASK_FOLDER):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for stale in (root / folder).glob(f"ISIC_{FIRST_ID // 1_000_000}??????*"):
            stale.unlink()
    subjects = plan(params)
    # Spawned, not forked: the caller may have threads (torch), and forking those can hang.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1), mp_context=spawn) as pool:
        drawn = pool.map(partial(draw_subject, root, params), subjects, chunksize=8)
        similarities = list(tqdm(drawn, total=len(subjects), desc="sample", unit="lesion"))
    write_csv(root / METADATA, metadata(subjects, params.seed))
    pairs = [
        {"similarity": similarity, "from_img": subject.image_ids[0], "to_img": subject.duplicate[1]}
        for subject, similarity in zip(subjects, similarities, strict=True)
        if subject.duplicate
    ]
    write_csv(root / DUPLICATES, pd.DataFrame(pairs).sort_values("similarity", ascending=False))
    write_bytes(root / "README.txt", README.encode())


def plan(params: SampleParams) -> list[Subject]:
    """Which lesions there are, of which class, and under which ids; ids say nothing about the class."""
    rng = np.random.default_rng(np.random.SeedSequence(params.seed))
    count = params.lesions - DUPLICATE_PAIRS
    diagnoses = rng.permutation(np.repeat(list(SHARES), lesions_per_class(count)))
    more = np.repeat(np.arange(count), MOST_PHOTOGRAPHS - 1)
    more = rng.permutation(more)[: params.images - params.lesions]
    photographs = 1 + np.bincount(more, minlength=count)
    lesion_ids = [f"HAM_{FIRST_ID + number}" for number in rng.permutation(params.lesions)]
    image_ids = [f"ISIC_{FIRST_ID + number}" for number in rng.permutation(params.images)]
    ends = np.cumsum(photographs)
    subjects = []
    for number in range(count):
        twice = (lesion_ids[-1 - number], image_ids[-1 - number]) if number < DUPLICATE_PAIRS else None
        own_images = tuple(image_ids[ends[number] - photographs[number] : ends[number]])
        subjects.append(Subject(number, str(diagnoses[number]), lesion_ids[number], own_images, twice))
    return subjects


def lesions_per_class(lesions: int) -> list[int]:
    """`lesions` dealt out by SHARES, in its order; what rounding down leaves goes to the largest remainders."""
    exact = lesions * np.array(list(SHARES.values()))
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact)[: lesions - counts.sum()]] += 1
    return counts.tolist()


def draw_subject(root: Path, params: SampleParams, subject: Subject) -> float | None:
    """Draw one lesion and write all its images and masks; returns how similar its duplicate is, if it has one."""
    photographs = photographs_of(subject, params.seed)
    for image_id, photograph in zip(subject.image_ids, photographs, strict=True):
        _write(root, image_id, photograph, params.images)
    if subject.duplicate is None:
        return None
    again = retake(photographs[0])
    _write(root, subject.duplicate[1], again, params.images)
    return similarity(photographs[0].image, again.image)


def photographs_of(subject: Subject, seed: int) -> list[Photograph]:
    """Every photograph of one lesion; the same whatever else is drawn, and in whatever order."""
    rng = _lesion_generator(seed, subject.number)
    lesion, skin = draw_lesion(rng, draw_look(rng, subject.diagnosis)), draw_skin(rng)
    return [
        take_photograph(_generator(seed, subject.number, photograph), lesion, skin)
        for photograph in range(len(subject.image_ids))
    ]


def metadata(subjects: list[Subject], seed: int) -> pd.DataFrame:
    """HAM10000_metadata.csv: one row per image, sorted by image id."""
    rows = []
    for subject in subjects:
        patient = asdict(draw_patient(_patient_generator(seed, subject.number), subject.diagnosis))
        listed = [(subject.lesion_id, image_id) for image_id in subject.image_ids]
        for lesion_id, image_id in [*listed, *([subject.duplicate] if subject.duplicate else [])]:
            rows.append({"lesion_id": lesion_id, "image_id": image_id, "dx": subject.diagnosis, **patient})
            rows[-1]["dataset"] = SYNTHETIC
    columns = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization", "dataset"]
    return pd.DataFrame(rows, columns=columns).sort_values("image_id", ignore_index=True)


def similarity(first: Image.Image, second: Image.Image) -> float:
    """Correlation of two photographs' grey thumbnails, -1 to 1."""
    thumbnails = [np.asarray(image.convert("L").resize((32, 24)), dtype=float).ravel() for image in (first, second)]
    return float(np.corrcoef(thumbnails)[0, 1])


def _write(root: Path, image_id: str, photograph: Photograph, images: int) -> None:
    """One JPEG and its mask; the first half of the ids in one image folder, the rest in the other."""
    folder = IMAGE_FOLDERS[int(image_id.removeprefix("ISIC_")) - FIRST_ID >= images / 2]
    photograph.image.save(root / folder / f"{image_id}.jpg", quality=90)
    photograph.mask.save(root / MASK_FOLDER / f"{image_id}_segmentation.png")


def _generator(seed: int, *path: int) -> np.random.Generator:
    """The generator of one thing: (lesion, photograph), or one of the two streams of a lesion below."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=path))


def _lesion_generator(seed: int, number: int) -> np.random.Generator:
    return _generator(seed, number, MOST_PHOTOGRAPHS)


def _patient_generator(seed: int, number: int) -> np.random.Generator:
    return _generator(seed, number, MOST_PHOTOGRAPHS + 1)
