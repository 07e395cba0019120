"""Near-identical images are found, lookalikes are not, and the search is exact and does not grow with the square."""

import io
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance

from derm.images import digest
from derm.near_duplicates import RADIUS, candidate_pairs, detail, near_identical, perceptual_hash, similarity


def skin(seed: int, spot: float = 0.25, size: tuple[int, int] = (300, 225)) -> Image.Image:
    """A dark spot in the middle of skin with its own fine lines: alike in shape and colour, unlike in detail."""
    generator = np.random.default_rng(seed)
    width, height = size
    y, x = np.mgrid[0:height, 0:width] / height - 0.5
    pixels = np.full((height, width, 3), [205.0, 160.0, 140.0])
    for _ in range(90):  # skin lines and hairs
        angle, offset = generator.uniform(0, np.pi), generator.uniform(-0.8, 0.8)
        near = np.abs(np.cos(angle) * (x - 0.2) + np.sin(angle) * y - offset) < 0.006
        pixels[near] -= generator.uniform(15, 70)
    pixels[(x - 0.17) ** 2 + y**2 < spot**2] *= 0.5
    pixels += generator.normal(0, 3, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def saved(image: Image.Image, path: Path, **options: int) -> dict[str, str]:
    """Saved as JPEG, and its row of the image table."""
    image.save(path, format="JPEG", **options)
    read = Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
    return {"path": str(path), "sha256": digest(path.read_bytes()), "perceptual_hash": perceptual_hash(read)}


def test_the_same_photograph_saved_again_is_found_and_lookalikes_are_not(tmp_path: Path) -> None:
    original = skin(0)
    copies = {
        "original": original,
        "squeezed": original.resize((180, 180)),
        "small": original.resize((150, 112)),
        "brighter": ImageEnhance.Brightness(original).enhance(1.12),
        **{f"lookalike {seed}": skin(seed) for seed in range(1, 9)},
    }
    rows = [
        saved(image, tmp_path / f"{number}.jpg", quality=95 - 5 * number)
        for number, image in enumerate(copies.values())
    ]
    pairs = near_identical(pd.DataFrame(rows))
    found = {frozenset(pair) for pair in pairs[["one", "other"]].to_numpy().tolist()}
    assert found == {frozenset((one, other)) for one in range(4) for other in range(one)}
    assert pairs["similarity"].is_monotonic_decreasing


def test_a_black_round_border_makes_no_two_images_alike(tmp_path: Path) -> None:
    y, x = np.mgrid[0:225, 0:300]
    border = ((x - 150) / 140) ** 2 + ((y - 112) / 140) ** 2 > 1
    one, other = (np.asarray(skin(seed, spot=0.1)).copy() for seed in (1, 2))
    for pixels in (one, other):
        pixels[border] = 0
    assert similarity(detail(Image.fromarray(one)), detail(Image.fromarray(other))) < 0.5


def test_equal_bytes_are_looked_at_once_and_sides_are_kept_apart(tmp_path: Path) -> None:
    image = skin(3)
    rows = [saved(image, tmp_path / "a.jpg", quality=90), saved(image, tmp_path / "b.jpg", quality=90)]
    rows.append(saved(image.resize((200, 150)), tmp_path / "c.jpg", quality=80))
    table = pd.DataFrame(rows)
    assert near_identical(table)[["one", "other"]].to_numpy().tolist() == [[0, 2]]
    assert len(near_identical(table, between=pd.Series([0, 0, 1]))) == 1
    assert near_identical(table, between=pd.Series([0, 0, 0])).empty


def test_flat_images_are_like_nothing(tmp_path: Path) -> None:
    rows = [saved(Image.new("RGB", (64, 64), (shade, 90, 90)), tmp_path / f"{shade}.jpg") for shade in range(100, 120)]
    assert near_identical(pd.DataFrame(rows)).empty


def brute_force(hashes: list[str], radius: int) -> set[tuple[int, int, int]]:
    """The oracle: every pair, bit by bit."""
    bits = [int(text, 16) for text in hashes]
    return {
        (one, other, distance)
        for other in range(len(bits))
        for one in range(other)
        if (distance := (bits[one] ^ bits[other]).bit_count()) <= radius
    }


@pytest.mark.parametrize("seed", range(6))
def test_the_search_finds_what_comparing_all_pairs_finds(seed: int) -> None:
    generator = np.random.default_rng(seed)
    centres = [int.from_bytes(generator.bytes(32)) for _ in range(12)]
    hashes = []
    for _ in range(300):  # around each centre, up to 24 bits away: distances on both sides of every radius
        flipped = centres[generator.integers(12)]
        for bit in generator.choice(256, generator.integers(0, 25), replace=False):
            flipped ^= 1 << int(bit)
        hashes.append(f"{flipped:064x}")
    for radius in (0, 7, 16, RADIUS):
        found = {(int(one), int(other), int(distance)) for one, other, distance in candidate_pairs(hashes, radius)}
        assert found == brute_force(hashes, radius)
    assert len(brute_force(hashes, RADIUS)) > 100


def test_a_radius_beyond_what_the_search_is_exact_for_is_refused() -> None:
    with pytest.raises(ValueError, match="exact up to 31"):
        candidate_pairs(["0" * 64] * 2, 32)
    assert len(candidate_pairs([])) == len(candidate_pairs(["0" * 64])) == 0


def test_few_pairs_are_compared_so_that_ten_thousands_are_searched_in_much_less_than_the_square() -> None:
    generator = np.random.default_rng(1)

    def seconds(count: int) -> float:
        hashes = [generator.bytes(32).hex() for _ in range(count)]
        times = []
        for _ in range(3):
            started = time.process_time()
            candidate_pairs(hashes)
            times.append(time.process_time() - started)
        return min(times)

    assert seconds(40_000) / seconds(5_000) < 24  # the square would be 64
