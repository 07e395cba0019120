"""Which images belong together: never on two sides of a split."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

# What holds two rows together if both have the same value of it.
KEYS = ("image_id", "patient_id", "lesion_id", "sha256")


def group_images(images: pd.DataFrame, duplicates: Iterable[tuple[str, str]]) -> pd.Series:
    """The group of each image: connected by patient, by lesion, by equal bytes, or by a pair known to show one lesion.

    images: `image_id`, `patient_id`, `lesion_id` and, once files were read, `sha256`, as text, empty where unknown
    (what is empty connects nothing). An id may stand in several rows: they are one image.
    duplicates: pairs of image ids. An id that no row has still connects: a pair with x and another with x are a chain.
    Returns the smallest image id of each group, aligned with `images`; empty for a group in which no row has an id.
    """
    nodes: dict[tuple[str, str], int] = {}

    def node(key: str, value: str) -> int:
        return nodes.setdefault((key, value), len(nodes))

    ids = images["image_id"].to_numpy()
    own = [node("image_id", image_id) if image_id else node("row", str(row)) for row, image_id in enumerate(ids)]
    edges = [(node("image_id", one), node("image_id", two)) for one, two in duplicates]
    for key in [name for name in KEYS[1:] if name in images]:
        edges += [(mine, node(key, value)) for mine, value in zip(own, images[key], strict=True) if value]
    one, two = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(one)), (one, two)), shape=(len(nodes), len(nodes)))
    _, component = connected_components(graph, directed=False)
    smallest: dict[int, str] = {}
    groups = component[own].tolist()
    for group, image_id in zip(groups, ids, strict=True):
        if image_id and image_id < smallest.get(group, "\U0010ffff"):
            smallest[group] = image_id
    return pd.Series([smallest.get(group, "") for group in groups], index=images.index, dtype=str, name="group")
