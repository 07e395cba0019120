"""Which lesion an image shows, and one image of each."""

import numpy as np
import pandas as pd


def lesions_of(rows: pd.DataFrame) -> np.ndarray:
    """What the images (`lesion_id, group`) show, text [n]: the lesion where it is known, else what is held together."""
    return rows["lesion_id"].where(rows["lesion_id"] != "", rows["group"]).to_numpy()


def one_of_each(lesions: np.ndarray, seed: int) -> np.ndarray:
    """One row of each lesion, drawn: int [lesions], in their order of rows."""
    order = np.random.default_rng(seed).permutation(len(lesions))
    _, first = np.unique(lesions[order], return_index=True)
    return np.sort(order[first])
