"""What methods and tests are called, and verdicts as sentences; for stages that draw no maps too."""

from collections.abc import Mapping

import pandas as pd

NAMES: dict[str, str] = {
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "eigencam": "EigenCAM",
    "randomcam": "RandomCAM",
    "attention": "attention of the pooling",
}
PASSES, FAILS, OPEN, UNMEASURED = "passes", "fails", "not shown", "not measured"
# A map of shuffled weights or labels that still ranks the places so alike shows the photograph and not the model.
ALIKE = 0.5
# Test -> what passing means.
TESTS = {
    "beats the centred blob": "lies on the lesion more than a blob in the middle does",
    "beats edges": "lies on the lesion more than the photograph's edges do",
    "beats RandomCAM": "lies on the lesion more than random weights of the same channels do",
    "beats random weights": "lies on the lesion more than the same map of a network with shuffled weights",
    "beats shuffled labels": "lies on the lesion more than the map of a linear head trained on shuffled labels",
    "follows the weights": f"changes when what head and encoder learned is shuffled (rank correlation below {ALIKE})",
    "follows the labels": f"is another for a linear head trained on shuffled labels (rank correlation below {ALIKE})",
    "faithful (ROAD)": "marks what matters more for the answer than what RandomCAM marks",
    "faithful (insertion)": "brings the answer back sooner by its order than by RandomCAM's",
    "faithful (deletion)": "takes the answer away sooner by its order than by RandomCAM's",
}


def called(method: str) -> str:
    """What a method or reference is called; `gradcam, random weights` is Grad-CAM's map of a shuffled network."""
    first, _, rest = method.partition(", ")
    return NAMES.get(first, first) + (f", {rest}" if rest else "")


def key(method: str) -> str:
    """A method in the names of metrics, where MLflow takes no `+`."""
    return method.replace("+", "p")


def in_words(table: pd.DataFrame) -> list[str]:
    """One sentence for each method: what it passes, fails and leaves open; table: `method, test, verdict`.

    What was measured of no method is not repeated: see `unmeasured`.
    """
    never = unmeasured(table)
    sentences = []
    for method, rows in table.groupby("method", sort=False):
        of: Mapping[str, list[str]] = {
            kind: rows.loc[rows["verdict"] == kind, "test"].tolist() for kind in (PASSES, FAILS, OPEN, UNMEASURED)
        }
        parts = [
            f"passes {_listed(of[PASSES])}" if of[PASSES] else "passes none of the tests",
            f"fails {_listed(of[FAILS])}" if of[FAILS] else "",
            f"nothing is shown of {_listed(of[OPEN])}" if of[OPEN] else "",
            f"not measured: {_listed(rest)}" if (rest := [t for t in of[UNMEASURED] if t not in never]) else "",
        ]
        sentences.append(f"{called(str(method))} {'; '.join(part for part in parts if part)}.")
    return sentences


def unmeasured(table: pd.DataFrame) -> list[str]:
    """The tests that were made of no method."""
    made = set(table.loc[table["verdict"] != UNMEASURED, "test"])
    return [test for test in TESTS if test not in made]


def _listed(tests: list[str]) -> str:
    return ", ".join(f"«{test}»" for test in tests)
