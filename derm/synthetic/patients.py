"""Who has the lesion: age, sex, body site, and how the diagnosis was confirmed, in HAM10000's own words."""

from dataclasses import dataclass

import numpy as np

AGES = {  # mean and standard deviation in years, as in HAM10000
    "akiec": (66, 12),
    "bcc": (67, 13),
    "bkl": (64, 14),
    "df": (53, 14),
    "mel": (61, 15),
    "nv": (46, 15),
    "vasc": (51, 21),
}
MALE = {"akiec": 0.66, "bcc": 0.62, "bkl": 0.57, "df": 0.5, "mel": 0.62, "nv": 0.51, "vasc": 0.49}
SITES = ("back", "lower extremity", "trunk", "abdomen", "upper extremity", "face", "chest", "neck", "foot", "scalp")
SITE_WEIGHTS = {  # per cent, in the order of SITES
    "akiec": (10, 20, 1, 2, 19, 35, 4, 3, 1, 5),
    "bcc": (35, 11, 3, 4, 10, 20, 9, 3, 1, 4),
    "bkl": (19, 16, 8, 4, 10, 29, 7, 3, 1, 3),
    "df": (3, 68, 2, 3, 20, 1, 1, 0, 2, 0),
    "mel": (29, 17, 5, 6, 19, 10, 6, 3, 3, 2),
    "nv": (22, 23, 19, 13, 10, 2, 4, 2, 4, 1),
    "vasc": (16, 19, 21, 19, 9, 8, 5, 1, 1, 1),
}
CONFIRMATIONS = ("histo", "follow_up", "consensus", "confocal")
CONFIRMATION_WEIGHTS = {  # per cent, in the order of CONFIRMATIONS
    "akiec": (100, 0, 0, 0),
    "bcc": (100, 0, 0, 0),
    "bkl": (70, 0, 24, 6),
    "df": (48, 0, 52, 0),
    "mel": (100, 0, 0, 0),
    "nv": (37, 55, 8, 0),
    "vasc": (47, 0, 53, 0),
}
MISSING = 0.02  # probability that age, sex or site was not noted


@dataclass(frozen=True)
class Patient:
    """What the metadata say about one lesion's patient; `age` is empty, the others "unknown", if not noted."""

    age: str
    sex: str
    localization: str
    dx_type: str


def draw_patient(rng: np.random.Generator, diagnosis: str) -> Patient:
    """Draw a patient with a lesion of class `diagnosis`; age in years, in steps of five as in HAM10000."""
    mean, spread = AGES[diagnosis]
    age = float(np.clip(5 * round(rng.normal(mean, spread) / 5), 5, 85))
    sex = "male" if rng.random() < MALE[diagnosis] else "female"
    site = _choose(rng, SITES, SITE_WEIGHTS[diagnosis])
    confirmation = _choose(rng, CONFIRMATIONS, CONFIRMATION_WEIGHTS[diagnosis])
    no_age, no_sex, no_site = rng.random(3) < MISSING
    return Patient(
        "" if no_age else str(age), "unknown" if no_sex else sex, "unknown" if no_site else site, confirmation
    )


def _choose(rng: np.random.Generator, names: tuple[str, ...], weights: tuple[int, ...]) -> str:
    """One of `names` with probability proportional to `weights`."""
    return names[rng.choice(len(names), p=np.array(weights) / sum(weights))]
