"""How a lesion of each class tends to look, and how far it may look like another class."""

from dataclasses import astuple, dataclass

import numpy as np


@dataclass(frozen=True)
class Look:
    """Strength of each dermatoscopic feature, 0 (absent) to 1 (as strong as it gets)."""

    irregularity: float = 0.0  # of the border
    softness: float = 0.0  # of the border: 0 cut off abruptly, 1 fading into the skin
    asymmetry: float = 0.0  # of the pigment
    variegation: float = 0.0  # several shades of brown
    melanin: float = 0.0
    tan: float = 0.0  # yellow-brown rather than dark brown
    blood: float = 0.0  # diffuse pink or red
    network: float = 0.0  # pigment network
    globules: float = 0.0  # dots and globules
    veil: float = 0.0  # blue-white veil, or the blue-grey ovoid nests of bcc
    regression: float = 0.0  # white scar-like areas with grey peppering
    cysts: float = 0.0  # milia-like cysts and comedo-like openings
    vessels: float = 0.0  # arborising vessels
    scale: float = 0.0  # keratin, and the rough red surface below it
    scar: float = 0.0  # central white patch
    lacunae: float = 0.0  # red to purple lagoons


# fmt: off
TYPICAL = {
    "akiec": Look(irregularity=.5, softness=.65, asymmetry=.4, variegation=.5, melanin=.25, tan=.65, blood=.6,
                  globules=.1, vessels=.1, scale=.75),
    "bcc": Look(irregularity=.4, softness=.55, asymmetry=.5, variegation=.4, melanin=.15, tan=.3, blood=.4,
                globules=.25, veil=.3, vessels=.75, scale=.05),
    "bkl": Look(irregularity=.45, softness=.2, asymmetry=.35, variegation=.35, melanin=.5, tan=.9, blood=.05,
                network=.1, globules=.1, cysts=.7, scale=.15),
    "df": Look(irregularity=.2, softness=.85, asymmetry=.1, variegation=.15, melanin=.3, tan=.5, blood=.4,
               network=.25, scar=.7),
    "mel": Look(irregularity=.6, softness=.35, asymmetry=.7, variegation=.65, melanin=.75, tan=.25, blood=.2,
                network=.45, globules=.4, veil=.4, regression=.35),
    "nv": Look(irregularity=.2, softness=.5, asymmetry=.2, variegation=.3, melanin=.6, tan=.4, blood=.2,
               network=.6, globules=.3),
    "vasc": Look(irregularity=.25, softness=.2, asymmetry=.15, variegation=.15, melanin=.03, tan=.2, blood=.5,
                 lacunae=.9),
}
# Which classes a class is mistaken for, with the probability of leaning towards each.
NEIGHBOURS = {
    "akiec": {"bcc": .6, "bkl": .4},
    "bcc": {"akiec": .7, "mel": .2, "df": .1},
    "bkl": {"nv": .35, "mel": .45, "akiec": .2},
    "df": {"nv": .6, "bcc": .4},
    "mel": {"nv": .55, "bkl": .45},
    "nv": {"mel": .5, "bkl": .4, "df": .1},
    "vasc": {"bcc": .5, "mel": .5},
}
# fmt: on
CLASSES = tuple(TYPICAL)

SPREAD = 0.15  # standard deviation of every feature within a class
# How far a lesion leans towards its neighbour, 0 to 1: Beta distributed, beyond the midpoint for one in ten.
LEANING = (0.8, 2.7)


def draw_look(rng: np.random.Generator, diagnosis: str) -> Look:
    """The features of one lesion of class `diagnosis`, somewhere on the way to a class it is mistaken for."""
    neighbours = NEIGHBOURS[diagnosis]
    neighbour = rng.choice(list(neighbours), p=list(neighbours.values()))
    leaning = rng.beta(*LEANING)
    own, other = (np.array(astuple(TYPICAL[name])) for name in (diagnosis, neighbour))
    strengths = (1 - leaning) * own + leaning * other
    spread = SPREAD * (strengths > 0)  # what neither class has stays absent
    return Look(*np.clip(rng.normal(strengths, spread), 0, 1).tolist())
