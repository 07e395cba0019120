"""What gets between the camera and the skin: hair, a ruler, the dermatoscope's rim, bubbles in the gel."""

from dataclasses import dataclass

import numpy as np

from derm.synthetic.fields import curves, dots, sigmoid, wandering_path


@dataclass(frozen=True)
class Artefacts:
    """Which artefacts a photograph has. They are drawn without knowing the diagnosis."""

    hair: bool
    ruler: bool
    dark_corners: bool
    gel_bubbles: bool


def draw_artefacts(rng: np.random.Generator) -> Artefacts:
    """Draw which artefacts get into a photograph, about as often as in HAM10000."""
    hair, ruler, dark_corners, gel_bubbles = (rng.random(4) < (0.3, 0.12, 0.18, 0.08)).tolist()
    return Artefacts(hair, ruler, dark_corners, gel_bubbles)


def add_artefacts(rng: np.random.Generator, scene: np.ndarray, artefacts: Artefacts) -> np.ndarray:
    """Paint `artefacts` over `scene` ([height, width, 3] in [0, 1], float32); returns a new scene."""
    if artefacts.gel_bubbles:
        scene = _with_bubbles(rng, scene)
    if artefacts.hair:
        scene = _with_hair(rng, scene)
    if artefacts.ruler:
        scene = _with_ruler(rng, scene)
    if artefacts.dark_corners:
        scene = _with_dark_corners(rng, scene)
    return scene


def _with_hair(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """Hairs of one colour, most of them lying roughly the same way."""
    height, width = scene.shape[:2]
    lie = rng.uniform(0, 2 * np.pi)
    paths, widths = [], []
    for _ in range(int(np.ceil(rng.gamma(1.2, 7)))):
        start = rng.uniform(0, [width, height])
        paths.append(wandering_path(rng, start, lie + rng.normal(0, 0.5), rng.uniform(50, 260), 0.1, steps=20))
        widths.append(rng.uniform(0.6, 1.6))
    colour = np.array([0.20, 0.12, 0.08]) * rng.uniform(0.3, 2.2)
    return _painted(scene, colour, rng.uniform(0.6, 0.9) * curves((height, width), paths, widths))


def _with_ruler(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """The millimetre ticks printed on the dermatoscope's plate, across one corner or along one side."""
    height, width = scene.shape[:2]
    corner = np.array([rng.choice([0.0, width]), rng.choice([0.0, height])])
    inwards = np.sign(np.array([width, height]) / 2 - corner)
    lean = rng.uniform(0.1, np.pi / 2 - 0.1)
    along = np.array([np.cos(lean), -np.sin(lean)])  # runs past the corner, so that the corner is cut off
    across = np.array([np.sin(lean), np.cos(lean)])
    ticks = []
    for k in range(-8, 9):
        foot = rng.uniform(8, 10) * across + 9.0 * k * along
        ticks.append(corner + inwards * np.stack([foot, foot + (9 if k % 5 == 0 else 5) * across]))
    return _painted(scene, np.array([0.08, 0.07, 0.08]), 0.9 * curves((height, width), ticks, [1.4] * len(ticks)))


def _with_dark_corners(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """The round rim of the dermatoscope: black beyond it, shaded towards it."""
    height, width = scene.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    centre = np.array([width, height]) / 2 + rng.normal(0, 5, 2)
    distance = np.hypot(x - centre[0], y - centre[1])
    radius = rng.uniform(0.44, 0.58) * width
    shaded = scene * (1 - 0.35 * (distance / radius).clip(0, 1)[..., None] ** 4)
    return _painted(shaded, np.array([0.04, 0.03, 0.04]), sigmoid((distance - radius) / 2.0))


def _with_bubbles(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """Air bubbles in the contact gel: thin bright rims with a brighter highlight."""
    height, width = scene.shape[:2]
    rims, highlights = [], []
    around = rng.uniform(0, [width, height])
    for _ in range(int(rng.integers(2, 9))):
        centre = around + rng.normal(0, 45, 2)
        radius = np.exp(rng.normal(np.log(8), 0.6))
        turn = np.linspace(0, 2 * np.pi, 28)
        rims.append(centre + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1))
        highlights.append(centre + 0.75 * radius * np.array([-0.6, -0.7]))
    glints = dots((height, width), np.array(highlights), np.full(len(rims), 1.4), np.ones(len(rims)), 0.6)
    rim = curves((height, width), rims, [0.9] * len(rims), blur=0.4)
    return _painted(scene, np.array([0.98, 0.97, 0.98]), np.clip(0.55 * rim + 0.9 * glints, 0, 1))


def _painted(scene: np.ndarray, colour: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """`scene` with `colour` laid over it where `opacity` ([height, width] in [0, 1]) says so."""
    opacity = opacity[..., None]
    return ((1 - opacity) * scene + opacity * colour).astype(np.float32)
