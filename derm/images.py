"""The one place where pixels are read: check the digest, decode, orient, convert to RGB."""

import io
import sys
import warnings
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from derm.errors import UserError

MAX_PIXELS = 100_000_000
# What undoes each EXIF orientation (CIPA DC-008, tag 0x0112).
ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow's own limit, of another size, would come before ours; and its remarks on odd files are no news to a user.
Image.MAX_IMAGE_PIXELS = None
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")


class UnreadableImageError(Exception):
    """An image that cannot be used; the message is the reason, without the file's name."""


def digest(content: bytes) -> str:
    """SHA-256 of an image file's bytes, as 64 hex digits."""
    return sha256(content).hexdigest()


def read_bytes(path: Path) -> bytes:
    """A file's content. UnreadableImageError if it is missing, empty or not readable."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UnreadableImageError("file not found") from None
    except OSError as error:
        raise UnreadableImageError(f"file cannot be read: {error.strerror}") from None
    if not content:
        raise UnreadableImageError("file is empty")
    return content


def decode(content: bytes, max_pixels: int = MAX_PIXELS, min_side: int = 1) -> Image.Image:
    """An image file's bytes as an upright 8-bit RGB image.

    The size is read from the header and refused before any pixel is unpacked (a decompression bomb is a small file).
    Raises UnreadableImageError with the reason.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        width, height = image.size
        if width * height > max_pixels:
            raise UnreadableImageError(f"{width}x{height} pixels are over the limit of {max_pixels}")
        if min(width, height) < min_side:
            raise UnreadableImageError(f"{width}x{height} pixels: the shorter side is under {min_side}")
        image.load()
        return _to_rgb(_upright(image))
    except UnidentifiedImageError:
        raise UnreadableImageError(f"not an image in a known format ({', '.join(FORMATS)})") from None
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise UnreadableImageError(f"cannot be decoded: {error}") from None


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF orientation says. `ImageOps.exif_transpose` also writes the EXIF block anew, and fails on a
    damaged one; here only the pixels matter."""
    turn = UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        # `convert` would clip 16-bit grey at 255 to a white square; scale it. 65535 / 255 = 257.
        grey = np.asarray(image, dtype=np.float64)
        if image.mode == "F" or grey.min() < 0 or grey.max() > 65535:
            raise UnreadableImageError(f"pixels of mode {image.mode} with values {grey.min():g} to {grey.max():g}")
        return Image.fromarray(np.round(grey / 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers).convert("RGB")
    return image.convert("RGB")


def read_image(path: str, expected_digest: str) -> Image.Image:
    """The image that `prepare` saw, upright RGB.

    UserError, naming the file, if it is gone or its bytes are no longer those that `prepare` wrote down.
    """
    try:
        content = read_bytes(Path(path))
        if digest(content) != expected_digest:
            raise UserError(f"{path} has changed since `prepare` read it: run `dvc repro` to start from prepare")
        # `prepare` judged these very bytes, by the limits in force then.
        return decode(content, max_pixels=sys.maxsize)
    except UnreadableImageError as error:
        raise UserError(f"{path}: {error}; it was there when `prepare` ran: run `dvc repro prepare`") from None
