"""What a photograph looks like: colours against known values, and what each measure must do and not do."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from derm.appearance import BLUISH, ITA_CATEGORIES, appearance, cielab, ita_category

SKIN, LESION = (222, 184, 160), (90, 50, 40)


def photograph(
    size: tuple[int, int] = (200, 150), texture: float = 6.0, vignette: bool = False, lesion: bool = True
) -> Image.Image:
    """A round lesion in the middle of textured skin."""
    image = Image.new("RGB", size, SKIN)
    width, height = size
    if lesion:
        draw = ImageDraw.Draw(image)
        draw.ellipse((width * 0.4, height * 0.4, width * 0.6, height * 0.6), fill=LESION)
    noise = np.random.default_rng(1).normal(0, texture, (height, width, 3))
    image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    if vignette:
        field = Image.new("L", size, 0)
        ImageDraw.Draw(field).ellipse((0, 0, width - 1, height - 1), fill=255)
        image = Image.composite(image, Image.new("RGB", size, "black"), field)
    return image


def mask_of(size: tuple[int, int] = (200, 150), low: float = 0.4, high: float = 0.6) -> Image.Image:
    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).ellipse((size[0] * low, size[1] * low, size[0] * high, size[1] * high), fill=255)
    return mask


# White, black and the primaries are in every table of CIELAB under D65; of grey 119, Y is
# ((119/255 + .055) / 1.055)^2.4 = .18448, and L* is 116 .18448^(1/3) - 16 = 50.03.
@pytest.mark.parametrize(
    ("pixel", "expected"),
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((119, 119, 119), (50.03, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.74, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
    ],
)
def test_known_colours(pixel: tuple[int, int, int], expected: tuple[float, float, float]) -> None:
    found = cielab(np.array([[pixel]], dtype=np.uint8))
    assert found.shape == (3, 1, 1)
    np.testing.assert_allclose(found.ravel(), expected, atol=0.01)


def test_a_frame_of_one_colour() -> None:
    found = appearance(Image.new("RGB", (80, 60), (119, 119, 119)), None)
    assert found.sharpness == 0 and found.lesion_contrast == 0 and math.isnan(found.ita)
    assert found.brightness == pytest.approx(50.03, abs=0.01)


def test_blur_lowers_sharpness_and_darkening_brightness() -> None:
    image = photograph()
    sharp = appearance(image, None)
    values = [appearance(image.filter(ImageFilter.GaussianBlur(sigma)), None).sharpness for sigma in (0.5, 1, 2, 4)]
    assert sorted([sharp.sharpness, *values], reverse=True) == [sharp.sharpness, *values]
    assert values[1] < 0.3 * sharp.sharpness
    darker = [appearance(ImageEnhance.Brightness(image).enhance(factor), None).brightness for factor in (0.7, 0.4, 0.1)]
    assert sorted([sharp.brightness, *darker], reverse=True) == [sharp.brightness, *darker]


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    """Against scipy's Laplacian on the middle three quarters."""
    from scipy.ndimage import laplace

    image = photograph()
    grey = np.asarray(image.convert("L"), dtype=float)[18:-18, 25:-25]
    assert appearance(image, None).sharpness == pytest.approx(laplace(grey)[1:-1, 1:-1].var(), abs=1e-6)


def test_photographs_of_different_resolution_compare() -> None:
    small = photograph((200, 150))
    large = small.resize((800, 600), Image.Resampling.NEAREST)
    one, other = appearance(small, mask_of()), appearance(large, mask_of((800, 600)))
    assert other.sharpness == pytest.approx(one.sharpness, rel=1e-6)
    assert other.brightness == pytest.approx(one.brightness, abs=0.3)
    assert other.lesion_contrast == pytest.approx(one.lesion_contrast, abs=1)
    assert other.ita == pytest.approx(one.ita, abs=1)


def test_a_lesion_stands_out_and_skin_alone_does_not() -> None:
    assert appearance(photograph(lesion=False), None).lesion_contrast < 5
    skin, lesion = cielab(np.array([SKIN, LESION], dtype=np.uint8)).T
    expected = float(np.linalg.norm(skin - lesion))
    assert appearance(photograph(texture=0), None).lesion_contrast == pytest.approx(expected, abs=0.5)
    # The dark corners of a dermatoscope's field are neither lesion nor skin.
    assert appearance(photograph(texture=0, vignette=True), None).lesion_contrast == pytest.approx(expected, abs=0.5)


def test_a_large_dark_lesion_or_a_vignette_is_no_dark_photograph() -> None:
    image = photograph()
    ImageDraw.Draw(image).ellipse((20, 10, 180, 140), fill=LESION)
    bright = appearance(photograph(), None).brightness
    assert appearance(image, None).brightness == pytest.approx(bright, abs=2)
    assert appearance(photograph(vignette=True), None).brightness == pytest.approx(bright, abs=2)


def test_ita_is_that_of_the_skin_outside_the_mask() -> None:
    lightness, _, yellowness = cielab(np.array(SKIN, dtype=np.uint8))
    expected = math.degrees(math.atan((lightness - 50) / yellowness))
    found = appearance(photograph(texture=0), mask_of())
    assert found.ita == pytest.approx(expected, abs=1e-5)
    assert appearance(photograph(texture=0, vignette=True), mask_of()).ita == pytest.approx(expected, abs=1e-5)
    # A lesion over most of the frame: without its mask's pixels the rest is skin, with them it would be the lesion.
    image = photograph(texture=0)
    ImageDraw.Draw(image).ellipse((15, 11, 185, 139), fill=LESION)
    assert appearance(image, mask_of(low=0.075, high=0.925)).ita == pytest.approx(expected, abs=1e-5)
    assert abs(appearance(image, mask_of()).ita - expected) > 20


def test_ita_leaves_out_the_black_surround_and_the_lesions_margin() -> None:
    lightness, _, yellowness = cielab(np.array(SKIN, dtype=np.uint8))
    image, mask = Image.new("RGB", (200, 150), SKIN), Image.new("L", (200, 150), 0)
    ImageDraw.Draw(image).rectangle((0, 0, 79, 149), fill="black")
    ImageDraw.Draw(mask).rectangle((120, 0, 199, 149), fill=255)
    expected = math.degrees(math.atan((lightness - 50) / yellowness))
    assert appearance(image, mask).ita == pytest.approx(expected, abs=1e-5)
    # Skin that darkens from left to right, in columns of a 32nd: the mask begins at the 17th, and what is left of it
    # and of the margin is 15 columns, of which the 8th is the median.
    columns = np.array([[220 - 4 * column, 180 - 4 * column, 150 - 4 * column] for column in range(32)], dtype=np.uint8)
    image = Image.fromarray(np.repeat(np.tile(columns, (24, 1, 1)), 4, axis=1).repeat(4, axis=0))
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).rectangle((64, 0, 127, 95), fill=255)
    lightness, _, yellowness = cielab(columns[7])
    expected = math.degrees(math.atan((lightness - 50) / yellowness))
    assert appearance(image, mask).ita == pytest.approx(expected, abs=1e-5)


def test_nothing_but_lesion_or_no_mask_has_no_ita() -> None:
    image = photograph()
    assert math.isnan(appearance(image, None).ita)
    assert math.isnan(appearance(image, Image.new("L", image.size, 255)).ita)
    # 3 pixels of 200 at the border.
    nearly = Image.new("L", image.size, 255)
    ImageDraw.Draw(nearly).rectangle((0, 0, 2, 149), fill=0)
    assert math.isnan(appearance(image, nearly).ita)
    assert appearance(image, mask_of()).ita == appearance(image, mask_of().convert("RGB")).ita


def test_bluish_skin_is_not_called_dark() -> None:
    found = appearance(Image.new("RGB", (200, 150), (190, 180, 200)), mask_of())
    assert 90 < found.ita < 180 and ita_category(found.ita) == BLUISH


@pytest.mark.parametrize(
    ("ita", "expected"),
    [(55.01, 0), (55, 1), (41.5, 1), (41, 2), (28.5, 2), (28, 3), (10.5, 3), (10, 4), (-29, 4), (-30, 5), (-80, 5)],
)
def test_categories(ita: float, expected: int) -> None:
    assert ita_category(ita) == ITA_CATEGORIES[expected]


def test_no_category_without_an_angle() -> None:
    assert ita_category(math.nan) == ""


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (5, 900), (900, 5), (199, 401)])
def test_any_size_is_measured(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(2).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    found = appearance(Image.fromarray(noise), Image.new("L", size, 0))
    assert np.isfinite([found.brightness, found.sharpness, found.lesion_contrast, found.ita]).all()


def test_the_same_in_many_threads() -> None:
    images = [photograph(texture=texture) for texture in range(1, 17)]
    expected = [appearance(image, mask_of()) for image in images]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda image: appearance(image, mask_of()), images * 4)) == expected * 4
    assert len(set(expected)) == 16
