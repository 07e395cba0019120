"""Which images belong together: never on two sides of a split."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


def group_images(images: pd.DataFrame, duplicates: Iterable[tuple[str, str]]) -> pd.Series:
    """The group of each image: connected by patient, by lesion, by equal bytes, or by a pair known to show one lesion.

    images: `image_id`, `patient_id`, `lesion_id` and, once files were read, `sha256`, as text, empty where unknown
    (what is empty connects nothing).
    Returns the smallest image id of each group, aligned with `images`. Pairs that name an absent image are passed over.
    """
    position = {image_id: index for index, image_id in enumerate(images["image_id"])}
    edges = [(position[one], position[two]) for one, two in duplicates if one in position and two in position]
    for key in images.columns.intersection(["patient_id", "lesion_id", "sha256"]):
        first: dict[str, int] = {}
        for index, value in enumerate(images[key]):
            if value:
                edges.append((first.setdefault(value, index), index))
    one, two = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(one)), (one, two)), shape=(len(images), len(images)))
    _, component = connected_components(graph, directed=False)
    ids = images["image_id"].to_numpy()
    return pd.Series(ids, index=images.index).groupby(component).transform("min").rename("group")
