"""A comparison in words: what may be said of it, and a line for each metric."""

import pandas as pd

from derm.measures.paired import Comparison
from derm.measures.paired_bootstrap import LEVEL

NOTHING = "no difference shown"


def verdict(comparison: Comparison) -> str:
    """What the primary metric shows and, where that is less than it seems, how far it goes: two sentences."""
    (a, b), row = comparison.names, comparison.primary
    told = f"{row['metric']} {row['b']:.4f} against {row['a']:.4f}, difference {row['difference']:+.4f} "
    told += f"[{row['low']:+.4f}, {row['high']:+.4f}], p {p_value(row['p'])}"
    found = comparison.outcome != NOTHING
    if comparison.judged == "settings":
        head = f"{b} is {comparison.outcome} than {a}" if found else f"No difference shown between {a} and {b}"
    else:
        models = "these two fitted models" if comparison.seeds == (1, 1) else "these fitted models"
        head = f"{models.capitalize()} differ" if found else f"No difference shown between {models}"
    rest = ""
    if not found:
        rest = f" A true difference of {comparison.smallest:.4f} would have been shown about every second time."
    elif comparison.judged == "fitted models":
        rest = " That is about them alone: other fits of the same two settings may turn out otherwise."
    return f"{head}: {told} ({b} against {a}).{rest}"


def basis(comparison: Comparison) -> str:
    """What the numbers come from: the sides with their seeds, images and groups."""
    sides = [
        f"{letter} = {name} ({f'{count} seeds' if count > 1 else 'one fit'})"
        for letter, name, count in zip("AB", comparison.names, comparison.seeds, strict=True)
    ]
    return f"{', '.join(sides)}; {comparison.images:,} images in {comparison.groups:,} groups"


def as_text(comparison: Comparison) -> str:
    """The verdict, what it is based on, and a line for each metric."""
    rows = [_cells(row) for _, row in comparison.table.iterrows()]
    header = ("metric", "A", "B", "B - A", "95 %", "p", "")
    widths = [max(len(line[place]) for line in (header, *rows)) for place in range(len(header))]
    lines = []
    for line in (header, *rows):
        first, *numbers, last = (
            cell.rjust(width) if 0 < place < 6 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        lines.append("  ".join([first, *numbers, last]).rstrip())
    note = f"The first line decides. The other {len(rows) - 1} are exploratory: their p is Holm's, their intervals "
    note += "are not adjusted."
    return "\n".join([verdict(comparison), basis(comparison), "", *lines, "", note])


def shown(row: pd.Series) -> str:
    """A, B or nothing: the side that is better on a metric, as far as its (adjusted) p-value shows it."""
    if row["p_adjusted"] > LEVEL:
        return ""
    return "B" if (row["low"] > 0) == (row["better"] == "higher") else "A"


def p_value(p: float) -> str:
    """With its sign, to three digits: `= 0.012`, `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _cells(row: pd.Series) -> tuple[str, ...]:
    lower = " (lower is better)" if row["better"] == "lower" else ""
    side = shown(row)
    return (
        f"{row['metric']}{lower}",
        f"{row['a']:.4f}",
        f"{row['b']:.4f}",
        f"{row['difference']:+.4f}",
        f"[{row['low']:+.4f}, {row['high']:+.4f}]",
        p_value(row["p_adjusted"]).removeprefix("= "),
        f"favours {side}" if side else "",
    )
