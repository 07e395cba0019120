"""What the flag is worth, and what handing the doubtful to a person would leave: tables and pictures."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from derm.figures import PALETTE, plain_axes
from derm.files import write_csv, write_figure
from derm.measures.utility import deferral, net_benefit, net_benefit_of_all

# Of sending one to biopsy: beyond a half nobody would wait for the pathologist.
THRESHOLDS = np.round(np.arange(0.01, 0.505, 0.01), 2)
SHARES = np.round(np.arange(0, 1, 0.05), 2)


def write_worth(
    predictions: pd.DataFrame, classes: list[str], positive: str | None, weights: np.ndarray, folder: Path, part: str
) -> None:
    """Decision curve (header alone without a positive class) and deferral curve, each as CSV and PNG.

    predictions: as `derm.measures.headline.headline` takes them; weights: of the bootstrap, [resamples, n].
    """
    curve = decision_curve(predictions, classes, positive, weights)
    write_csv(folder / f"decision_curve_{part}.csv", curve)
    if positive is not None:
        write_figure(
            folder / f"decision_curve_{part}.png", decision_curve_figure(curve, positive, len(predictions), part)
        )
    handed = deferral_curve(predictions, classes, positive, weights)
    write_csv(folder / f"deferral_{part}.csv", handed)
    write_figure(folder / f"deferral_{part}.png", deferral_figure(handed, positive, len(predictions), part))


def decision_curve(
    predictions: pd.DataFrame, classes: list[str], positive: str | None, weights: np.ndarray
) -> pd.DataFrame:
    """`threshold, net_benefit, low, high, everybody, everybody_low, everybody_high`: the curve with its 95 % intervals;
    nobody is 0. No row without a positive class."""
    columns = ["threshold", "net_benefit", "low", "high", "everybody", "everybody_low", "everybody_high"]
    if positive is None:
        return pd.DataFrame(columns=pd.Index(columns))
    scores = predictions[f"p_{positive}"].to_numpy()
    hit = predictions["target"].to_numpy() == classes.index(positive)
    values = [THRESHOLDS]
    for drawn in (None, weights):
        ours = net_benefit(scores, hit, THRESHOLDS, drawn)
        everybody = net_benefit_of_all(hit, THRESHOLDS, drawn)
        if drawn is None:
            values += [ours[0], everybody[0]]
        else:
            values += [*np.percentile(ours, [2.5, 97.5], axis=0), *np.percentile(everybody, [2.5, 97.5], axis=0)]
    threshold, ours, everybody, low, high, everybody_low, everybody_high = values
    given = [threshold, ours, low, high, everybody, everybody_low, everybody_high]
    return pd.DataFrame(dict(zip(columns, given, strict=True)))


def deferral_curve(
    predictions: pd.DataFrame, classes: list[str], positive: str | None, weights: np.ndarray
) -> pd.DataFrame:
    """`share, risk, low, high, missed`: with this share handed on, the least sure first, how often the decision on the
    rest is wrong, with its 95 % interval, and how many unflagged positives are left among the rest."""
    told = predictions[[f"p_{name}" for name in classes]].to_numpy()
    doubt = 1 - told.max(axis=1)
    wrong = (predictions["decision"] != predictions["target"]).to_numpy()
    missed = np.zeros(len(predictions), dtype=bool)
    if positive is not None:
        hit = predictions["target"].to_numpy() == classes.index(positive)
        missed = hit & (predictions["flag"].to_numpy().astype(int) == 0)
    table = deferral(doubt, wrong, missed, SHARES)
    order, intervals = np.argsort(-doubt, kind="stable"), []
    for share in SHARES:
        kept = order[round(share * len(order)) :]
        counts = weights[:, kept].sum(axis=1)
        drawn = (weights[:, kept] @ wrong[kept])[counts > 0] / counts[counts > 0]
        intervals.append(np.percentile(drawn, [2.5, 97.5]))
    table.insert(2, "low", [low for low, _ in intervals])
    table.insert(3, "high", [high for _, high in intervals])
    return table


def decision_curve_figure(curve: pd.DataFrame, positive: str, images: int, part: str) -> Figure:
    """Net benefit of the classifier, of flagging everybody and of flagging nobody."""
    figure, axes = plain_axes(5.8, 4.2, f"{part}: is the flag worth having? ({positive}, {images:,} images)")
    ours, everybody = ("net_benefit", "low", "high"), ("everybody", "everybody_low", "everybody_high")
    for (value, low, high), words, colour in ((ours, "classifier", PALETTE[0]), (everybody, "everybody", PALETTE[1])):
        axes.plot(curve["threshold"], curve[value], color=colour, label=words)
        axes.fill_between(curve["threshold"], curve[low], curve[high], color=colour, alpha=0.15, linewidth=0)
    axes.axhline(0, color="0.4", linewidth=1, label="nobody")
    top = float(curve[["high", "everybody_high"]].max().max())
    axes.set_ylim(-0.25 * top, 1.05 * top)
    axes.set_xlim(0, float(curve["threshold"].max()))
    axes.set_xlabel("probability from which one is sent to biopsy")
    axes.set_ylabel("net benefit: true positives an image")
    axes.legend(frameon=False, fontsize=9, title="to biopsy; bands: 95 %", title_fontsize=8)
    return figure


def deferral_figure(table: pd.DataFrame, positive: str | None, images: int, part: str) -> Figure:
    """How often the rest is wrong, and the positives missed among it, against the share handed on."""
    figure, axes = plain_axes(5.8, 4.2, f"{part}: what is left when the least sure go to a person ({images:,} images)")
    axes.plot(table["share"], table["risk"], color=PALETTE[0], label="decisions that are wrong")
    axes.fill_between(table["share"], table["low"], table["high"], color=PALETTE[0], alpha=0.15, linewidth=0)
    axes.set_ylim(0, None)
    axes.set_xlim(0, float(table["share"].max()))
    axes.set_xlabel("share of the images handed to a person")
    axes.set_ylabel("share of the rest that is wrong (band: 95 %)", color=PALETTE[0])
    if positive is not None:
        count = axes.twinx()
        count.step(table["share"], table["missed"], color=PALETTE[1], where="post")
        count.set_ylim(0, max(1, float(table["missed"].max())) * 1.05)
        count.set_ylabel(f"{positive} among the rest that no flag tells", color=PALETTE[1])
        count.spines[["top"]].set_visible(False)
    return figure
