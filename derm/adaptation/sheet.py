"""What augmentation draws, on a sheet, for a person to judge: is each of these still the same lesion?"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

from derm.adaptation.augmentation import LEVELS
from derm.adaptation.photographs import Photographs
from derm.contact_sheet import RIGHT, Cell, draw_sheet
from derm.images import read_image

DRAWS = 7
EACH = (148, 111)


def augmentation_sheet(photographs: Photographs, targets: np.ndarray, classes: Sequence[str]) -> Image.Image:
    """A row for each class: its first photograph as it is, and what is drawn of it for training."""
    cells = []
    for target, name in enumerate(classes):
        row = int(np.flatnonzero(targets == target)[0])
        whole = read_image(photographs.paths[row], photographs.digests[row])
        drawn = [photographs.augmentation(whole, seed) for seed in range(target * DRAWS, (target + 1) * DRAWS)]
        shown = [ImageOps.pad(image, EACH, color="white") for image in (whole, *drawn)]
        captions = [["as it is"], *([""] for _ in drawn)]
        cells.append(Cell(shown, RIGHT, name, captions))
    level = photographs.augmentation.level
    return draw_sheet(f"Augmentation: {level}", LEVELS[level], cells, columns=1, empty="no photograph", each=EACH)
