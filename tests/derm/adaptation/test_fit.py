"""Training an encoder: it learns, it can be killed and go on to the same bytes, and what goes wrong is one line."""

import errno
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from derm.adaptation import checkpoint as checkpoint_module
from derm.adaptation.fit import Trained, _factors, adapt
from derm.adaptation.network import AdaptedNetwork
from derm.adaptation.step import Stepper
from derm.errors import UserError
from tests.derm.adaptation.data import TASK, encoder, params, parts

CPU = torch.device("cpu")
QUICK: dict[str, Any] = {
    "method": "full",
    "epochs": 4,
    "batch_size": 6,
    "learning_rate": 0.003,
    "classifier_learning_rate": 0.01,
    "augmentation": "flips",
}


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("DERM_WORKERS", "1")
    return tmp_path


def run(folder: Path, family: str = "timm/test_vit", level: str = "flips", **changes: Any) -> Trained:
    made = encoder(family, **({"image_size": 32} if family in ("simple-cnn", "timm/test_resnet") else {}))
    given = params(**(QUICK | changes))
    return adapt(made, parts(folder, made, level=level), TASK, given, CPU, lambda *_: None)


def same(one: Trained, other: Trained) -> bool:
    assert {name for name in one.state if not torch.equal(one.state[name], other.state[name])} == set()
    pd.testing.assert_frame_equal(one.curves, other.curves, check_exact=True)
    return one.facts == other.facts


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("timm/test_vit", {"averaging": 0.7, "mixup": 0.4, "cutmix": 1.0, "dropout": 0.3}),
        (
            "timm/test_resnet",
            {"method": "scratch", "frozen_epochs": 0, "schedule": "warm_restarts", "restart_epochs": 2},
        ),
        ("siglip", {"method": "lora", "lora": {"dropout": 0.2}, "sampling": "balanced", "parts": 2}),
        ("timm/test_vit", {"layer_decay": 0.7, "frozen_epochs": 2, "schedule": "one_cycle", "hidden": [8]}),
    ],
)
def test_killed_five_times_it_ends_with_the_same_weights(
    family: str, changes: dict[str, Any], workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = run(workspace, family, level="medium", **changes)
    undisturbed.checkpoint.delete()
    draws, gradients = np.random.default_rng(1), Stepper.gradients
    steps = {"left": 0}

    def killed(self: Stepper, batch: Any) -> float:
        steps["left"] -= 1
        if steps["left"] < 0:
            raise KeyboardInterrupt
        return gradients(self, batch)

    monkeypatch.setattr(Stepper, "gradients", killed)
    for _ in range(5):
        # up to the fourth step after the last checkpoint: before, in and after the end of an epoch
        steps["left"] = int(draws.integers(0, 5))
        torch.manual_seed(int(draws.integers(1000)))
        with pytest.raises(KeyboardInterrupt):
            run(workspace, family, level="medium", **changes)
        if len(pd.DataFrame(undisturbed.curves)) - _epochs_done(undisturbed) <= 1:
            break
    monkeypatch.setattr(Stepper, "gradients", gradients)
    assert same(run(workspace, family, level="medium", **changes), undisturbed)


def _epochs_done(trained: Trained) -> int:
    progress = trained.checkpoint.read()
    return 0 if progress is None else progress.epochs


def test_it_learns_and_early_stopping_keeps_the_best(workspace: Path) -> None:
    trained = run(workspace, epochs=8, patience=3)
    curves = trained.curves
    assert trained.best_step == int(np.argmin(curves["val_loss"]))
    assert len(curves) <= trained.best_step + 4
    assert trained.facts["val_balanced_accuracy"] > 0.8
    assert curves["val_loss"].min() < curves["val_loss"][0]
    assert trained.facts["trained_parameters"] == trained.facts["parameters"]
    assert set(trained.speed) == {"images", "seconds", "waiting_seconds"}


def test_another_seed_or_loss_is_another_training(workspace: Path) -> None:
    first = run(workspace, epochs=1)
    assert first.checkpoint.path.exists()
    others: list[dict[str, Any]] = [{"seed": 2}, {"loss": {"gamma": 2.0}}, {"augmentation": "none"}]
    for changes in others:
        other = run(workspace, epochs=1, **changes)
        assert other.checkpoint.path != first.checkpoint.path


def test_how_many_processes_read_ahead_changes_nothing(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(workspace, level="medium", augmentation="medium", epochs=2)
    first.checkpoint.delete()
    monkeypatch.setenv("DERM_WORKERS", "3")
    assert same(run(workspace, level="medium", augmentation="medium", epochs=2), first)


def test_while_it_is_frozen_only_the_classifier_moves(workspace: Path) -> None:
    made = encoder("timm/test_vit")
    before = {name: tensor.clone() for name, tensor in made.weights.items()}
    given = params(**(QUICK | {"frozen_epochs": 2, "epochs": 2}))
    trained = adapt(made, parts(workspace, made), TASK, given, CPU, lambda *_: None)
    assert all(torch.equal(trained.state[name], before[name]) for name in before)
    assert trained.curves["val_loss"][1] < trained.curves["val_loss"][0]


def test_each_layer_learns_slower_than_the_next() -> None:
    network = AdaptedNetwork(encoder("timm/test_vit"), 3, params(method="full", layer_decay=0.5, learning_rate=1.0))
    rates = {id(p): group["peak"] for group in network.parameter_groups() for p in group["params"]}
    of = {name: rates[id(parameter)] for name, parameter in network.named_parameters()}
    blocks = [of[f"model.blocks.{number}.mlp.fc1.weight"] for number in range(6)]
    assert blocks[-1] == of["model.norm.weight"] == 1.0
    assert all(later == 2 * earlier for earlier, later in pairwise(blocks))
    assert of["model.patch_embed.proj.weight"] == blocks[0] / 2
    assert of["classifier.1.weight"] == params().classifier_learning_rate


@pytest.mark.parametrize("family", ["siglip", "dinov2", "dinov3", "convnext", "resnet"])
def test_layers_of_transformers_are_told_apart(family: str) -> None:
    network = AdaptedNetwork(encoder(family), 3, params(method="full", layer_decay=0.5))
    layers = network._layers()
    embedded = {number for name, number in layers.items() if ".embed" in name}
    blocks = sorted({number for name, number in layers.items() if ".0." in name or ".1." in name} - embedded)
    assert embedded == {0} and blocks[0] == 1 and len(blocks) >= 2


def test_batch_norm_keeps_its_means_unless_told_otherwise(workspace: Path) -> None:
    made = encoder("timm/test_resnet", image_size=32)
    means = {name: tensor.clone() for name, tensor in made.weights.items() if "running_mean" in name}
    kept = run(workspace, "timm/test_resnet")
    assert means and all(torch.equal(kept.state[name], tensor) for name, tensor in means.items())
    moved = run(workspace, "timm/test_resnet", batch_norm="train")
    assert not any(torch.equal(moved.state[name], tensor) for name, tensor in means.items())


def test_rates_follow_the_schedule_of_the_head() -> None:
    factors = _factors(params(epochs=4, warmup_epochs=1, learning_rate=0.01), 5)
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors[12] == pytest.approx((1 + np.cos(np.pi * 8 / 16)) / 2)
    assert len(factors) == 20


def test_a_loss_that_is_no_number_stops_it_and_keeps_the_last_good_epoch(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradients, calls = Stepper._gradients, {"made": 0}

    def broken(self: Stepper, batch: Any) -> float:
        calls["made"] += 1
        if calls["made"] == 5:
            for parameter in self.network.parameters():
                parameter.data.fill_(float("nan"))
        return gradients(self, batch)

    monkeypatch.setattr(Stepper, "_gradients", broken)
    with pytest.raises(UserError) as caught:
        run(workspace)
    told = str(caught.value)
    assert "the loss is no finite number at step 2 of 3 in epoch 2: lower adapt.learning_rate" in told
    (kept,) = workspace.rglob("checkpoint.safetensors")
    assert f"what stood after epoch 1 is kept in {kept}" in told
    monkeypatch.setattr(Stepper, "_gradients", gradients)
    assert len(run(workspace).curves) == 4  # goes on from there


def test_a_full_disk_is_told_once_and_training_goes_on(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    expected = run(workspace)
    expected.checkpoint.delete()
    monkeypatch.setattr(checkpoint_module, "write_bytes", full)
    assert same(run(workspace), expected)
    assert capsys.readouterr().err.count("WARNING: no room left for") == 1


def test_a_damaged_checkpoint_is_one_line(workspace: Path) -> None:
    trained = run(workspace, epochs=1)
    trained.checkpoint.path.write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"checkpoint.safetensors is damaged .*: delete it, and training begins anew"):
        run(workspace, epochs=1)


def test_an_image_that_has_changed_is_named(workspace: Path) -> None:
    made = encoder("timm/test_vit")
    given = parts(workspace, made, train=6)
    Path(given.train.paths[3]).write_bytes(Path(given.train.paths[4]).read_bytes())
    with pytest.raises(UserError, match=r"1-3.png has changed since `prepare` read it: run `dvc repro`"):
        adapt(made, given, TASK, params(**QUICK), CPU, lambda *_: None)


def test_what_has_no_weights_cannot_be_trained() -> None:
    with pytest.raises(UserError, match=r"adapt.method is full, and colour-texture has no weights to train"):
        AdaptedNetwork(encoder("colour-texture", weights="none"), 3, params(method="full"))
