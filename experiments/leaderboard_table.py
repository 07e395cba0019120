"""The leaderboard as text for a terminal."""

from experiments.leaderboard import Board, Row

_WIDEST = {"experiment": 44, "encoder": 24, "head": 14}
_NARROWEST = 36
"""Of the last column, whatever the terminal's width."""


def lines(board: Board, width: int) -> list[str]:
    """Heading, one line for each run, and what has to be known when reading it; ``width``: the terminal's columns."""
    better = "lower" if board.lower_is_better else "higher"
    heading = [f"{board.part} {board.metric} ({better} is better), {board.part} part {board.digest} ({board.whose})"]
    if board.scored is not None:
        heading.append(_warning(board))
    return [*heading, "", *_table(board.rows, width), "", *notes(board)]


def notes(board: Board) -> list[str]:
    """What is not in the table, and what the table does not say."""
    told = []
    if any(row.here for row in board.rows):
        told.append("* the state of this folder")
    if len(board.rows) < board.ranked:
        told.append(f"{len(board.rows)} of {board.ranked} runs are shown")
    if board.elsewhere:
        told.append(f"{_counted(board.elsewhere, 'run')} on other splits {_is(board.elsewhere)} left out")
    if board.unmeasured:
        told.append(f"{_counted(board.unmeasured, 'run')} without this metric {_is(board.unmeasured)} left out")
    if board.older:
        told.append(
            f"{_counted(board.older, 'run')} logged by an older version, which did not record the {board.part} part, "
            f"{_is(board.older)} left out"
        )
    if bare := sum(row.interval is None for row in board.rows):
        told.append(f"{_counted(bare, 'run')} {'has' if bare == 1 else 'have'} no interval in the store")
    told.append(_closing(board.rows))
    return told


def cut(text: str, width: int) -> str:
    """At most ``width`` characters; what is left out is in the middle, for names often differ at their end."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[-tail:]}"


def _warning(board: Board) -> str:
    scored = board.scored or 0
    unsure = f" ({_counted(board.older, 'older run')} did not record theirs)" if board.older else ""
    if scored < 2:
        return f"test part {board.digest}: {_counted(scored, 'state')} has been scored on it{unsure}"
    return (
        f"test part {board.digest}: {scored} states have been scored on it{unsure}; "
        f"the best of {scored} is biased upwards: choose on val"
    )


def _table(rows: list[Row], width: int) -> list[str]:
    table: list[tuple[str, ...]] = [("", "rank", "value", "95 % interval", "experiment", "encoder", "head")]
    for row in rows:
        told = "" if row.interval is None else f"[{row.interval[0]:.3f}, {row.interval[1]:.3f}]"
        names = (
            cut(text, _WIDEST[name])
            for name, text in (("experiment", row.name), ("encoder", row.encoder), ("head", row.head))
        )
        table.append(("*" if row.here else "", str(row.rank), f"{row.value:.4f}", told, *names))
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    left = max(width - sum(widths) - 2 * len(widths), _NARROWEST)
    last = ["what differs from most", *(fitted(row.differs, left) for row in rows)]
    return [f"{_aligned(line, widths)}  {end}".rstrip() for line, end in zip(table, last, strict=True)]


def _aligned(cells: tuple[str, ...], widths: list[int]) -> str:
    """Rank and value to the right, all others to the left."""
    return "  ".join(
        cell.rjust(width) if column in (1, 2) else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )


def fitted(texts: list[str], width: int) -> str:
    """As many of ``texts`` as go into ``width`` characters, and how many more there are."""
    for number in range(len(texts), 0, -1):
        rest = f" +{len(texts) - number}" if number < len(texts) else ""
        line = " ".join(texts[:number]) + rest
        if len(line) <= width or number == 1:
            return line
    return ""


def _closing(rows: list[Row]) -> str:
    best, *others = (row.interval for row in rows)
    overlapping = sum(1 for other in others if best and other and other[0] <= best[1] and best[0] <= other[1])
    told = "all" if overlapping == len(others) else overlapping
    seen = f" ({told} of the {_counted(len(others), 'other')} overlap with the first)" if best and others else ""
    return f"Overlapping intervals do not rank{seen}: `python -m experiments compare A B` is the paired test."


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"
