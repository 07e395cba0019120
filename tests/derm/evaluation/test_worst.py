"""Which errors come first."""

import pandas as pd

from derm.evaluation.worst import worst


def test_the_surest_errors_come_first_and_what_is_right_is_not_there() -> None:
    told = pd.DataFrame(
        {
            "image_id": ["a", "b", "c", "d"],
            "lesion_id": ["1", "2", "3", "4"],
            "target": [0, 0, 1, 1],
            "decision": [1, 0, 0, 0],
            "p_mel": [0.2, 0.9, 0.6, 0.99],
            "p_nv": [0.8, 0.1, 0.4, 0.01],
            "flag": [1, 1, 1, 1],
            "set": ["nv", "mel", "mel|nv", "mel"],
        }
    )
    rows = pd.DataFrame({name: list("wxyz") for name in ("age", "sex", "body_site", "confirmation")})
    table = worst(told, rows, ["mel", "nv"])
    assert list(table["image_id"]) == ["d", "a", "c"]
    first = table.iloc[0]
    assert (first["true"], first["p_true"], first["decision"], first["p_decision"]) == ("nv", 0.01, "mel", 0.99)
    assert list(table["age"]) == ["z", "w", "y"]
