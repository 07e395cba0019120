"""What of HAM10000 is wanted, where the reader looks for it, and whether all of it is there."""

import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from derm.errors import UserError
from derm.sources.ham10000 import ENDINGS, MASKS, METADATA, TEST, read
from derm.sources.image_files import image_files, without_suffix

IMAGES = ("HAM10000_images_part_1", "HAM10000_images_part_2")
TEST_IMAGES = "ISIC2018_Task3_Test_Images"


@dataclass(frozen=True)
class Part:
    """One file that is fetched: a table, or an archive that becomes a folder of its name."""

    stem: str
    table: bool

    def place(self, out: Path) -> Path:
        """Where it goes."""
        return out / (f"{self.stem}.csv" if self.table else self.stem)

    def is_there(self, out: Path) -> bool:
        """Whether it has been put in its place, by us (then it is whole) or by hand."""
        if self.table:
            return any((out / f"{self.stem}{ending}").is_file() for ending in ENDINGS)
        return self.place(out).is_dir() and any(self.place(out).iterdir())


def wanted_parts(with_masks: bool, official_test: bool) -> list[Part]:
    """Tables first: they are small, and show soon what is wrong."""
    tables = [METADATA, *([TEST] if official_test else [])]
    folders = [*IMAGES, *([MASKS] if with_masks else []), *([TEST_IMAGES] if official_test else [])]
    return [*(Part(stem, True) for stem in tables), *(Part(stem, False) for stem in folders)]


def check_dataset(out: Path, with_masks: bool) -> None:
    """Read the folder as `prepare` will, and say what is in it.

    UserError if images of HAM10000 itself, or all masks, are missing. An image of the official test set may be: its
    published table has a row for ISIC_0035068, and its archive no such file.
    """
    listing = read(out)
    images = listing.images
    absent = images[images["path"] == ""]
    lost = absent[absent["source_part"] == "train"]
    if len(lost):
        raise UserError(
            f"{out}: {len(lost)} of the images that {METADATA} lists are not there (first {lost['image_id'].iloc[0]}): "
            f"delete {' and '.join(IMAGES)} in it, and run the same command again"
        )
    masks = int((images["mask"] != "").sum())
    if with_masks and not masks:
        raise UserError(f"{out / MASKS} holds no mask of a listed image: delete it, and run the same command again")
    warnings = list(listing.warnings)
    if len(absent):
        warnings.append(
            f"WARNING: {len(absent)} listed images of the official test set have no file "
            f"({', '.join(absent['image_id'].head(4))}): `prepare` will refuse these rows"
        )
    files = {without_suffix(PurePosixPath(file).name) for file in image_files(out) if not file.startswith(f"{MASKS}/")}
    unlisted = sorted(files - set(images["image_id"]))
    if unlisted:
        warnings.append(f"WARNING: {len(unlisted)} images in {out} stand in no table, such as {unlisted[0]}")
    for warning in warnings:
        print(warning, file=sys.stderr)
    parts = images["source_part"].value_counts()
    official = parts.get("test", 0)
    test = f", {official} images of the official test set" if official else ""
    print(f"{out}: {parts['train']} images of HAM10000, {masks} masks{test}")
    print(f"next: make data ROOT={out}")
