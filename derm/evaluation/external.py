"""External sets, each measured by itself, and how much worse each is than home."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from derm.embedding.features import EXTERNAL_FEATURES, read_features
from derm.evaluation.told import Judged, tell
from derm.external import EXTERNAL
from derm.files import write_csv
from derm.image_table import APPEARANCE_FILE, read_appearance, read_images
from derm.lesions import lesions_of
from derm.measures.bootstrap import Drawn, draws, group_weights, percentile_interval
from derm.measures.headline import headline, shares
from derm.measures.proportion import with_wilson
from derm.task import Task

COLUMNS = ["set", "images", "lesions", "metric", "value", "low", "high", "home", "drop", "drop_low", "drop_high"]


def measure_external(
    name: str, judged: Judged, task: Task, home: Drawn, resamples: int, seed: int, bins: int
) -> pd.DataFrame:
    """Write the predictions of one set, and return its table, with `COLUMNS`.

    Images of a class that home does not know are left out (metrics/prepare_external.json counts them); without any
    left the table has no row. home: the headline numbers of home's test part. drop: home less here, with a 95 %
    interval over both draws of lesions; the sets share none. Balanced accuracy is over the classes that are here.
    """
    images = read_images(EXTERNAL / name / "images.csv")
    images = images.merge(read_appearance(EXTERNAL / name / APPEARANCE_FILE.name), on="image_id")
    rows = images[images["diagnosis"].isin(task.of)].reset_index(drop=True)
    if rows.empty:
        return pd.DataFrame(columns=pd.Index(COLUMNS))
    rows["target"] = task.targets(rows["diagnosis"])
    predictions = tell(judged, read_features(EXTERNAL_FEATURES / name), rows).predictions
    write_csv(Path(f"data/predictions/external_{name}.csv"), predictions)
    weights = group_weights(predictions["group"].to_numpy(), predictions["target"].to_numpy(), resamples, seed)
    here = draws(partial(headline, predictions, task.classes, task.positive, bins=bins), weights, f"{name}, headline")
    told = with_wilson(dropped(here, home), shares(predictions, task.classes, task.positive), lesions_of(predictions))
    facts = {"set": name, "images": len(rows), "lesions": predictions["group"].nunique()}
    return told.assign(**facts)[COLUMNS]


def dropped(here: Drawn, home: Drawn) -> pd.DataFrame:
    """`COLUMNS` from `metric` on, of the numbers that can be computed here."""
    rows = []
    for metric, (value, drawn) in here.items():
        at_home, drawn_at_home = home[metric]
        if np.isnan(value):
            continue
        numbers = [
            value,
            *percentile_interval(drawn),
            at_home,
            at_home - value,
            *percentile_interval(drawn_at_home - drawn),
        ]
        rows.append((metric, *numbers))
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS[3:]))
