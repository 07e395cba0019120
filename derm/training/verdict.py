"""What the learning curves say, in words: whether the head fits too little or too much."""

from typing import Any

from derm.heads.registry import Fit

# Below these, differences of a curve are taken for its own trembling.
RISE, GAP = 0.05, 0.10


def verdict(
    rows: list[dict[str, Any]],
    best_step: int,
    fit: Fit,
    weakest_l2: float,
    train_accuracy: float,
    val_accuracy: float,
) -> tuple[str, str]:
    """(`underfits` | `overfits` | `fits`, a sentence that says why and what to try).

    rows: the learning curves; weakest_l2: of the penalties tried, where penalties are. The accuracies are balanced ones
    of the kept weights, on both parts without augmentation.

    underfits: the best step is the last one, so that more training would have gone on improving. overfits: after the
    best step the val loss rose by more than 5 % while the training loss fell, or the kept head is better on train than
    on val by more than 0.1 of balanced accuracy. fits: neither. A sweep of penalties goes from too much to too little
    by design: of it only the weakest penalty being the best (while there is something left to fit), and the accuracies,
    are judged.
    """
    if fit == "neighbours":
        return "fits", "nothing was trained: a nearest-neighbour head has no learning curve"
    best, last = rows[best_step], rows[-1]
    told = f"balanced accuracy {train_accuracy:.2f} on train, {val_accuracy:.2f} on val"
    if fit == "convex" and best["l2"] == weakest_l2 and train_accuracy < 1:
        return "underfits", f"{told}; the weakest penalty is the best: add weaker ones to train.l2"
    if fit == "gradient":
        if best_step == len(rows) - 1 and len(rows) > 1:
            return "underfits", f"{told}; still improving at the last epoch: raise train.epochs or train.learning_rate"
        if last["val_loss"] > (1 + RISE) * best["val_loss"] and last["train_loss"] < best["train_loss"]:
            why = f"after epoch {best_step} the val loss rose from {best['val_loss']:.3f} to {last['val_loss']:.3f}"
            return "overfits", f"{told}; {why} while the training loss fell: epoch {best_step} was kept"
    if train_accuracy - val_accuracy > GAP:
        return "overfits", f"{told}: more regularisation (dropout, noise, mixup, penalty) or more images may help"
    return "fits", f"{told}, and no sign of fitting too much or too little"
