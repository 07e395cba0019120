"""From an upright photograph to an encoder's input: one recipe, whoever wrote the model.

timm and transformers say the same few things in different words: how large, what to do with a photograph that is not
square, which interpolation, which mean and deviation. `Recipe` says them once; it stands in the encoder's manifest.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps

Resize = Literal["squash", "pad", "crop"]
INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

LONGEST = 32  # times as long as wide: what lies further out is never in the middle square


@dataclass(frozen=True)
class Recipe:
    """Upright RGB image -> float32 [3, rows, columns].

    size: (rows, columns) of the input, in pixels.
    resize: `squash` brings the photograph to `scaled`, whatever its shape; `pad` brings its longer side there and
        fills up with the mean colour; `crop` brings its shorter side there.
    scaled: (rows, columns) before the middle of `size` is cut out; larger than `size` for a recipe that cuts.
    interpolation: a key of INTERPOLATIONS, always antialiased.
    mean, std: of each channel of RGB/255; std 1 and mean 0 leave it as it is.
    rounding: where the middle lies if the margin is odd: timm rounds half to even, transformers rounds down.
    """

    size: tuple[int, int]
    resize: Resize
    scaled: tuple[int, int]
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    rounding: Literal["half-to-even", "down"]

    def __call__(self, image: Image.Image) -> torch.Tensor:
        pixels = torch.from_numpy(np.array(self.picture(image))).permute(2, 0, 1)
        scaled = pixels.contiguous().to(torch.float32).div(255)
        return scaled.sub_(torch.tensor(self.mean)[:, None, None]).div_(torch.tensor(self.std)[:, None, None])

    def picture(self, image: Image.Image) -> Image.Image:
        """What the encoder gets, as an 8-bit RGB picture of `size`."""
        image = self._without_far_ends(image)
        width, height = self._scaled(image.width, image.height)
        image = image.resize((width, height), INTERPOLATIONS[self.interpolation])
        rows, columns = self.size
        missing = max(0, columns - width), max(0, rows - height)
        if any(missing):
            left, top = missing[0] // 2, missing[1] // 2
            fill = tuple(round(255 * value) for value in self.mean)
            image = ImageOps.expand(image, (left, top, missing[0] - left, missing[1] - top), fill)
        left, top = self._middle(image.width - columns), self._middle(image.height - rows)
        return image.crop((left, top, left + columns, top + rows))

    def covered(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The box (left, top, right, bottom) of an upright image of this size that `size` shows; it reaches over the
        image's edge where it is padded."""
        scaled_width, scaled_height = self._scaled(width, height)
        across, down = self.size[1] * width / scaled_width, self.size[0] * height / scaled_height
        return (width - across) / 2, (height - down) / 2, (width + across) / 2, (height + down) / 2

    def manifest(self) -> dict[str, Any]:
        """As JSON can hold it; `from_manifest` reads it back."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @staticmethod
    def from_manifest(content: dict[str, Any]) -> "Recipe":
        """The recipe that `manifest` told."""
        values: dict[str, Any] = {}
        for key, value in content.items():
            values[key] = tuple(value) if isinstance(value, list) else value
        return Recipe(**values)

    def changed(self, image_size: int | None, resize: Resize | None, interpolation: str | None) -> "Recipe":
        """With a user's wishes (None: as it is).

        Another size keeps the share that is cut off. Another way to resize cuts nothing off but what it has to: all of
        the photograph is squashed or padded, and `crop` takes the largest square.
        """
        recipe = self
        if image_size is not None:
            rows, columns = (image_size * scaled // side for scaled, side in zip(self.scaled, self.size, strict=True))
            recipe = replace(recipe, size=(image_size, image_size), scaled=(rows, columns))
        if resize is not None and resize != recipe.resize:
            recipe = replace(recipe, resize=resize, scaled=recipe.size)
        return recipe if interpolation is None else replace(recipe, interpolation=interpolation)

    def _without_far_ends(self, image: Image.Image) -> Image.Image:
        """The middle of an image so long and thin that, scaled up to be cropped, it would fill the memory."""
        short = min(image.size)
        if self.resize != "crop" or max(image.size) <= LONGEST * short:
            return image
        width, height = (min(side, LONGEST * short) for side in image.size)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))

    def _scaled(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) after resizing."""
        rows, columns = self.scaled
        if self.resize == "squash":
            return columns, rows
        if self.resize == "pad":
            ratio = max(width / columns, height / rows)
            return max(1, round(width / ratio)), max(1, round(height / ratio))
        if rows == columns:  # the longer side is rounded down, as torchvision and transformers do
            short, long = min(width, height), max(width, height)
            longer = int(rows * long / short)
            return (rows, longer) if width <= height else (longer, rows)
        ratio = min(width / columns, height / rows)
        return max(columns, round(width / ratio)), max(rows, round(height / ratio))

    def _middle(self, margin: int) -> int:
        return round(margin / 2) if self.rounding == "half-to-even" else margin // 2
