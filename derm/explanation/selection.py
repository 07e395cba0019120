"""Which images a person should look at."""

import pandas as pd


def sure_and_right(predictions: pd.DataFrame, classes: list[str], count: int) -> pd.DataFrame:
    """The most confident right answers, classes in turn (or all would be of the commonest), one image a lesion."""
    right = _by_confidence(predictions[predictions["predicted"] == predictions["target"]], classes)
    turn = right.groupby("predicted").cumcount()
    return right.assign(turn=turn).sort_values(["turn", "predicted"], kind="stable").head(count)


def sure_and_wrong(predictions: pd.DataFrame, classes: list[str], count: int) -> pd.DataFrame:
    """The most confident wrong answers, one image a lesion."""
    return _by_confidence(predictions[predictions["predicted"] != predictions["target"]], classes).head(count)


def missed(predictions: pd.DataFrame, classes: list[str], positive: str, count: int) -> pd.DataFrame:
    """Images of the positive class that were decided to be another, the least probable first, one image a lesion."""
    index = classes.index(positive)
    rows = predictions[(predictions["target"] == index) & (predictions["decision"] != index)]
    return rows.sort_values([f"p_{positive}", "image_id"]).drop_duplicates("group").head(count)


def _by_confidence(rows: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    confidence = rows[[f"p_{name}" for name in classes]].max(axis=1)
    ordered = rows.assign(confidence=confidence).sort_values(["confidence", "image_id"], ascending=[False, True])
    return ordered.drop_duplicates("group")
