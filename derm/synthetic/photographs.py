"""One photograph of a lesion: the patient's skin, the framing, the light, the camera and what gets in the way."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from derm.synthetic.artefacts import Artefacts, add_artefacts, draw_artefacts
from derm.synthetic.fields import curves, dots, smooth_noise, wandering_path
from derm.synthetic.lesions import RED, TAN_BROWN, Lesion

WIDTH, HEIGHT = 300, 225  # HAM10000's 600 x 450, halved
SHAPE = (HEIGHT, WIDTH)
SKIN_BROWN = np.array([0.55, 0.85, 1.05], np.float32)  # absorbance of the skin's own melanin
PALE_SKIN = np.array([0.95, 0.81, 0.77], np.float32)  # reflectance before any pigment
COVERAGE = (0.035, 0.45)  # share of the photograph that the lesion may take, at its usual magnification


@dataclass(frozen=True)
class Skin:
    """What every photograph of one lesion has in common apart from the lesion itself.

    melanin: absorbance of the skin's own pigment, 0 (very pale) to about 1.3 (very dark).
    redness, mottling, freckles, lines, telangiectasia: strength of each in [0, 1].
    cast: [3] gain of red, green and blue of the practice's camera.
    coverage: share of the photograph that the lesion takes.
    """

    melanin: float
    redness: float
    mottling: float
    freckles: float
    lines: float
    telangiectasia: float
    cast: np.ndarray
    coverage: float


@dataclass(frozen=True)
class Photograph:
    """A finished photograph: RGB image, mask of the lesion (mode "1", same size) and what got in the way."""

    image: Image.Image
    mask: Image.Image
    artefacts: Artefacts


def draw_skin(rng: np.random.Generator) -> Skin:
    """A patient's skin and the camera of the practice; both are independent of the diagnosis."""
    warmth, lilac = np.clip(rng.normal(0, 1, 2), -1.7, 1.7) * (0.035, 0.035) + (0, 0.015)
    return Skin(
        melanin=float(min(1.3, rng.gamma(0.9, 0.2))),
        redness=float(rng.beta(1.5, 4)),
        mottling=float(rng.beta(1.5, 3)),
        freckles=float(rng.beta(0.5, 3)),
        lines=float(rng.beta(1, 2.5)),
        telangiectasia=float(rng.beta(0.4, 4)),
        cast=np.array([1 + warmth, 1 - max(0.0, lilac), 1 - warmth + lilac], np.float32),
        coverage=float(np.clip(np.exp(rng.normal(np.log(0.15), 0.6)), *COVERAGE)),
    )


def take_photograph(rng: np.random.Generator, lesion: Lesion, skin: Skin) -> Photograph:
    """Photograph `lesion` once. Framing, light, focus and artefacts come from `rng`, all else is given."""
    place = _framing(rng, lesion, skin)
    layers = [*np.moveaxis(lesion.absorbance, -1, 0), lesion.whiteness]
    *absorbance, whiteness = (_placed(Image.fromarray(layer), place) for layer in layers)
    reflected = _bare_skin(rng, skin) * np.exp(-np.stack(absorbance, axis=-1))
    keratin = np.array([0.93, 0.88, 0.86], np.float32) * math.exp(-0.4 * skin.melanin)
    whiteness = whiteness[..., None]
    scene = (1 - whiteness) * reflected + whiteness * keratin
    artefacts = draw_artefacts(rng)
    scene = add_artefacts(rng, _lit(rng, scene, skin), artefacts)
    outline = Image.fromarray(lesion.inside.astype(np.float32))
    mask = Image.fromarray((_placed(outline, place) > 0.5).astype(np.uint8) * 255).convert("1")
    return Photograph(_exposed(rng, scene), mask, artefacts)


def retake(photograph: Photograph) -> Photograph:
    """The same photograph as it turns up under a second id: cropped by 2 % on each side and a little brighter."""
    box = (0.02 * WIDTH, 0.02 * HEIGHT, 0.98 * WIDTH, 0.98 * HEIGHT)
    image = photograph.image.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box=box)
    mask = photograph.mask.resize((WIDTH, HEIGHT), Image.Resampling.NEAREST, box=box)
    return Photograph(ImageEnhance.Brightness(image).enhance(1.03), mask, photograph.artefacts)


def _framing(rng: np.random.Generator, lesion: Lesion, skin: Skin) -> tuple[float, ...]:
    """PIL's affine coefficients from photograph pixels to canvas pixels: magnification, rotation and shift."""
    zoom = np.exp(rng.normal(0, 0.1))
    wanted = skin.coverage * zoom**2 * WIDTH * HEIGHT
    step = np.sqrt(lesion.inside.sum() / wanted)  # canvas pixels per photograph pixel
    turn = rng.uniform(0, 2 * np.pi)
    a, b = step * np.cos(turn), step * np.sin(turn)
    middle_x, middle_y = np.array([WIDTH, HEIGHT]) / 2 + rng.normal(0, [14, 10])
    centre_y, centre_x = (indices.mean() for indices in np.nonzero(lesion.inside))
    return (
        a, b, centre_x - a * middle_x - b * middle_y,
        -b, a, centre_y + b * middle_x - a * middle_y,
    )  # fmt: skip


def _placed(layer: Image.Image, place: tuple[float, ...]) -> np.ndarray:
    """A canvas layer as it falls into the photograph; nothing beyond the canvas."""
    turned = layer.transform((WIDTH, HEIGHT), Image.Transform.AFFINE, place, Image.Resampling.BILINEAR)
    return np.asarray(turned, dtype=np.float32)


def _bare_skin(rng: np.random.Generator, skin: Skin) -> np.ndarray:
    """Reflectance of the skin without the lesion, [HEIGHT, WIDTH, 3]."""
    redness = 0.24 * skin.redness + 0.08 * skin.mottling * (
        smooth_noise(rng, SHAPE, 9) + 0.5 * smooth_noise(rng, SHAPE, 25)
    )
    starts = rng.uniform(0, [WIDTH, HEIGHT], (round(30 * skin.telangiectasia), 2))
    vessels = [wandering_path(rng, at, rng.uniform(0, 6.3), rng.uniform(40, 130), 0.2) for at in starts]
    redness = redness + 0.3 * curves(SHAPE, vessels, [1.1] * len(vessels), blur=0.9)
    count = round(30 * skin.freckles)
    spots = dots(
        SHAPE, rng.uniform(0, [WIDTH, HEIGHT], (count, 2)), rng.uniform(2, 9, count), rng.uniform(0.3, 1, count), 3.0
    )
    brown = skin.melanin * (1 + 0.05 * smooth_noise(rng, SHAPE, 14))
    grain = 1 + 0.010 * smooth_noise(rng, SHAPE, 80)
    pigment = np.clip(redness, 0, None)[..., None] * RED + brown[..., None] * SKIN_BROWN
    pigment += 0.35 * spots[..., None] * TAN_BROWN
    return PALE_SKIN * np.exp(-pigment) * (grain + 0.07 * skin.lines * _skin_lines(rng))[..., None]


def _skin_lines(rng: np.random.Generator) -> np.ndarray:
    """The criss-cross of fine pale furrows in [0, 1]."""
    first = rng.uniform(0, np.pi)
    lines = []
    for heading in (first, first + rng.uniform(0.8, 1.4)):
        for _ in range(18):
            start = rng.uniform(0, [WIDTH, HEIGHT])
            lines.append(wandering_path(rng, start, heading + rng.normal(0, 0.15), rng.uniform(40, 160), 0.08, steps=4))
    return curves(SHAPE, lines, [0.8] * len(lines))


def _lit(rng: np.random.Generator, scene: np.ndarray, skin: Skin) -> np.ndarray:
    """The scene under the dermatoscope's lamp, through the camera's white balance."""
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j].astype(np.float32)
    direction = rng.uniform(0, 2 * np.pi)
    gradient = rng.normal(0, 0.07) * (math.cos(direction) * x + math.sin(direction) * y)
    falloff = rng.uniform(0, 0.14) * (x**2 + y**2)
    # Dark skin is photographed with a longer exposure, though not long enough to make it pale.
    exposure = math.exp(rng.normal(0, 0.05) + 0.25 * skin.melanin)
    balance = skin.cast * (1 + rng.normal(0, 0.015, 3)).astype(np.float32)
    return (scene * ((1 + gradient - falloff) * exposure)[..., None] * balance).astype(np.float32)


def _exposed(rng: np.random.Generator, scene: np.ndarray) -> Image.Image:
    """What the sensor makes of the light: highlights rolled off, focus and noise."""
    excess = np.clip(scene - 0.8, 0, 0.4)
    rolled = np.minimum(scene, 0.8) + excess - 1.25 * excess**2
    noisy = rolled + 0.010 * rng.standard_normal((HEIGHT, WIDTH, 1), np.float32)
    image = Image.fromarray((255 * np.clip(noisy, 0, 1)).astype(np.uint8))
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.0)))
