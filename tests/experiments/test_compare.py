"""What is compared, from how many seeds, what is noted beside it, and what is written down."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from derm.errors import UserError
from derm.files import write_csv
from experiments.compare import CompareParams, _but_seed, compare_experiments, told, write_comparison
from experiments.retrain import Experiment, _read
from tests.experiments.trained import Trained

PARAMS = CompareParams(metric="decision.balanced_accuracy", part="val", seeds=2, resamples=100, seed=1)
ON_VAL = "measured on val, which also chose each head's epoch or penalty; --on folds is free of that"
MLP = {"head": {"type": "mlp"}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """name -> folder. `foreign` is `mlp` as other code would have predicted it; `mlp-fold0` is `mlp` itself."""
    threads = torch.get_num_threads()
    made = Trained(tmp_path_factory.mktemp("trained"))
    folders = {
        "linear": made.folder("linear", {}),
        "smooth": made.folder("smooth", {"loss": {"label_smoothing": 0.3}, "decide": {"rule": "argmax"}}),
        "elsewhere": made.folder("elsewhere", {}, fold=1),
        "mlp": made.folder("mlp", MLP),
        "mlp-again": made.folder("mlp-again", MLP | {"train": {"seed": 2}}),
        "mlp-fold1": made.folder("mlp-fold1", MLP, fold=1),
    }
    folders["mlp-fold0"] = folders["mlp"]
    folders["linear-fold0"], folders["linear-fold1"] = folders["linear"], folders["elsewhere"]
    folders["foreign"] = folders["mlp"].with_name("foreign")
    shutil.copytree(folders["mlp"], folders["foreign"])
    path = folders["foreign"] / "data/predictions/val.csv"
    table = pd.read_csv(path, dtype={"p_mel": float})
    write_csv(path, table.assign(p_mel=0.9 * table["p_mel"], p_nv=table["p_nv"] + 0.1 * table["p_mel"]))
    yield folders
    torch.set_num_threads(threads)


class Opener:
    """`opened` without git: which experiments were opened on which part, and how often heads were trained."""

    def __init__(self, folders: dict[str, Path], patch: pytest.MonkeyPatch) -> None:
        self.opened: list[tuple[str, str]] = []
        self.trained: list[tuple[str, int]] = []
        predict = Experiment.predict

        def counted(experiment: Experiment, number: int) -> pd.DataFrame:
            self.trained.append((experiment.name, number))
            return predict(experiment, number)

        @contextmanager
        def opener(name: str, part: str) -> Iterator[Experiment]:
            self.opened.append((name, part))
            yield _read(name, part, folders[name])

        patch.setattr("experiments.compare.opened", opener)
        patch.setattr("experiments.compare.TRAINING_THREADS", 1)
        patch.setattr("experiments.compare.folds_of", lambda label: [f"{label}-fold0", f"{label}-fold1"])
        patch.setattr(Experiment, "predict", counted)


@pytest.fixture
def opener(trained: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Opener:
    return Opener(trained, monkeypatch)


def nothing(_: str) -> None:
    """Nobody listens."""


def test_heads_without_a_seed_are_compared_as_they_are(opener: Opener, trained: dict[str, Path]) -> None:
    compared = compare_experiments("linear", "smooth", PARAMS, nothing)
    comparison = compared.comparison
    assert opener.trained == []
    assert opener.opened == [("linear", "val"), ("smooth", "val")]
    assert (comparison.judged, comparison.seeds, compared.notes) == ("fitted models", (1, 1), [ON_VAL])
    assert "fitted models" in told(compared)
    # The stored predictions, by hand: the mean share of each class's images that are decided right.
    for side, name in (("a", "linear"), ("b", "smooth")):
        stored = pd.read_csv(trained[name] / "data/predictions/val.csv")
        right = (stored["decision"] == stored["target"]).groupby(stored["target"]).mean()
        assert comparison.primary[side] == pytest.approx(right.mean())
    assert comparison.primary["metric"] == PARAMS.metric
    assert (compared.classes, compared.positive) == (["bkl", "mel", "nv"], "mel")


def test_heads_with_a_seed_are_trained_from_several(opener: Opener) -> None:
    said: list[str] = []
    compared = compare_experiments("mlp", "mlp-again", PARAMS, said.append)
    assert opener.trained == [("mlp", 0), ("mlp", 1), ("mlp-again", 0), ("mlp-again", 1)]
    assert said[0] == "mlp: training from seed 1 of 2"
    assert (compared.comparison.judged, compared.comparison.seeds) == ("settings", (2, 2))
    # Four heads, no two of them the same: no seed of one side is a seed of the other.
    tables = [*compared.a.tables, *compared.b.tables]
    assert len({tuple(table["p_mel"].round(4)) for table in tables}) == 4
    chance = "mlp and mlp-again are the same settings but for train.seed: what differs is chance"
    assert compared.notes == [ON_VAL, chance]
    assert told(compared).endswith(f"\nNote: {ON_VAL}.\nNote: {chance}.")


def test_every_setting_but_the_seed_is_one(trained: dict[str, Path]) -> None:
    same = _read("mlp", "val", trained["mlp"])
    sections, features = same.sections, same.features
    unlike = {
        "head": sections.head.model_copy(update={"hidden": [9]}),
        "loss": sections.loss.model_copy(update={"gamma": 1.0}),
        "train": sections.train.model_copy(update={"epochs": 6}),
    }
    others = [
        *(replace(same, sections=sections.model_copy(update={name: section})) for name, section in unlike.items()),
        replace(same, calibrate=same.calibrate.model_copy(update={"method": "none"})),
        replace(same, decide=same.decide.model_copy(update={"tau": 0.5})),
        replace(same, features=replace(features, manifest=features.manifest | {"encoders": ["another"]})),
    ]
    assert _but_seed(same) == _but_seed(_read("mlp-again", "val", trained["mlp-again"]))
    assert [_but_seed(other) == _but_seed(same) for other in others] == [False] * 6


def test_a_head_with_a_seed_against_one_without(opener: Opener) -> None:
    compared = compare_experiments("linear", "mlp", PARAMS, nothing)
    assert (compared.comparison.judged, compared.comparison.seeds) == ("settings", (1, 2))
    assert (compared.a.seeded, compared.b.seeded, compared.notes) == (False, True, [ON_VAL])
    assert {name for name, _ in opener.trained} == {"mlp"}


def test_one_seed_says_nothing_of_settings(opener: Opener) -> None:
    compared = compare_experiments("linear", "mlp", PARAMS.model_copy(update={"seeds": 1}), nothing)
    assert (compared.comparison.judged, opener.trained) == ("fitted models", [])


def test_predictions_of_other_code_are_compared_as_they_are(opener: Opener, trained: dict[str, Path]) -> None:
    compared = compare_experiments("foreign", "linear", PARAMS, nothing)
    assert opener.trained == [("foreign", 0)]
    assert (compared.comparison.judged, compared.comparison.seeds) == ("fitted models", (1, 1))
    _, note = compared.notes
    assert note.startswith("foreign was made by other code")
    assert "only its stored predictions are compared" in told(compared)
    pd.testing.assert_frame_equal(compared.a.tables[0], _read("foreign", "val", trained["foreign"]).predictions)


def test_folds_are_pooled(opener: Opener, trained: dict[str, Path]) -> None:
    compared = compare_experiments("linear", "mlp", PARAMS.model_copy(update={"part": "folds"}), nothing)
    names = ["linear-fold0", "linear-fold1", "mlp-fold0", "mlp-fold1"]
    assert opener.opened == [(name, "test") for name in names]
    assert opener.trained == [(name, number) for number in (0, 1) for name in names[2:]]
    stored = [pd.read_csv(trained[name] / "data/predictions/test.csv") for name in names]
    for side, tables in ((compared.a, stored[:2]), (compared.b, stored[2:])):
        pooled = pd.concat(tables, ignore_index=True)
        assert list(side.tables[0]["image_id"]) == list(pooled["image_id"])
        np.testing.assert_allclose(side.tables[0]["p_mel"], pooled["p_mel"], rtol=0, atol=6e-7)
    assert compared.comparison.images == len(stored[0]) + len(stored[1])
    assert compared.comparison.names == ("linear", "mlp")
    assert compared.comparison.judged == "settings"


def test_a_fold_of_other_code_is_enough(
    opener: Opener, trained: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    was = Experiment.is_what_it_was
    monkeypatch.setattr(Experiment, "is_what_it_was", lambda self, again: self.name != "mlp-fold1" and was(self, again))
    compared = compare_experiments("linear", "mlp", PARAMS.model_copy(update={"part": "folds"}), nothing)
    assert opener.trained == [("mlp-fold0", 0), ("mlp-fold1", 0)]
    assert [note[:26] for note in compared.notes] == ["out of fold, 2 folds poole", "mlp was made by other code"]


@pytest.mark.usefixtures("opener")
def test_other_images_are_one_line() -> None:
    with pytest.raises(UserError, match="images are in linear and not in elsewhere") as caught:
        compare_experiments("linear", "elsewhere", PARAMS, nothing)
    assert "\n" not in str(caught.value)


def test_a_metric_that_is_not_there_is_told_before_anything_is_trained(opener: Opener) -> None:
    with pytest.raises(UserError, match="the primary metric is 'auc', expected one of accuracy"):
        compare_experiments("mlp", "mlp-again", PARAMS.model_copy(update={"metric": "auc"}), nothing)
    assert opener.trained == []


def test_two_that_were_split_differently_are_refused(
    opener: Opener, trained: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the images that are looked at are the same."""

    @contextmanager
    def dealt(name: str, part: str) -> Iterator[Experiment]:
        experiment = _read(name, part, trained[name])
        parts = experiment.split["part"].replace({"train": "calibration", "calibration": "train"})
        yield replace(experiment, split=experiment.split.assign(part=parts)) if name == "mlp-again" else experiment

    monkeypatch.setattr("experiments.compare.opened", dealt)
    with pytest.raises(UserError, match="images are in another part in mlp than in mlp-again, such as"):
        compare_experiments("mlp", "mlp-again", PARAMS, nothing)
    assert opener.trained == []


def test_another_number_of_folds_is_refused(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    folds = {"linear": ["linear-fold0", "linear-fold1"], "mlp": ["mlp-fold0", "mlp-fold1", "mlp-fold1"]}
    monkeypatch.setattr("experiments.compare.folds_of", folds.__getitem__)
    monkeypatch.setattr("experiments.compare.check_sides", lambda *_: [])
    with pytest.raises(UserError, match="linear has 2 folds and mlp has 3: compare two that were split alike"):
        compare_experiments("linear", "mlp", PARAMS.model_copy(update={"part": "folds"}), nothing)
    assert opener.trained == []


def test_another_positive_class_is_one_line(
    opener: Opener, trained: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def flagging(name: str, part: str) -> Iterator[Experiment]:
        experiment = _read(name, part, trained[name])
        positive = "nv" if name == "smooth" else "mel"
        yield replace(experiment, task=replace(experiment.task, positive=positive))

    monkeypatch.setattr("experiments.compare.opened", flagging)
    with pytest.raises(UserError, match=r"task\.positive is mel in linear and nv in smooth"):
        compare_experiments("linear", "smooth", PARAMS, nothing)


@pytest.mark.usefixtures("opener")
def test_all_is_written(trained: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained["linear"])
    compared = compare_experiments("linear", "foreign", PARAMS, nothing)
    write_comparison(compared, tmp_path / "made/here")
    made = {path.name: path for path in (tmp_path / "made/here").iterdir()}
    assert set(made) == {
        *("comparison.txt", "differences.csv", "differences.png", "disagreements.csv", "disagreements.png")
    }
    assert made["comparison.txt"].read_text() == told(compared) + "\n"
    differences, found = pd.read_csv(made["differences.csv"]), pd.read_csv(made["disagreements.csv"])
    assert differences["metric"][0] == PARAMS.metric
    stored = [pd.read_csv(trained[name] / "data/predictions/val.csv") for name in ("linear", "foreign")]
    apart = stored[0]["image_id"][stored[0]["decision"] != stored[1]["decision"]]
    assert len(apart) > 3
    assert set(found["image_id"]) == set(apart)
    for name in ("differences.png", "disagreements.png"):
        with Image.open(made[name]) as picture:
            picture.load()
            assert picture.format == "PNG"
            assert min(picture.size) > 200
