"""What is told of an image, column by column: by the command line, and by a served model."""

from collections.abc import Sequence

WHOLE = ("predicted", "decision", "flag", "ood")
"""Columns of whole numbers."""
TEXT = ("predicted_name", "predicted_in_full", "decision_name", "decision_in_full", "set", "quality", "nearest")
"""Columns of text; all others are numbers with decimals."""


def answer_columns(classes: Sequence[str]) -> list[str]:
    """What is told of an image, in order: see `derm.prediction.predict_files`."""
    doubts = ["entropy", "aleatoric", "epistemic"]
    doubts += [f"{end}_{name}" for name in classes for end in ("low", "high")]
    columns = [f"p_{name}" for name in classes]
    columns += [f"{column}{end}" for column in ("predicted", "decision") for end in ("", "_name", "_in_full")]
    return [*columns, "flag", "set", *doubts, "ood_score", "ood", "quality", "nearest"]
