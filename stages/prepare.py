"""Read the dataset, check every image, find what belongs together, write the image table."""

import sys
from pathlib import Path

from derm.dataset import KINDS, read_dataset, refuse_bad
from derm.description.report import write_report
from derm.files import write_csv, write_json
from derm.image_table import APPEARANCE_FILE, SYNTHETIC
from derm.params import load
from derm.sources.reader import DataParams
from stages.runner import run

PREPARED = Path("data/prepared")
PLOTS = Path("plots/prepare")


def main() -> None:
    params = load("data", DataParams)
    dataset = read_dataset(params, params)
    images, pairs = dataset.images, dataset.pairs
    write_csv(PREPARED / "rejected.csv", dataset.rejected)
    refuse_bad(dataset, params.max_rejected, "data", str(PREPARED / "rejected.csv"))
    write_csv(PREPARED / "images.csv", images)
    write_csv(APPEARANCE_FILE, dataset.appearance)
    write_csv(PREPARED / "pairs.csv", pairs)
    write_csv(PREPARED / "linked.csv", dataset.linked)
    warnings = write_report(images, dataset.rejected, pairs, PLOTS)
    for warning in warnings:
        print(f"WARNING: {warning}", file=sys.stderr)
    write_json(
        Path("metrics/prepare.json"),
        {
            "listed": dataset.listed,
            "images": len(images),
            "rejected": dataset.lost,
            "groups": images["group"].nunique(),
            "lesion_ids": images.loc[images["lesion_id"] != "", "lesion_id"].nunique(),
            "patient_ids": images.loc[images["patient_id"] != "", "patient_id"].nunique(),
            "pairs": {kind.replace("-", "_"): int((pairs["kind"] == kind).sum()) for kind in KINDS},
            "pairs_that_join_lesions": int(pairs["joins"].sum()),
            "masks": int((images["mask"] != "").sum()),
            "classes": images["diagnosis"].nunique(),
            "without_lesion_id": int(((images["lesion_id"] == "") & (images["patient_id"] == "")).sum()),
            "synthetic": bool((images["source"] == SYNTHETIC).any()),
        },
    )
    print(
        f"{len(images)} images in {images['group'].nunique()} groups (patient or lesion); {dataset.lost} rows "
        f"rejected; {int(pairs['joins'].sum())} pairs held together by their pixels or a published list"
    )


if __name__ == "__main__":
    run("prepare", main)
