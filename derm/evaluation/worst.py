"""The worst errors: which images were wrongly decided, the surest first."""

import pandas as pd

SHOWN = 30


def worst(predictions: pd.DataFrame, rows: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """`image_id, lesion_id, true, p_true, decision, p_decision, flag, set, age, sex, body_site, confirmation`: at most
    `SHOWN` wrong decisions, the true class least probable first.

    predictions: `image_id, lesion_id, target, decision, flag, set, p_<class>`; rows: what is known of the same images.
    """
    table = predictions.assign(**{name: rows[name].to_numpy() for name in ("age", "sex", "body_site", "confirmation")})
    table = table[table["decision"] != table["target"]]
    probabilities = table[[f"p_{name}" for name in classes]].to_numpy()
    places = range(len(table))
    table = table.assign(
        true=[classes[index] for index in table["target"]],
        p_true=probabilities[places, table["target"]],
        p_decision=probabilities[places, table["decision"]],
        decision=[classes[index] for index in table["decision"]],
    )
    columns = ["image_id", "lesion_id", "true", "p_true", "decision", "p_decision", "flag", "set"]
    columns += ["age", "sex", "body_site", "confirmation"]
    return table.sort_values(["p_true", "image_id"], ignore_index=True)[columns].head(SHOWN)
