"""Read the dataset, check every image, write the image table."""

import sys
from pathlib import Path

import pandas as pd

from derm.errors import UserError
from derm.figures import class_counts
from derm.files import write_csv, write_figure, write_json
from derm.groups import group_images
from derm.image_table import COLUMNS, SYNTHETIC
from derm.inspection import inspect
from derm.params import load
from derm.sources.listing import check_rows
from derm.sources.reader import DataParams, read_source
from stages.runner import run

PREPARED = Path("data/prepared")
PLOTS = Path("plots/prepare")


def main() -> None:
    params = load("data", DataParams)
    listing, diagnoses = read_source(params)
    for warning in listing.warnings:
        print(warning, file=sys.stderr)
    listed, refused_rows = check_rows(listing.images, diagnoses)
    images, refused_files = inspect(listed, params.min_side, params.max_pixels)
    rejected = pd.concat([refused_rows, refused_files], ignore_index=True).sort_values(["row", "path"])
    write_csv(PREPARED / "rejected.csv", rejected)
    lost = len(listing.images) - len(images)
    if images.empty:
        raise UserError(f"{params.root}: no row can be used; the reasons are in {PREPARED / 'rejected.csv'}")
    images["group"] = group_images(images, listing.duplicates)
    images = images.sort_values("image_id")[COLUMNS]
    if lost > params.max_rejected * len(listing.images):
        first = rejected.iloc[0]
        raise UserError(
            f"{lost} of {len(listing.images)} rows cannot be used, data.max_rejected allows {params.max_rejected:.1%}; "
            f"all are in {PREPARED / 'rejected.csv'}, the first: line {first['row']}, {first['image_id']}: "
            f"{first['reason']}"
        )
    counts = images.groupby("diagnosis").agg(images=("image_id", "size"), lesions=("group", "nunique")).reset_index()
    write_csv(PREPARED / "images.csv", images)
    write_csv(PLOTS / "classes.csv", counts)
    write_figure(PLOTS / "classes.png", class_counts(counts))
    write_json(
        Path("metrics/prepare.json"),
        {
            "listed": len(listing.images),
            "images": len(images),
            "rejected": lost,
            "lesions": images["group"].nunique(),
            "masks": int((images["mask"] != "").sum()),
            "classes": images["diagnosis"].nunique(),
            "without_lesion_id": int((images["lesion_id"] == "").sum()),
            "synthetic": bool((images["source"] == SYNTHETIC).any()),
        },
    )
    print(f"{len(images)} images of {images['group'].nunique()} lesions; {lost} rows rejected")


if __name__ == "__main__":
    run("prepare", main)
