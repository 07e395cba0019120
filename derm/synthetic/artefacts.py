"""What gets between the camera and the skin: hair, a ruler, the dermatoscope's rim, a marker's ink, bubbles in the gel.

Lengths are in pixels of a photograph 300 wide; `scale` is how many pixels of the scene each of them is. A scene is
float32 [height, width, 3] in [0, 1], and what comes back is a new one.
"""

from dataclasses import dataclass

import numpy as np

from derm.synthetic.fields import curves, dots, sigmoid, smooth_noise, wandering_path


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
        scene = with_hair(rng, scene)
    if artefacts.ruler:
        scene = with_ruler(rng, scene)
    if artefacts.dark_corners:
        scene = with_dark_corners(rng, scene)
    return scene


def with_hair(rng: np.random.Generator, scene: np.ndarray, scale: float = 1.0, fewest: int = 1) -> np.ndarray:
    """Hairs of one colour, `fewest` or more, most of them lying roughly the same way."""
    height, width = scene.shape[:2]
    lie = rng.uniform(0, 2 * np.pi)
    paths, widths = [], []
    for _ in range(max(fewest, int(np.ceil(rng.gamma(1.2, 7))))):
        start = rng.uniform(0, [width, height])
        paths.append(wandering_path(rng, start, lie + rng.normal(0, 0.5), scale * rng.uniform(50, 260), 0.1, steps=20))
        widths.append(scale * rng.uniform(0.6, 1.6))
    colour = np.array([0.20, 0.12, 0.08]) * rng.uniform(0.3, 2.2)
    return _painted(scene, colour, rng.uniform(0.6, 0.9) * curves((height, width), paths, widths))


def with_ruler(rng: np.random.Generator, scene: np.ndarray, scale: float = 1.0) -> np.ndarray:
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
        tick = np.stack([foot, foot + (9 if k % 5 == 0 else 5) * across])
        ticks.append(corner + inwards * scale * tick)
    opacity = 0.9 * curves((height, width), ticks, [1.4 * scale] * len(ticks))
    return _painted(scene, np.array([0.08, 0.07, 0.08]), opacity)


def with_dark_corners(rng: np.random.Generator, scene: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """The round rim of the dermatoscope: black beyond it, shaded towards it."""
    height, width = scene.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    centre = np.array([width, height]) / 2 + scale * rng.normal(0, 5, 2)
    distance = np.hypot(x - centre[0], y - centre[1])
    # Shares of the width of a photograph of 4 to 3, whose corners are 0.625 widths from the middle.
    radius = rng.uniform(0.44, 0.58) * 0.8 * np.hypot(width, height)
    shaded = scene * (1 - 0.35 * (distance / radius).clip(0, 1)[..., None] ** 4)
    return _painted(shaded, np.array([0.04, 0.03, 0.04]), sigmoid((distance - radius) / (2.0 * scale)))


def with_ink(rng: np.random.Generator, scene: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """A surgeon's marker, gentian violet: dots, or dashes, on a ring about the middle, where the lesion is, or one or
    two strokes beside it. The skin shows through."""
    height, width = scene.shape[:2]
    middle = np.array([width, height]) / 2 + scale * rng.normal(0, 6, 2)
    kind = rng.choice(["dots", "dashes", "strokes"])
    count = int(rng.integers(1, 3) if kind == "strokes" else rng.integers(4, 10))
    radius = rng.uniform(0.33, 0.43) * min(width, height)
    turns = rng.uniform(0, 2 * np.pi) + 2 * np.pi * (np.arange(count) + rng.normal(0, 0.1, count)) / count
    places = middle + radius * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    if kind == "dots":
        marks = dots((height, width), places, scale * rng.uniform(3, 5.5, count), np.ones(count), 0.8 * scale)
    else:
        paths, shortest, longest = [], *((60, 110) if kind == "strokes" else (14, 26))
        for place, turn in zip(places, turns, strict=True):
            length = scale * rng.uniform(shortest, longest)
            start = place - length / 2 * np.array([-np.sin(turn), np.cos(turn)])  # its middle lies on the ring
            paths.append(wandering_path(rng, start, turn + np.pi / 2, length, 0.05))
        marks = curves((height, width), paths, (scale * rng.uniform(3, 6, count)).tolist(), blur=0.8 * scale)
    density = rng.uniform(0.7, 0.95) * (0.85 + 0.15 * smooth_noise(rng, (height, width), 40)).clip(0.4, 1)
    opacity = (marks * density)[..., None]
    return (scene * (1 - opacity + opacity * np.array([0.42, 0.38, 0.80]))).astype(np.float32)


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
