"""The leaderboard as a picture: a dot and an interval for each run, best on top."""

from itertools import product

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from derm.figures import PALETTE
from experiments.leaderboard import Board, Row
from experiments.leaderboard_table import cut, fitted

MOST_ROWS = 40
"""More would be a picture that no screen shows; the table has them all."""
_NAME, _DIFFERS = 44, 64
_LEGEND_COLUMNS = 3
_LOOKS = [(colour, marker) for marker, colour in product("osD^", PALETTE)]


def figure(board: Board) -> Figure:
    """The rows of the board against its metric; colour and marker tell the encoder, the band is the best's interval."""
    rows = board.rows[:MOST_ROWS]
    encoders = list(dict.fromkeys(row.encoder for row in rows))
    looks = {name: _LOOKS[index % len(_LOOKS)] for index, name in enumerate(encoders)}
    height = 1.25 + 0.4 * len(rows) + 0.2 * -(-len(encoders) // _LEGEND_COLUMNS)
    drawn = Figure(figsize=(10.5, height), layout="constrained")
    axes = drawn.subplots()
    best = rows[0]
    if best.interval:
        axes.axvspan(*best.interval, color="0.93", zorder=0, linewidth=0)
    axes.axvline(best.value, color="0.75", linewidth=0.8, zorder=1)
    for position, row in enumerate(rows):
        _draw(axes, row, position, *looks[row.encoder])
    _label(axes, rows)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    better = "left" if board.lower_is_better else "right"
    bold = "; bold: this folder's state" if any(row.here for row in rows) else ""
    axes.set_xlabel(
        f"value and 95 % interval, better to the {better}; band: the interval of the first{bold}", fontsize=9
    )
    title = f"{board.part} {board.metric}: {len(rows)} of {board.ranked} states, {board.part} part {board.digest}"
    if board.scored is not None and board.scored > 1:
        title += f"\n{board.scored} states have been scored on this test part: the best of them is biased upwards"
    drawn.suptitle(title, fontsize=11)
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="none", label=cut(name, _NAME))
        for name, (colour, marker) in looks.items()
    ]
    drawn.legend(handles=handles, loc="outside lower center", ncols=_LEGEND_COLUMNS, frameon=False, fontsize=8)
    return drawn


def _draw(axes: Axes, row: Row, position: int, colour: str, marker: str) -> None:
    if row.interval:
        axes.plot(row.interval, (position, position), color=colour, linewidth=1.6, solid_capstyle="butt", zorder=2)
    axes.plot([row.value], [position], marker=marker, color=colour, markersize=6, linestyle="none", zorder=3)
    for text, edge, offset, side in ((str(row.rank), 0, -6, "right"), (f"{row.value:.4f}", 1, 6, "left")):
        axes.annotate(
            text,
            (edge, position),
            xycoords=("axes fraction", "data"),
            xytext=(offset, 0),
            textcoords="offset points",
            ha=side,
            va="center",
            fontsize=8,
            fontweight="bold" if row.here else "normal",
            annotation_clip=False,
        )


def _label(axes: Axes, rows: list[Row]) -> None:
    """The name of each run, bold for this folder's state; below it, small, its head and what differs."""
    names = [cut(row.name, _NAME) for row in rows]
    details = [fitted([row.head, *row.differs], _DIFFERS) for row in rows]
    axes.set_yticks([position - 0.14 for position in range(len(rows))], names, fontsize=9)
    axes.set_yticks([position + 0.27 for position in range(len(rows))], details, fontsize=7, color="0.35", minor=True)
    for label in axes.get_yticklabels(which="both"):
        label.set_parse_math(False)  # a name may hold a dollar sign
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if row.here else "normal")
    axes.tick_params(axis="y", which="both", length=0, pad=24)
    axes.grid(axis="x", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
