"""The images on which two sides decide differently, the strongest disagreement first."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from derm.measures.paired import Side, aligned


def disagreements(a: Side, b: Side, classes: list[str], positive: str | None = None) -> pd.DataFrame:
    """Images whose decision differs in the majority of seeds, one row each; sides as `compare` takes them.

    `image_id, group, true`; for each side (a_, b_) `decision` (the class that most seeds decide for; of equals the more
    probable), `share` (of seeds that do), `p` (its mean probability) and `p_true` (that of the true class); `right` (A,
    B, or neither); `apart` (the share of seeds whose decisions differ, however they are paired: the total variation
    distance of the two sides' decisions, over a half in all rows); `p_apart` (that of the mean probabilities). Sorted
    by `apart`, then by `p_apart`, then by id.
    """
    tables = aligned([a, b], classes, positive)
    first = tables[0]
    sides = [_votes(part, classes) for part in (tables[: len(a.tables)], tables[len(a.tables) :])]
    (votes_a, mean_a), (votes_b, mean_b) = sides
    targets, names, rows = first["target"].to_numpy(), np.array(classes), np.arange(len(first))
    columns: dict[str, np.ndarray] = {"true": names[targets]}
    right = {}
    for side, (votes, mean) in zip("ab", sides, strict=True):
        # Shares differ by far more than a probability can add.
        decided = (votes + 1e-6 * mean).argmax(axis=1)
        right[side] = decided == targets
        columns |= {
            f"{side}_decision": names[decided],
            f"{side}_share": votes[rows, decided],
            f"{side}_p": mean[rows, decided],
            f"{side}_p_true": mean[rows, targets],
        }
    columns["right"] = np.select([right["a"], right["b"]], ["A", "B"], "neither")
    columns["apart"] = _distance(votes_a, votes_b)
    columns["p_apart"] = _distance(mean_a, mean_b)
    found = first[["image_id", "group"]].assign(**columns)
    # Half of the seeds is 0.5 give or take a rounding error.
    found = found[(found["apart"] > 0.5 + 1e-9) & (found["a_decision"] != found["b_decision"])]
    return found.sort_values(["apart", "p_apart", "image_id"], ascending=[False, False, True], ignore_index=True)


def _votes(tables: Sequence[pd.DataFrame], classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Share of seeds that decide for each class, and the mean probabilities; both [images, classes]."""
    one_hot = np.eye(len(classes))
    votes = np.mean([one_hot[table["decision"].to_numpy()] for table in tables], axis=0)
    return votes, np.mean([table[[f"p_{name}" for name in classes]].to_numpy() for table in tables], axis=0)


def _distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Total variation distance of distributions in rows, 0 to 1."""
    return np.abs(one - other).sum(axis=1) / 2
