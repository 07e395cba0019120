"""The learning curves against scikit-learn."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss, recall_score

from derm.training.curves import Curves
from tests.derm.training.data import training_data


def test_a_row_is_that_of_scikit_learn() -> None:
    given, curves = training_data(positive=2), Curves()
    logits = np.random.default_rng(0).normal(size=(2, 120, 3))
    for step in range(2):
        curves.add(given, 0.5 + step, torch.from_numpy(logits[step]), l2=0.1)
    truth, said = given.val_targets, logits[1].argmax(axis=1)
    assert curves.rows[1] == pytest.approx(
        {
            "step": 1,
            "train_loss": 1.5,
            "val_loss": log_loss(truth, softmax(logits[1], axis=1)),
            "val_balanced_accuracy": balanced_accuracy_score(truth, said),
            "val_macro_f1": f1_score(truth, said, average="macro"),
            "val_sensitivity": recall_score(truth, said, labels=[2], average="macro"),
            "l2": 0.1,
        }
    )
    assert list(curves.table()) == list(curves.rows[0])


def test_without_a_positive_class_there_is_no_sensitivity() -> None:
    row = Curves().add(training_data(), 1.0, torch.zeros(120, 3))
    assert "val_sensitivity" not in row
