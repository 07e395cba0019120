"""What the colour-texture bank must see, and must not care about."""

import math

import pytest
import torch

from derm.encoders.colour_texture import (
    CHANNELS,
    COLOUR_CHANNELS,
    DIMENSION,
    GRID,
    HISTOGRAM_CHANNELS,
    IMAGE_SIZE,
    SCALES,
    ColourTexture,
    ColourTexturePooling,
    soft_histogram,
)

MAPS = ColourTexture()
POOLING = ColourTexturePooling()


@pytest.fixture(autouse=True)
def _one_thread():
    """These images are so small that threads only wait for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def lesions(count: int) -> torch.Tensor:
    """Noisy brown blobs, off centre, on pink skin: float32 [count, 3, 128, 128]."""
    generator = torch.Generator().manual_seed(3)
    axis = torch.linspace(-1, 1, IMAGE_SIZE)
    centre = torch.rand(count, 2, 1, 1, generator=generator) - 0.5
    blob = torch.exp(-4 * ((axis[None, :, None] - centre[:, 0]) ** 2 + (axis[None, None] - centre[:, 1]) ** 2))
    skin, brown = torch.tensor([0.85, 0.62, 0.58]), torch.tensor([0.35, 0.2, 0.15])
    image = skin.view(1, 3, 1, 1) + blob[:, None] * (brown - skin).view(1, 3, 1, 1)
    noise = torch.randn(count, 3, IMAGE_SIZE, IMAGE_SIZE, generator=generator)
    return (image + 0.03 * noise).clamp(0, 1)


def constant(red: float, green: float, blue: float) -> torch.Tensor:
    return torch.tensor([red, green, blue]).view(1, 3, 1, 1).expand(1, 3, IMAGE_SIZE, IMAGE_SIZE).contiguous()


def grating(period: float, angle: float) -> torch.Tensor:
    """A faint grey sine wave with its period in pixels."""
    x = torch.arange(IMAGE_SIZE, dtype=torch.float32)
    along = x[None] * math.cos(angle) + x[:, None] * math.sin(angle)
    return (0.5 + 0.05 * torch.sin(2 * math.pi * along / period)).expand(1, 3, -1, -1).contiguous()


def edge_energies(image: torch.Tensor) -> torch.Tensor:
    """Mean edge energy of the intensity at each scale: [SCALES]."""
    return MAPS(image)[0, HISTOGRAM_CHANNELS:].view(SCALES, 4, 3, GRID, GRID)[:, 0, 0].mean((1, 2))


def test_shapes_types_and_sign():
    maps = MAPS(lesions(2))
    pooled = POOLING(maps)
    assert maps.shape == (2, CHANNELS, GRID, GRID) and pooled.shape == (2, DIMENSION) == (2, 714)
    assert maps.dtype == pooled.dtype == torch.float32
    assert maps.min() >= 0
    assert not list(MAPS.parameters()) and not list(POOLING.parameters())


def test_soft_histogram_shares_a_value_between_its_two_neighbours():
    values = torch.tensor([0.25, 0.5, -3.0, 9.0]).view(1, 1, 2, 2)
    shares = soft_histogram(values, (0.0, 2.0, 3))[0].flatten(1).T  # centres 0, 1, 2
    assert shares.tolist() == [[0.75, 0.25, 0.0], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]


def test_constant_colour_fills_its_own_bins_and_no_oriented_filter():
    step = (0.98 - 0.05) / 9  # of the RGB bins; the colour lies on bin 7, on bin 4, and a quarter past bin 2
    image = constant(0.05 + 7 * step, 0.05 + 4 * step, 0.05 + 2.25 * step)
    maps = MAPS(image)[0]
    expected = torch.zeros(30)
    expected[[7, 10 + 4, 20 + 2, 20 + 3]] = torch.tensor([1, 1, 0.75, 0.25])
    torch.testing.assert_close(maps[:30], expected.view(30, 1, 1).expand(30, GRID, GRID), atol=1e-4, rtol=0)
    assert maps[HISTOGRAM_CHANNELS:].max() < 1e-5
    # Skin everywhere is 0 in every relative colour: 2.8 / 0.3 = 9.33 steps above the lowest log intensity.
    intensity = maps[50:62, 16, 16]
    torch.testing.assert_close(intensity[[9, 10]], torch.tensor([2 / 3, 1 / 3]), atol=1e-3, rtol=0)


def test_every_histogram_adds_up_to_one_in_every_cell():
    maps = MAPS(lesions(2))
    colour = [part.sum(1) for part in maps[:, :COLOUR_CHANNELS].split([10] * 5 + [12] * 3, 1)]
    energy = [part.sum(1) for part in maps[:, COLOUR_CHANNELS:HISTOGRAM_CHANNELS].split(6, 1)]
    for total in colour + energy:
        torch.testing.assert_close(total, torch.ones_like(total), atol=1e-5, rtol=0)


@pytest.mark.parametrize("scale", [0, 1, 2, 3])
def test_grating_excites_its_own_scale_most_at_any_orientation(scale: int):
    # |w| exp(-w^2 / 2) peaks at w = 1 in the level's own pixels: a period of 2 pi 2^scale pixels of the image.
    energies = torch.stack([edge_energies(grating(2 * math.pi * 2**scale, angle)) for angle in (0.0, 0.5, 1.1)])
    assert energies.argmax(1).tolist() == [scale] * 3
    peak = energies[:, scale]
    assert (peak.max() - peak.min()) / peak.mean() < 0.15  # 8 periods to 2: the frame's edge counts


def test_dark_and_bright_lines_are_told_apart():
    image = constant(0.6, 0.6, 0.6)
    image[:, :, :, 63:65] = 0.3
    # Scale 2 has pixels as large as a cell; the line runs between cells 15 and 16.
    energies = MAPS(image)[0, HISTOGRAM_CHANNELS:].view(SCALES, 4, 3, GRID, GRID)[2, :, 0, 8:24, 15:17].mean((1, 2))
    dark, bright = energies[1], energies[2]
    assert dark > 0.02 and bright < 0.1 * dark


def test_turning_or_mirroring_the_image_changes_no_number():
    image = lesions(1)
    pooled = POOLING(MAPS(image))
    for turned in (image.rot90(1, (2, 3)), image.rot90(2, (2, 3)), image.flip(3)):
        torch.testing.assert_close(POOLING(MAPS(turned.contiguous())), pooled, atol=1e-3, rtol=0)


def test_relative_colour_and_texture_ignore_the_lamp():
    image = lesions(1) * 0.9 + 0.1  # far from black, where the offset of the logarithm counts
    bright, dim = MAPS(image)[0], MAPS(image * 0.8)[0]
    assert (bright[:50] - dim[:50]).abs().mean() > 0.02  # plain colours do change
    assert (bright[50:COLOUR_CHANNELS] - dim[50:COLOUR_CHANNELS]).abs().mean() < 0.005
    torch.testing.assert_close(dim[HISTOGRAM_CHANNELS:], bright[HISTOGRAM_CHANNELS:], atol=0.02, rtol=0.05)


def test_gradients_reach_every_pixel_and_are_finite():
    image = lesions(1).requires_grad_(True)
    POOLING(MAPS(image)).sum().backward()
    assert image.grad is not None and image.grad.isfinite().all()
    assert (image.grad != 0).float().mean() > 0.99


def test_gradients_are_finite_where_there_is_nothing_to_see():
    for grey in (0.0, 0.5, 1.0):
        image = constant(grey, grey, grey).requires_grad_(True)
        POOLING(MAPS(image)).sum().backward()
        assert image.grad is not None and image.grad.isfinite().all()


def test_an_image_has_the_same_bytes_in_any_batch():
    images = lesions(16)
    whole = POOLING(MAPS(images))
    for size in (1, 3):
        parts = torch.cat([POOLING(MAPS(batch)) for batch in images.split(size)])
        assert torch.equal(parts, whole)


def test_float16_keeps_every_number():
    extremes = torch.cat([lesions(2), constant(0, 0, 0), constant(1, 1, 1), constant(1, 0, 1)])
    pooled = POOLING(MAPS(extremes))
    assert pooled.isfinite().all() and pooled.abs().max() < 10
    torch.testing.assert_close(pooled.half().float(), pooled, atol=1e-4, rtol=1e-3)
