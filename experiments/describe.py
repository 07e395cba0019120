"""The few lines of markdown that open a run's page in MLflow."""

from collections.abc import Iterable, Mapping

from experiments.state import StageRow

_GAP = "&emsp;"  # MLflow's page sets the columns of a table without any space between them


def describe(metrics: Mapping[str, float], stages: Iterable[StageRow]) -> str:
    """Headline numbers side by side for val and test, then what each stage did."""
    names = list(dict.fromkeys(name.split(".", 1)[1] for name in metrics if name.startswith(("val.", "test."))))
    names.sort(key=lambda name: (name.count("."), name))
    lines = [f"| metric | {_GAP}val | {_GAP}test |", "|---|---:|---:|"]
    lines += [
        f"| {name} | {_number(metrics.get(f'val.{name}'))} | {_number(metrics.get(f'test.{name}'))} |" for name in names
    ]
    lines += ["", f"| stage | {_GAP}outputs | {_GAP}seconds | |", "|---|---|---:|---|"]
    lines += [f"| {row.stage} | {_GAP}`{row.digest}` | {_seconds(row.seconds)} | {_GAP}{row.how} |" for row in stages]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{_GAP}{value:.4f}"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{_GAP}{value:.1f}"
