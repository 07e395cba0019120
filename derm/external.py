"""Further datasets that a classifier is tested on and never trained on: what they share with the home set goes out."""

from pathlib import Path

import pandas as pd

from derm.files import read_csv
from derm.near_duplicates import near_identical

EXTERNAL = Path("data/external")
SETS = EXTERNAL / "sets.csv"
OVERLAP = ["image_id", "group", "diagnosis", "reason", "home_image_id", "home_diagnosis", "distance", "similarity"]


def read_sets(path: Path = SETS) -> list[str]:
    """The names of the external sets that were prepared; each has a folder of that name beside this file."""
    return list(read_csv(path)["name"])


def overlap(images: pd.DataFrame, linked: pd.DataFrame, home: pd.DataFrame, home_linked: pd.DataFrame) -> pd.DataFrame:
    """Which images of an external set are also in the home set, or belong to a group of one that is.

    images, home: image tables. linked, home_linked: what their groups hang together by (`Dataset.linked`), so that an
    image also goes out for a sibling that could not be used, or that only a list of duplicates names.
    An image is shared if it has the image id, the bytes, the lesion id or the patient id of an image at home, or is
    near-identical to one. Returns `OVERLAP`, one row for each image that has to go, the surest reason first; rows of
    its group that share nothing themselves have the reason `group`.
    """
    rows: list[dict] = []
    groups: set[str] = set()
    diagnosis = home.set_index("image_id")["diagnosis"]
    for reason, key in (("image id", "image_id"), ("lesion id", "lesion_id"), ("patient id", "patient_id")):
        known = home_linked[home_linked[key] != ""].drop_duplicates(key)
        first = dict(zip(known[key], known["image_id"], strict=True))
        for image_id, group, value in zip(linked["image_id"], linked["group"], linked[key], strict=True):
            if value in first:
                rows.append({"image_id": image_id, "reason": reason, "home_image_id": first[value]})
                groups.add(group)
    known = home.drop_duplicates("sha256")
    same = dict(zip(known["sha256"], known["image_id"], strict=True))
    for image_id, value in zip(images["image_id"], images["sha256"], strict=True):
        if value in same:
            rows.append({"image_id": image_id, "reason": "bytes", "home_image_id": same[value]})
    both = pd.concat([home, images], ignore_index=True)
    side = pd.Series([0] * len(home) + [1] * len(images))
    for pair in near_identical(both, between=side).to_dict("records"):
        at_home, away = sorted((pair["one"], pair["other"]))
        rows.append(
            {
                "image_id": both["image_id"][away],
                "reason": "near-identical",
                "home_image_id": both["image_id"][at_home],
                "distance": pair["distance"],
                "similarity": pair["similarity"],
            }
        )
    found = pd.DataFrame(rows, columns=["image_id", "reason", "home_image_id", "distance", "similarity"])
    found = found.drop_duplicates("image_id").set_index("image_id")
    groups |= set(images.loc[images["image_id"].isin(found.index), "group"])
    going = images[images["group"].isin(groups)][["image_id", "group", "diagnosis"]]
    table = going.join(found, on="image_id")
    table["reason"] = table["reason"].fillna("group")
    table["home_image_id"] = table["home_image_id"].fillna("")
    table["home_diagnosis"] = table["home_image_id"].map(diagnosis).fillna("")
    return table[OVERLAP].reset_index(drop=True)
