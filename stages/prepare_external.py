"""Read the external sets, and leave out of each what it shares with the home set."""

from pathlib import Path

import pandas as pd

from derm.dataset import read_dataset, refuse_bad
from derm.errors import UserError
from derm.external import EXTERNAL, SETS, overlap
from derm.files import read_csv, write_csv, write_json
from derm.folder_digest import folder_digest
from derm.image_table import LINKED_FILE, read_images
from derm.params import load
from derm.sources.reader import DataParams, dataset_root
from stages.runner import run


def main() -> None:
    params, home = load("data", DataParams), read_images()
    at_home, home_linked = set(home["diagnosis"]), read_csv(LINKED_FILE)
    metrics: dict[str, dict] = {}
    for number, external in enumerate(params.external):
        key, folder = f"data.external[{number}]", EXTERNAL / external.name
        digest = folder_digest(dataset_root(external, f"{key}.root"))
        if digest != external.digest:
            raise UserError(
                f"{key} ({external.name}): the files under {external.root} have the digest {digest}, and the params "
                f"say {external.digest!r}: if they are the ones you mean, set it (python -m experiments external "
                f"{external.name} ROOT does)"
            )
        dataset = read_dataset(external, params, key)
        write_csv(folder / "rejected.csv", dataset.rejected)
        allowed = params.max_rejected if external.max_rejected is None else external.max_rejected
        refuse_bad(dataset, allowed, key, str(folder / "rejected.csv"))
        shared = overlap(dataset.images, dataset.linked, home, home_linked)
        kept = dataset.images[~dataset.images["group"].isin(set(shared["group"]))]
        write_csv(folder / "overlap.csv", shared)
        write_csv(folder / "images.csv", kept)
        write_csv(folder / "appearance.csv", dataset.appearance[dataset.appearance["image_id"].isin(kept["image_id"])])
        write_csv(folder / "pairs.csv", dataset.pairs)
        classes = kept["diagnosis"].value_counts().sort_index()
        metrics[external.name] = {
            "listed": dataset.listed,
            "rejected": dataset.lost,
            "left_out_images": len(shared),
            "left_out_groups": shared["group"].nunique(),
            "left_out_by": {
                str(reason).replace(" ", "_"): int(count) for reason, count in shared["reason"].value_counts().items()
            },
            "images": len(kept),
            "groups": kept["group"].nunique(),
            "images_of_classes_unknown_at_home": int((~kept["diagnosis"].isin(at_home)).sum()),
        }
        reasons = ", ".join(f"{reason} {count}" for reason, count in shared["reason"].value_counts().items())
        print(
            f"{external.name}: {dataset.listed} listed, {dataset.lost} rejected, {len(shared)} left out because they "
            f"are in the home set ({reasons or 'none'}); {len(kept)} remain: "
            f"{', '.join(f'{name} {count}' for name, count in classes.items()) or 'none'}"
        )
        if strange := [str(name) for name in classes.index if name not in at_home]:
            print(f"  no such class at home: {', '.join(strange)}; {key}.label_map can rename them")
    write_csv(SETS, pd.DataFrame({"name": [one.name for one in params.external]}, dtype=str))
    write_json(Path("metrics/prepare_external.json"), metrics)


if __name__ == "__main__":
    run("prepare_external", main)
