"""Every kind of image file ends as upright RGB, or as a reason."""

import io
import struct
import zlib
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from derm.errors import UserError
from derm.images import UnreadableImageError, decode, digest, read_bytes, read_image


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(content: bytes) -> np.ndarray:
    image = decode(content)
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def picture(width: int = 48, height: int = 32) -> Image.Image:
    """Smooth colours, so that JPEG changes little."""
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return Image.fromarray((np.stack([across, down, 1 - across], axis=2) * 200 + 25).astype(np.uint8))


def png_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes that promises any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def reason(content: bytes, **limits: int) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        decode(content, **limits)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_rgb_stays_as_it_is(kind: str) -> None:
    np.testing.assert_array_equal(pixels(encoded(picture(), kind)), np.asarray(picture()))


def test_greyscale_is_the_same_in_three_channels() -> None:
    grey = np.array([[0, 10], [128, 255]], dtype=np.uint8)
    np.testing.assert_array_equal(pixels(encoded(Image.fromarray(grey))), np.repeat(grey[..., None], 3, axis=2))


def test_one_bit_is_black_and_white() -> None:
    content = encoded(Image.fromarray(np.array([[True, False]])))
    np.testing.assert_array_equal(pixels(content), [[[255] * 3, [0] * 3]])


def test_transparent_is_white_and_half_transparent_half_way() -> None:
    colours = np.array([[[200, 0, 0, 255], [200, 0, 0, 0], [200, 0, 0, 128]]], dtype=np.uint8)
    # over white: c * a + 255 * (1 - a), with a = 128 / 255
    expected = [[[200, 0, 0], [255, 255, 255], [227, 127, 127]]]
    np.testing.assert_allclose(pixels(encoded(Image.fromarray(colours, "RGBA"))), expected, atol=1)


def test_grey_with_transparency() -> None:
    greys = np.array([[[50, 255], [50, 0]]], dtype=np.uint8)
    np.testing.assert_array_equal(pixels(encoded(Image.fromarray(greys, "LA"))), [[[50] * 3, [255] * 3]])


def test_palette_with_and_without_a_transparent_entry() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(pixels(encoded(image)), [[[10, 20, 30], [40, 50, 60]]])
    np.testing.assert_array_equal(pixels(encoded(image, transparency=1)), [[[10, 20, 30], [255, 255, 255]]])


def test_cmyk_jpeg_has_the_colours_of_its_original() -> None:
    content = encoded(picture().convert("CMYK"), "JPEG", quality=95)
    assert Image.open(io.BytesIO(content)).mode == "CMYK"
    assert np.abs(pixels(content) - np.asarray(picture()).astype(int)).mean() < 6


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_and_not_clipped(kind: str) -> None:
    values = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    assert pixels(encoded(Image.fromarray(values), kind))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_pixels_without_a_known_range_are_refused() -> None:
    assert "mode F" in reason(encoded(Image.fromarray(np.array([[0.5]], dtype=np.float32)), "TIFF"))
    assert "mode I" in reason(encoded(Image.fromarray(np.array([[70000]], dtype=np.int32)), "TIFF"))


# EXIF 2.3: where the stored row 0 and column 0 lie in the scene; here: where its stored top left corner ends up.
@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, (0, 0)), (2, (0, -1)), (3, (-1, -1)), (4, (-1, 0)), (5, (0, 0)), (6, (0, -1)), (7, (-1, -1)), (8, (-1, 0))],
)
def test_exif_orientation_turns_the_image_upright(orientation: int, corner: tuple[int, int]) -> None:
    stored = np.zeros((20, 40, 3), dtype=np.uint8)
    stored[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = pixels(encoded(Image.fromarray(stored), "JPEG", exif=exif, quality=95))
    assert image.shape == ((20, 40, 3) if orientation < 5 else (40, 20, 3))
    bright = [place for place in ((0, 0), (0, -1), (-1, 0), (-1, -1)) if image[place].min() > 200]
    assert bright == [corner]


def test_a_truncated_file_is_refused() -> None:
    for kind in ("JPEG", "PNG", "TIFF", "BMP", "WEBP"):
        content = encoded(picture(), kind)
        assert reason(content[: len(content) // 2])


@pytest.mark.parametrize(
    "content", [b"not an image", b"GIF89a" + bytes(20), b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xff\xd8\xff"]
)
def test_what_is_not_an_image_is_refused(content: bytes) -> None:
    assert reason(content).startswith(("not an image in a known format", "cannot be decoded"))


def test_a_gif_is_not_opened() -> None:
    assert "known format" in reason(encoded(picture(), "GIF"))


def test_the_shorter_side_must_be_long_enough() -> None:
    assert "1x1" in reason(encoded(Image.new("RGB", (1, 1))), min_side=32)
    assert "31" in reason(encoded(picture(64, 31)), min_side=32)
    assert decode(encoded(picture(64, 32)), min_side=32).size == (64, 32)


@pytest.mark.parametrize("side", [101, 20_000, 2_000_000_000])
def test_too_many_pixels_are_refused_by_the_header_alone(monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    def unpacked(_: object) -> None:
        raise AssertionError("pixels were unpacked")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", unpacked)
    assert "10000" in reason(png_header(side, side), max_pixels=10_000)


def test_the_limit_itself_is_allowed() -> None:
    assert decode(encoded(picture(20, 10)), max_pixels=200).size == (20, 10)
    assert "20x10" in reason(encoded(picture(20, 10)), max_pixels=199)


@pytest.fixture
def _no_unpacking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers pass, pixels do not: sizes can be tested that would fill the memory."""

    def load(_: object) -> None:
        raise OSError("pixels reached")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)


@pytest.mark.usefixtures("_no_unpacking")
@pytest.mark.parametrize("side", [9_500, 15_000])
def test_an_image_under_the_limit_is_not_refused_for_its_size(side: int) -> None:
    assert "pixels reached" in reason(png_header(side, side), max_pixels=side * side)


@pytest.mark.usefixtures("_no_unpacking")
def test_an_image_that_prepare_allowed_is_not_refused_later_for_its_size(tmp_path: Path) -> None:
    """prepare with max_pixels=400_000_000 lets it through."""
    path = tmp_path / "large.png"
    path.write_bytes(png_header(20_000, 20_000))
    with pytest.raises(UserError, match="pixels reached"):
        read_image(str(path), digest(path.read_bytes()))


def test_damaged_files_are_always_refused_with_a_reason() -> None:
    """Whatever bytes are changed: an image or UnreadableImageError, and nothing else."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a lesion"
    whole = [
        encoded(picture(16, 12), "JPEG", exif=exif),
        encoded(picture(16, 12), "PNG"),
        encoded(picture(8, 8), "TIFF"),
    ]
    generator = np.random.default_rng(0)
    refused = 0
    for content in whole:
        for _ in range(300):
            damaged = bytearray(content)
            for place in generator.integers(0, min(300, len(content)), size=3):
                damaged[place] = generator.integers(256)
            try:
                assert decode(bytes(damaged), max_pixels=10**6).mode == "RGB"
            except UnreadableImageError:
                refused += 1
    assert refused > 100


def test_damaged_exif_is_no_traceback() -> None:
    """One bit off: the text 0x010E (description) becomes 0x0100 (width), which Pillow then cannot write back."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "hello"
    content = bytearray(encoded(picture(), "JPEG", exif=exif))
    place = content.index(b"\x01\x0e\x00\x02")  # the tag, and its type
    content[place + 1] = 0
    try:
        assert decode(bytes(content)).size == (32, 48)
    except UnreadableImageError as error:
        assert str(error)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    for path, told in (
        (tmp_path / "gone.jpg", "not found"),
        (tmp_path / "empty.jpg", "empty"),
        (tmp_path, "cannot be"),
    ):
        with pytest.raises(UnreadableImageError, match=told):
            read_bytes(path)


def test_an_image_is_read_by_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture()))
    expected = sha256(path.read_bytes()).hexdigest()
    assert digest(path.read_bytes()) == expected
    np.testing.assert_array_equal(np.asarray(read_image(str(path), expected)), np.asarray(picture()))
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(UserError, match=r"a\.png has changed"):
        read_image(str(path), expected)
    path.unlink()
    with pytest.raises(UserError, match=r"a\.png: file not found"):
        read_image(str(path), expected)
