"""How one lesion looks: a stack of absorbing and scattering layers on a square canvas, before any photograph."""

import math
from dataclasses import dataclass

import numpy as np

from derm.synthetic.fields import branching_paths, curves, dots, sigmoid, smooth_noise
from derm.synthetic.looks import Look

SIDE = 192  # canvas pixels
REACH = 1.7  # the canvas covers -REACH..REACH lesion radii
PIXELS = SIDE / (2 * REACH)  # canvas pixels per lesion radius
SHAPE = (SIDE, SIDE)

# Absorbance per unit of pigment in red, green and blue, read off HAM10000 by eye.
DARK_BROWN = np.array([0.62, 1.10, 1.25], np.float32)
TAN_BROWN = np.array([0.36, 0.80, 1.25], np.float32)
DEEP_BLUE = np.array([1.15, 0.95, 0.62], np.float32)  # melanin deep in the dermis scatters blue back
RED = np.array([0.16, 1.00, 0.72], np.float32)
PURPLE = np.array([0.50, 1.20, 0.62], np.float32)


@dataclass(frozen=True)
class Lesion:
    """One lesion, seen from above on a square canvas of SIDE pixels.

    absorbance: [SIDE, SIDE, 3] natural-log absorbance of red, green and blue on top of the skin's own.
    whiteness: [SIDE, SIDE] in [0, 1], the share of light scattered back by keratin or scar before any pigment.
    inside: [SIDE, SIDE] bool, what a dermatologist would outline.
    """

    absorbance: np.ndarray
    whiteness: np.ndarray
    inside: np.ndarray


def draw_lesion(rng: np.random.Generator, look: Look) -> Lesion:
    """Draw the lesion with the features of `look`. Everything random about it comes from `rng`."""
    y, x = np.mgrid[-REACH : REACH : SIDE * 1j, -REACH : REACH : SIDE * 1j].astype(np.float32)
    level = _level(rng, look, x, y)
    body = sigmoid((1 - level) / (0.03 + 0.17 * look.softness))
    brown = _brown(rng, look, x, y, level, body)
    blue, veil_white = _veil(rng, look, x, y, body)
    scarred, peppering = _regression(rng, look, level, body)
    lagoons = _lacunae(rng, look, x, y, body)
    blood = 0.75 * look.blood * body * (1 + 0.35 * smooth_noise(rng, SHAPE, 7)) * (1 - 0.6 * lagoons)
    blood = np.clip(blood, 0, None) + _vessels(rng, look) * (0.3 + 0.7 * body)
    white_dots, dark_dots = _cysts(rng, look, body)
    scale, rough = _scale(rng, look, body)
    scar = _scar(rng, look, x, y, body)

    fading = (1 - 0.75 * scarred) * (1 - 0.75 * scar) * (1 - 0.6 * white_dots) * (1 - 0.7 * lagoons)
    brown = np.clip(brown * (1 - 0.5 * scale) * fading + 1.1 * dark_dots, 0, None)
    hue = np.clip(look.tan + 0.25 * look.variegation * smooth_noise(rng, SHAPE, 4), 0, 1)[..., None]
    lagoon_hue = np.clip(float(rng.normal(0.4, 0.3)) + 0.15 * smooth_noise(rng, SHAPE, 5), 0, 1)[..., None]
    absorbance = (
        brown[..., None] * (hue * TAN_BROWN + (1 - hue) * DARK_BROWN)
        + (blue + peppering)[..., None] * DEEP_BLUE
        + (blood * (1 - 0.6 * scar) + rough)[..., None] * RED
        + (lagoons * rng.uniform(0.8, 1.9))[..., None] * (lagoon_hue * PURPLE + (1 - lagoon_hue) * RED)
    )
    whiteness = np.clip(veil_white + 0.25 * scarred + 0.5 * white_dots + 0.55 * scale + 0.55 * scar, 0, 0.85)
    return Lesion(absorbance.astype(np.float32), whiteness.astype(np.float32), level < 1.0)


def _level(rng: np.random.Generator, look: Look, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance from the centre in units of the border's distance: 1 on the border, less inside."""
    stretch = float(np.exp(rng.normal(0, 0.14)))
    distance = np.hypot(x * stretch, y / stretch)
    angles = np.linspace(-np.pi, np.pi, 361)
    border = np.ones_like(angles)
    for k in range(2, 9):
        size = (0.02 + 0.24 * look.irregularity) / max(k, 3) * rng.normal()
        border += size * np.cos(k * angles + rng.uniform(0, 2 * np.pi))
    radius = np.interp(np.arctan2(y / stretch, x * stretch), angles, np.clip(border, 0.45, 1.4))
    ragged = 0.09 * smooth_noise(rng, SHAPE, 9) + 0.06 * smooth_noise(rng, SHAPE, 24)
    level = distance / radius.astype(np.float32) + (0.25 + look.irregularity) * ragged
    return level + 4 * np.clip(np.hypot(x, y) - 1.35, 0, None)  # nothing reaches the canvas's edge


def _brown(
    rng: np.random.Generator, look: Look, x: np.ndarray, y: np.ndarray, level: np.ndarray, body: np.ndarray
) -> np.ndarray:
    """Melanin in the epidermis: shades, an eccentric dark blotch, network, dots and globules."""
    direction = rng.uniform(0, 2 * np.pi)
    slope = math.cos(direction) * x + math.sin(direction) * y
    shades = 0.45 * smooth_noise(rng, SHAPE, 4) + 0.3 * smooth_noise(rng, SHAPE, 10)
    shade = 1 + look.variegation * shades + 0.7 * look.asymmetry * slope - 0.2 * level
    blotch_x, blotch_y = (0.6 * look.asymmetry * turn for turn in (math.cos(direction), math.sin(direction)))
    spread = rng.uniform(0.05, 0.2)
    blotch = np.exp(-((x - blotch_x) ** 2 + (y - blotch_y) ** 2) / spread + 0.3 * smooth_noise(rng, SHAPE, 8))
    shade = np.clip(shade, 0.08, None) + look.variegation * np.clip(blotch, 0, 1.5)
    mesh = 0.7 * look.network * (_network(rng, look, x, y) - 0.45) * np.clip(0.4 + 0.6 * level, 0, 1)
    grain = 0.10 * smooth_noise(rng, SHAPE, 40)
    count = round(70 * look.globules * rng.uniform(0.5, 1.5))
    globules = _scattered(rng, body, count, (1.0, 2.8), blur=0.8)
    return (0.1 + 1.25 * look.melanin) * body * np.clip(shade * (1 + mesh + grain) + 0.9 * globules, 0, None)


def _network(rng: np.random.Generator, look: Look, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pigment network in [0, 1]: a honeycomb of dark lines, distorted where the lesion is irregular."""
    bend = 0.05 + 0.08 * look.irregularity
    u = x + bend * smooth_noise(rng, SHAPE, 8)
    v = y + bend * smooth_noise(rng, SHAPE, 8)
    pitch = rng.uniform(36, 58)  # radians per lesion radius: 11 to 18 holes across it
    waves = np.zeros(SHAPE, np.float32)
    for angle in (0, math.pi / 3, 2 * math.pi / 3):
        waves += np.cos(pitch * (math.cos(angle) * u + math.sin(angle) * v))
    lines = sigmoid(-(waves + 0.4) * 2.2)
    return lines * np.clip(1 + 0.5 * smooth_noise(rng, SHAPE, 5), 0, 1.6)


def _scattered(
    rng: np.random.Generator, body: np.ndarray, count: int, radii: tuple[float, float], blur: float
) -> np.ndarray:
    """`count` dots with radii in canvas pixels between `radii`, kept where they fall on the lesion."""
    centres = SIDE / 2 + rng.normal(0, 0.55 * PIXELS, (count, 2))
    return dots(SHAPE, centres, rng.uniform(*radii, count), rng.uniform(0.4, 1, count), blur) * body


def _veil(
    rng: np.random.Generator, look: Look, x: np.ndarray, y: np.ndarray, body: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Blue-white veil: melanin deep in the dermis, and the milky haze over it."""
    centre = rng.normal(0, 0.35, 2).tolist()
    patch = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / rng.uniform(0.12, 0.5))
    patch = body * np.clip(patch * (1 + 0.5 * smooth_noise(rng, SHAPE, 6)), 0, 1.3)
    return 1.1 * look.veil * patch, 0.25 * look.veil * patch


def _regression(
    rng: np.random.Generator, look: Look, level: np.ndarray, body: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """White scar-like areas in [0, 1], and the blue-grey peppering in them."""
    area = body * sigmoid(4 * (smooth_noise(rng, SHAPE, 3.5) - 1.6 + 1.6 * look.regression - 0.3 * level))
    area = area * min(1.0, 2 * look.regression)
    pepper = _scattered(rng, area, round(60 * look.regression), (0.6, 1.4), blur=0.7)
    return area, 0.6 * pepper


def _lacunae(rng: np.random.Generator, look: Look, x: np.ndarray, y: np.ndarray, body: np.ndarray) -> np.ndarray:
    """Lagoons of blood in [0, 1], parted by pale septa: the cells of a Voronoi diagram."""
    if look.lacunae < 0.1:
        return np.zeros(SHAPE, np.float32)
    count = int(rng.integers(5, 45))
    centres = rng.uniform(-1.2, 1.2, (count, 2)).astype(np.float32)
    wobble = 0.05 * smooth_noise(rng, SHAPE, 12)
    distances = np.sqrt((x[..., None] - centres[:, 0]) ** 2 + (y[..., None] - centres[:, 1]) ** 2)
    nearest = np.partition(distances, 1, axis=-1)
    septum = nearest[..., 1] - nearest[..., 0] + wobble
    filling = rng.uniform(0.55, 1, count).astype(np.float32)[distances.argmin(axis=-1)]
    return min(1.0, 1.3 * look.lacunae) * body * filling * (0.45 + 0.55 * sigmoid((septum - 0.08) * 25))


def _vessels(rng: np.random.Generator, look: Look) -> np.ndarray:
    """Arborising vessels: how much blood they add, in absorbance."""
    paths: list[np.ndarray] = []
    widths: list[float] = []
    for _ in range(round(6 * look.vessels)):
        bearing = rng.uniform(0, 2 * np.pi)
        start = SIDE / 2 + rng.uniform(0.5, 1.1) * PIXELS * np.array([np.cos(bearing), np.sin(bearing)])
        inward = bearing + np.pi + rng.normal(0, 0.5)
        tree = branching_paths(rng, start, inward, rng.uniform(0.6, 1.3) * PIXELS, rng.uniform(1.2, 2.4))
        paths += tree[0]
        widths += tree[1]
    return 0.9 * curves(SHAPE, paths, widths, blur=0.7)


def _cysts(rng: np.random.Generator, look: Look, body: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Milia-like cysts (white dots) and comedo-like openings (dark dots), both in [0, 1]."""
    white = _scattered(rng, body, round(28 * look.cysts * rng.uniform(0.5, 1.5)), (1.2, 3.2), blur=1.5)
    dark = _scattered(rng, body, round(14 * look.cysts * rng.uniform(0.3, 1.5)), (1.5, 3.2), blur=0.9)
    return white, dark


def _scale(rng: np.random.Generator, look: Look, body: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keratin flakes in [0, 1], and the red, strawberry-like pattern between hair follicles as absorbance."""
    crumbs = 0.5 * smooth_noise(rng, SHAPE, 20) + 0.4 * smooth_noise(rng, SHAPE, 50)
    islands = sigmoid(4 * (smooth_noise(rng, SHAPE, 5) - 1.3 + look.scale))
    flakes = look.scale * islands * np.clip(0.3 + crumbs, 0, 1) * body
    strawberry = np.clip(smooth_noise(rng, SHAPE, 26) + 0.3, 0, 1.5)
    return np.clip(1.3 * flakes, 0, 1), 0.4 * look.scale * strawberry * body


def _scar(rng: np.random.Generator, look: Look, x: np.ndarray, y: np.ndarray, body: np.ndarray) -> np.ndarray:
    """Central white patch of a dermatofibroma in [0, 1], with a ragged star-like edge."""
    centre = rng.normal(0, 0.1, 2).tolist()
    distance = np.hypot(x - centre[0], y - centre[1])
    patch = sigmoid((rng.uniform(0.3, 0.6) - distance + 0.09 * smooth_noise(rng, SHAPE, 14)) * 9)
    return look.scar * patch * body
