"""Random fields on a square canvas: the brushes that lesions and skin are painted with."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: float) -> np.ndarray:
    """Smooth random field of `shape` (rows, columns), float32, mean 0, standard deviation about 1.

    `cells` is the number of independent bumps along the longer side.
    """
    rows, columns = (max(2, round(cells * side / max(shape))) + 2 for side in shape)
    grid = rng.standard_normal((rows, columns), np.float32)
    grid = (grid - grid.mean()) / grid.std() * 1.25  # bicubic interpolation takes a fifth of it away
    return np.asarray(Image.fromarray(grid).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def sigmoid(values: np.ndarray) -> np.ndarray:
    """Logistic function, float32, safe for large arguments."""
    return 1 / (1 + np.exp(-np.clip(values, -30, 30)))


def dots(
    shape: tuple[int, int], centres: np.ndarray, radii: np.ndarray, strengths: np.ndarray, blur: float
) -> np.ndarray:
    """Field in [0, 1] with one soft round dot per row of `centres` (x, y in pixels).

    `radii` are in pixels, `strengths` in [0, 1], `blur` is the Gaussian radius in pixels of their edges.
    """
    if not len(centres):
        return np.zeros(shape, np.float32)
    canvas = Image.new("L", (shape[1], shape[0]))
    pen = ImageDraw.Draw(canvas)
    for (x, y), radius, strength in zip(centres, radii, strengths, strict=True):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=round(255 * strength))
    return np.asarray(canvas.filter(ImageFilter.GaussianBlur(blur)), dtype=np.float32) / 255


def curves(shape: tuple[int, int], paths: list[np.ndarray], widths: list[float], blur: float = 0.0) -> np.ndarray:
    """Field in [0, 1] with one antialiased polyline per path.

    A path is an array of (x, y) in pixels; `widths` are in pixels, `blur` is a Gaussian radius in pixels.
    """
    if not paths:
        return np.zeros(shape, np.float32)
    canvas = Image.new("L", (2 * shape[1], 2 * shape[0]))
    pen = ImageDraw.Draw(canvas)
    for path, width in zip(paths, widths, strict=True):
        pen.line((2 * path).ravel().tolist(), fill=255, width=max(1, round(2 * width)), joint="curve")
    drawn = canvas.reduce(2)
    if blur > 0:
        drawn = drawn.filter(ImageFilter.GaussianBlur(blur))
    return np.asarray(drawn, dtype=np.float32) / 255


def wandering_path(
    rng: np.random.Generator, start: np.ndarray, heading: float, length: float, wiggle: float, steps: int = 14
) -> np.ndarray:
    """A line of `length` pixels from `start` (x, y) that sets off along `heading` (radians) and drifts.

    `wiggle`, in radians, is the standard deviation of the change of heading at each of the `steps`; a third of it
    is the same at all of them, so that the path curls.
    """
    headings = heading + rng.normal(rng.normal(0, wiggle / 3), wiggle, steps).cumsum()
    path = np.empty((steps + 1, 2))
    path[0] = start
    path[1:, 0] = start[0] + length / steps * np.cos(headings).cumsum()
    path[1:, 1] = start[1] + length / steps * np.sin(headings).cumsum()
    return path


def branching_paths(
    rng: np.random.Generator, start: np.ndarray, heading: float, length: float, width: float
) -> tuple[list[np.ndarray], list[float]]:
    """An arborising vessel: a trunk and thinner, shorter branches. Returns paths and their widths in pixels."""
    trunk = wandering_path(rng, start, heading, length, 0.2)
    paths, widths = [trunk], [width]
    for joint in rng.integers(3, len(trunk), size=4):
        side = heading + rng.choice([-1, 1]) * rng.uniform(0.5, 1.1)
        paths.append(wandering_path(rng, trunk[joint], side, length * rng.uniform(0.3, 0.6), 0.25, steps=9))
        widths.append(0.6 * width)
    return paths, widths
