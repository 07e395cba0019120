"""The linear head: full-batch L-BFGS in float64, with the L2 penalty chosen on val (CLIP's protocol, warm-started)."""

import torch
from tqdm import tqdm

from derm.errors import UserError
from derm.heads.head import Head
from derm.heads.training import Curves, TrainingData, TrainParams
from derm.optimise import minimise_lbfgs

# Mean curvature p (1 - p) of the softmax, roughly: only the speed depends on it.
CURVATURE = 0.1


def fit_linear(head: Head, data: TrainingData, params: TrainParams) -> tuple[Head, Curves, dict]:
    """Minimise ``loss + l2/2 ||W||^2`` (bias free) for each `train.l2`, and keep the head with the lowest val loss.

    The penalties are tried from the strongest down, until one is worse on val than the one before it.

    head: no hidden layer, standardisation fitted. Each penalty starts from the weights of the one before it.
    The loss is the mean over all views of the training images: what drawing one of them at a time would tend to.
    Returns the best head, the curves over the whole sweep (fact: `l2`) and what was chosen.

    The features are strongly correlated, which makes L-BFGS crawl. It is run in the features' principal axes, each
    scaled to about the same curvature: the same minimum in about half the iterations (the rotation leaves the
    penalty as it is, and the scaling is undone inside it).
    """
    head = head.double()
    views = data.train_features.shape[1]
    x_train = head.standardise(torch.from_numpy(data.train_features)).flatten(0, 1)
    # The mean of a linear head's logits is that of its features.
    x_val = head.standardise(torch.from_numpy(data.val_features)).mean(1)
    y_train, y_val = torch.from_numpy(data.train_targets).repeat_interleave(views), torch.from_numpy(data.val_targets)
    variances, axes = torch.linalg.eigh(x_train.T @ x_train / len(x_train))
    z_train, z_val = x_train @ axes, x_val @ axes
    classes = head.shape["classes"]
    weight = torch.zeros(classes, x_train.shape[1], dtype=torch.float64)
    bias = torch.nn.Parameter(torch.zeros(classes, dtype=torch.float64))
    curves = Curves()

    def fit(l2: float) -> bool:
        """Fit from the present weights; whether it converged."""
        nonlocal weight
        scale = (CURVATURE * variances.clamp_min(0) + l2).rsqrt()
        scaled = torch.nn.Parameter(weight / scale)
        scaled_train, scaled_val = z_train * scale, z_val * scale
        last_train_loss = float("nan")

        def objective() -> torch.Tensor:
            nonlocal last_train_loss
            loss = data.loss(torch.addmm(bias, scaled_train, scaled.T), y_train)
            last_train_loss = float(loss.detach())
            return loss + l2 / 2 * (scaled * scale).square().sum()

        @torch.no_grad()
        def note() -> None:
            logits = torch.addmm(bias, scaled_val, scaled.T)
            curves.add(last_train_loss, logits, y_val, float(data.loss(logits, y_val)), l2=l2)

        converged = minimise_lbfgs([scaled, bias], objective, params.max_iterations, note)
        weight = scaled.detach() * scale
        note()
        return converged

    best_loss, chosen = float("inf"), {}
    for l2 in tqdm(sorted(params.l2, reverse=True), desc="L2 sweep", unit="fit"):
        converged = fit(l2)
        val_loss = curves.rows[-1]["val_loss"]
        if not val_loss < best_loss:
            break
        best_loss = val_loss
        chosen = {"l2": l2, "converged": converged, "best_step": len(curves.rows) - 1}
        with torch.no_grad():
            head.output.weight.copy_(weight @ axes.T)
            head.output.bias.copy_(bias)
    if not chosen:
        raise UserError("the val loss was never a finite number: raise the penalties in train.l2")
    return head, curves, chosen | {"l2_at_edge": chosen["l2"] in (min(params.l2), max(params.l2))}
