"""Augmentation of dermatoscopic photographs, in named levels: what another photograph of the same lesion could show.

Colour, symmetry and border are what a diagnosis is made of: they are changed a little or not at all. There is no up and
down in dermatoscopy, so every turned and mirrored form is as good as the first.
"""

import math
from typing import Any, cast

import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from derm.adaptation.params import Level

LEVELS: dict[Level, str] = {
    "none": "the photograph as it is",
    "flips": "mirrored and turned by right angles",
    "mild": "flips, turned by up to 10 degrees, 5 % smaller to 10 % larger, colours by up to 10 %",
    "medium": "flips, turned by up to 25 degrees, 10 % smaller to 20 % larger, moved by up to 5 %, colours by up to "
    "20 %, 1 in 10 blurred",
    "strong": "flips, turned by up to 25 degrees, 10 % smaller to 30 % larger, moved by up to 10 %, colours by up to "
    "30 %, 1 in 4 blurred, 1 in 4 noisy, 1 in 4 with a part cut out",
}
# Before anything but flips, a larger photograph is made smaller: its shorter side so many times the encoder's input.
SPARE = 1.5


class Augmentation:
    """An upright RGB photograph -> another that could be of the same lesion; what it draws, `seed` decides.

    side: of the encoder's input in pixels. torch's global generator is left as it was.
    """

    def __init__(self, level: Level, side: int) -> None:
        self.level: Level = level
        self.side = side
        self._transform = _transform(level)

    def __call__(self, image: Image.Image, seed: int) -> Image.Image:
        if self._transform is None:
            return image
        if self.level != "flips":
            image = self._smaller(image)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self._transform(image)

    def _smaller(self, image: Image.Image) -> Image.Image:
        ratio = SPARE * self.side / min(image.size)
        if ratio >= 1:
            return image
        return image.resize((round(image.width * ratio), round(image.height * ratio)), Image.Resampling.BILINEAR)


class _RightAngles(torch.nn.Module):
    """Turned by 0, 90, 180 or 270 degrees."""

    def forward(self, image: Image.Image) -> Image.Image:
        turns = (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
        turn = turns[int(torch.randint(4, ()))]
        return image if turn is None else image.transpose(turn)


class _Around(torch.nn.Module):
    """Turned, scaled and moved (as a share of each side); what comes into sight at an edge is the photograph's own,
    mirrored. Together with right angles, few degrees are enough: with many, and much smaller, a whole lesion would be
    mirrored into sight, and seen twice."""

    def __init__(self, degrees: float, smaller: float, larger: float, shift: float) -> None:
        super().__init__()
        self.degrees, self.smaller, self.larger, self.shift = degrees, smaller, larger, shift

    def forward(self, image: Image.Image) -> Image.Image:
        width, height = image.size
        turn, grown, across, down = (torch.rand(4) * 2 - 1).tolist()
        scale = 1 + (self.larger if grown > 0 else self.smaller) * grown
        moved = [round(self.shift * across * width), round(self.shift * down * height)]
        # As far as a corner can look, and no further than a reflection reaches.
        reach = math.hypot(width, height) / 2 / scale + max(abs(moved[0]), abs(moved[1])) / scale
        margins = [min(side - 1, max(0, math.ceil(reach - side / 2) + 2)) for side in (width, height)]
        # These take pictures as well as tensors, and give back what they took; their annotations know tensors alone.
        wide: Any = functional.pad(cast("Any", image), margins, padding_mode="reflect")
        bilinear = v2.InterpolationMode.BILINEAR
        turned = functional.affine(wide, self.degrees * turn, moved, scale, [0.0, 0.0], interpolation=bilinear)
        return cast("Any", functional.center_crop(turned, [height, width]))


def _transform(level: Level) -> v2.Compose | None:
    flips = [v2.RandomHorizontalFlip(), v2.RandomVerticalFlip(), _RightAngles()]
    match level:
        case "none":
            return None
        case "flips":
            return v2.Compose(flips)
        case "mild":
            return v2.Compose([*flips, _Around(10, 0.05, 0.1, 0.0), v2.ColorJitter(0.1, 0.1, 0.1, 0.01)])
        case "medium":
            jitter = v2.ColorJitter(0.2, 0.2, 0.2, 0.02)
            return v2.Compose([*flips, _Around(25, 0.1, 0.2, 0.05), jitter, _sometimes(_blur(), 0.1)])
        case "strong":
            moved = [_Around(25, 0.1, 0.3, 0.1), v2.ColorJitter(0.3, 0.3, 0.3, 0.03), _sometimes(_blur(), 0.25)]
            noise = v2.Compose([v2.GaussianNoise(sigma=0.03)])
            cut_out = v2.RandomErasing(0.25, scale=(0.02, 0.1), value=0.5)
            as_numbers = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
            return v2.Compose([*flips, *moved, *as_numbers, _sometimes(noise, 0.25), cut_out, v2.ToPILImage()])


def _blur() -> torch.nn.Module:
    return v2.GaussianBlur(5, (0.3, 1.5))


def _sometimes(transform: torch.nn.Module, chance: float) -> torch.nn.Module:
    return v2.RandomApply([transform], chance)
