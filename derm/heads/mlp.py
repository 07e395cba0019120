"""The multi-layer perceptron: AdamW, cosine schedule with warm-up, early stopping on the val loss."""

import copy
import math

import torch
from tqdm import tqdm

from derm.errors import UserError
from derm.heads.head import Head
from derm.heads.training import Curves, TrainingData, TrainParams
from derm.optimise import cosine_with_warmup


def fit_mlp(head: Head, data: TrainingData, params: TrainParams) -> tuple[Head, Curves, dict]:
    """Train in float32 on shuffled batches, one drawn view of each image; keep the weights of the epoch with the
    lowest val loss.

    head: with hidden layers, standardisation fitted. Weight decay is on weight matrices only, not on biases.
    Returns the best head, the curves (a step is an epoch; fact: `learning_rate`) and what was chosen.
    """
    shuffling, drawing = torch.Generator().manual_seed(params.seed), torch.Generator().manual_seed(params.seed)
    torch.manual_seed(params.seed)
    head = head.float()
    for layer in head.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.reset_parameters()
    x_train = torch.from_numpy(data.train_features).float()
    x_val = torch.from_numpy(data.val_features).float()
    y_train, y_val = torch.from_numpy(data.train_targets), torch.from_numpy(data.val_targets)
    weights = [parameter for parameter in head.parameters() if parameter.ndim > 1]
    biases = [parameter for parameter in head.parameters() if parameter.ndim == 1]
    optimiser = torch.optim.AdamW(
        [{"params": weights, "weight_decay": params.weight_decay}, {"params": biases, "weight_decay": 0.0}],
        lr=params.learning_rate,
    )
    batches_an_epoch = -(-len(x_train) // params.batch_size)
    steps, warmup = params.epochs * batches_an_epoch, params.warmup_epochs * batches_an_epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: cosine_with_warmup(step, steps, warmup))
    curves = Curves()
    best, best_loss, best_epoch = copy.deepcopy(head), float("inf"), 0
    for epoch in tqdm(range(params.epochs), desc="training", unit="epoch"):
        head.train()
        total = 0.0
        for rows in torch.randperm(len(x_train), generator=shuffling).split(params.batch_size):
            optimiser.zero_grad()
            views = torch.randint(x_train.shape[1], rows.shape, generator=drawing)
            loss = data.loss(head(x_train[rows, views]), y_train[rows])
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(rows)
        head.eval()
        with torch.no_grad():
            logits = head(x_val).mean(1)
            val_loss = float(data.loss(logits, y_val))
        rate = float(schedule.get_last_lr()[0])
        curves.add(total / len(x_train), logits, y_val, val_loss, learning_rate=rate)
        if val_loss < best_loss:
            best, best_loss, best_epoch = copy.deepcopy(head), val_loss, epoch
        elif epoch - best_epoch >= params.patience:
            break
    if not math.isfinite(best_loss):
        raise UserError("the val loss was never a finite number: lower train.learning_rate")
    return best, curves, {"best_step": best_epoch, "stopped_early": len(curves.rows) < params.epochs}
