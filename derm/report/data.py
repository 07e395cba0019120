"""What the report says of the data: where it came from, what belongs together, how it was dealt out."""

from pathlib import Path

import pandas as pd

from derm.files import read_json
from derm.report.page import Figure, Part
from derm.report.whom import external_tables

PLOTS = Path("plots")


def data_part() -> Part:
    """What the dataset holds, what was refused, and how it was dealt out."""
    prepared, split = read_json(Path("metrics/prepare.json")), read_json(Path("metrics/split.json"))
    found, left_out = prepared["pairs"], split.get("left_out", {"images": 0})["images"]
    return Part(
        "The data and its split",
        f"{prepared['listed']} rows listed, {prepared['rejected']} refused. A group is a patient where ids are known, "
        f"else a lesion; images also stand together if their bytes are equal ({found['bytes']} pairs), if they are "
        f"near-identical ({found['near_identical']}) or on a published list of duplicates "
        f"({found['published']}): {prepared['pairs_that_join_lesions']} of these pairs have ids that would have kept "
        f"them apart. No group stands in two parts of the split. {left_out} images are left out of it. Digest of the "
        f"split: {split['digest'][:16]}.",
        [],
        [
            Figure(
                PLOTS / "prepare/overview.png",
                "Who and what is in the data (counted, not sampled: no intervals)",
                wide=True,
            ),
            Figure(PLOTS / "prepare/classes.png", "Images and groups by class (counts: no intervals)"),
            Figure(PLOTS / "split/balance.png", "Classes in each part (counts: no intervals)"),
            Figure(
                PLOTS / "prepare/missing.png",
                "What is missing, by class (counts, and p of a test that all classes lack it alike)",
            ),
            Figure(PLOTS / "prepare/rejected.png", "What was refused, and why (rows)"),
            Figure(PLOTS / "prepare/pairs.png", "Images that belong together, for a person to judge", wide=True),
        ],
    )


def external_parts() -> list[Part]:
    """What each external set shares with the home set, and how the classifier does there, where there are any."""
    sets = read_json(Path("metrics/prepare_external.json"))
    if not sets:
        return []
    rows = [
        {
            "set": name,
            "listed": told["listed"],
            "refused": told["rejected"],
            "left out: also at home": told["left_out_images"],
            "by": ", ".join(f"{reason.replace('_', ' ')} {count}" for reason, count in told["left_out_by"].items())
            or "-",
            "remain": told["images"],
            "of classes unknown at home": told["images_of_classes_unknown_at_home"],
        }
        for name, told in sets.items()
    ]
    text = (
        "Sets that nothing was trained on. An image that is also in the home set (by image, lesion or patient id, "
        "equal bytes or near-identical pixels) is left out with all of its group. The classifier is home's as it is, "
        "its priors and thresholds too; balanced accuracy is over the classes that a set has."
    )
    tables = [("Audited against the home set", pd.DataFrame(rows)), *external_tables()]
    return [Part("External sets", text, tables, [])]
