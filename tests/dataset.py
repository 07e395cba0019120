"""A small HAM10000-like folder for tests: real JPEG files of coloured noise, two images for some lesions."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization"


@dataclass
class Folder:
    """A dataset folder whose metadata can be changed line by line before it is read."""

    root: Path
    rows: list[list[str]] = field(default_factory=list)
    header: str = HEADER

    def write(self) -> "Folder":
        """Write the metadata file anew."""
        lines = [self.header, *(",".join(row) for row in self.rows)]
        (self.root / "HAM10000_metadata.csv").write_text("\n".join(lines) + "\n")
        return self

    def image(self, row: int) -> Path:
        """The image file of a row."""
        return self.root / "HAM10000_images_part_1" / f"{self.rows[row][1]}.jpg"


def make_folder(root: Path, lesions_per_class: int = 8, classes: tuple[str, ...] = CLASSES, number: int = 0) -> Folder:
    """Each class has a colour of its own; every other lesion has two photographs. Another number: other pictures under
    other names."""
    generator = np.random.default_rng(5 + number)
    (root / "HAM10000_images_part_1").mkdir(parents=True)
    folder = Folder(root)
    for index, name in enumerate(classes):
        for lesion in range(lesions_per_class):
            for photograph in range(1 + lesion % 2):
                image_id = f"ISIC_{number or ''}{index}{lesion:03d}{photograph}"
                colour = np.array([40 + 30 * index, 200 - 25 * index, 90 + 10 * lesion])
                pixels = np.clip(colour + generator.normal(0, 25, (48, 64, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / "HAM10000_images_part_1" / f"{image_id}.jpg", quality=92)
                folder.rows.append(
                    [f"HAM_{number or ''}{index}{lesion:03d}", image_id, name, "histo", "50", "male", "back"]
                )
    return folder.write()
