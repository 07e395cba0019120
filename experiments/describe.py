"""The few lines of markdown that open a run's page in MLflow."""

from collections.abc import Iterable, Mapping

from experiments.state import StageRow

HEADLINES = (
    "decision.balanced_accuracy",
    "melanoma.auc",
    "malignant.auc",
    "macro_auc",
    "flag.sensitivity",
    "flag.specificity",
    "nll",
    "ece",
)
"""What is looked at first, where runs have it; the first one orders them."""
_GAP = "&emsp;"  # MLflow's page sets the columns of a table without any space between them


def describe(
    metrics: Mapping[str, float], intervals: Mapping[str, tuple[float, float]], stages: Iterable[StageRow]
) -> str:
    """Numbers side by side for val and test, headline numbers first, then what each stage did.

    intervals: 95 %, by the names of metrics; MLflow's page folds all but the first lines away.
    """
    names = {name.split(".", 1)[1] for name in metrics if name.startswith(("val.", "test."))}
    lines = [f"| metric | {_GAP}val [95 %] | {_GAP}test [95 %] |", "|---|---:|---:|"]
    for name in sorted(names, key=_order):
        val, test = (_number(metrics.get(full), intervals.get(full)) for full in (f"val.{name}", f"test.{name}"))
        lines.append(f"| {name} | {val} | {test} |")
    lines += ["", f"| stage | {_GAP}outputs | {_GAP}seconds | |", "|---|---|---:|---|"]
    lines += [f"| {row.stage} | {_GAP}`{row.digest}` | {_seconds(row.seconds)} | {_GAP}{row.how} |" for row in stages]
    return "\n".join(lines)


def _order(name: str) -> tuple[int, int, str]:
    return HEADLINES.index(name) if name in HEADLINES else len(HEADLINES), name.count("."), name


def _number(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return ""
    return f"{_GAP}{value:.4f}" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{_GAP}{value:.1f}"
