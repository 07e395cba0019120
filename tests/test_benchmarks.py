"""What the benchmarks measure, where it is more than a clock."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks.conformal_coverage import Pool, calibration_rows
from benchmarks.conformal_coverage import coverage as sets_coverage
from benchmarks.coverage import (
    LESIONS,
    draw,
    held,
    lesions_in_test,
    measures,
    one_class,
    one_part,
    summary,
    true_values,
)
from benchmarks.explanations import rows as explanation_rows
from benchmarks.out_of_distribution import METHODS, alarms, held_out, redrawn
from benchmarks.strange_pictures import blank_frames, noises, tiles
from benchmarks.uncertainty import MEASURES, areas, scores, trained_without
from derm.embedding.features import Features
from derm.files import write_csv
from derm.out_of_distribution.fit import OodParams
from derm.params import load
from derm.task import TaskParams, make_task
from derm.training.fit import TrainingSections
from derm.uncertainty import UncertaintyParams
from tests.closure import ROOT
from tests.derm.heads.data import head_params, table
from tests.derm.training.data import loss_params, params

CLASSES = ["bkl", "mel", "nv"]


@pytest.mark.parametrize("left_out", CLASSES)
def test_every_class_can_be_left_out_and_the_unknown_is_told(
    left_out: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also the positive one; its images lie half-way between the two others: every draw of dropout is undecided there,
    so that entropy tells them, and mutual information does not."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    _, targets = table(300, 1)
    place = np.zeros(3)
    place[[CLASSES.index(name) for name in CLASSES if name != left_out]] = (-3, 3)
    values = place[targets][:, None] + np.random.default_rng(1).normal(size=(300, 3))
    ids = [f"i{number:03d}" for number in range(300)]
    images = pd.DataFrame({"image_id": ids, "diagnosis": np.array(CLASSES)[targets]})
    split = pd.DataFrame({"image_id": ids, "target": targets, "part": np.where(np.arange(300) % 3, "train", "val")})
    head = head_params(type="mlp", hidden=[8], dropout=0.5)
    sections = TrainingSections(
        head=head, loss=loss_params(), train=params(epochs=20, batch_size=20, learning_rate=0.02)
    )
    features, task = Features(values.astype(np.float16)[:, None], ids, {}), make_task(images, load("task", TaskParams))
    trained, classes = trained_without(left_out, sections, features, split, images, task)
    assert classes == [name for name in CLASSES if name != left_out]
    asked, val = UncertaintyParams(passes=20, seed=1), split[split["part"] == "val"]
    out = val["target"] == CLASSES.index(left_out)
    known, unknown = (scores(trained, trained.inputs(features, val[rows]), asked, classes) for rows in (~out, out))
    assert ((known["unsure"] >= 0) & (known["unsure"] <= 0.5)).all()
    told = areas(known, unknown)
    assert set(told) == set(MEASURES)
    assert min(told["entropy"], told["aleatoric"], told["unsure"]) > 0.9 and told["epistemic"] < 0.5


def test_a_simulated_test_part_is_as_large_as_that_of_ham10000() -> None:
    assert (LESIONS.sum(), (LESIONS @ np.arange(1, 7)).tolist()) == (7470, [327, 514, 1099, 115, 1113, 6705, 142])
    part = draw(np.random.default_rng(0), lesions_in_test())
    assert len(np.unique(part.lesions)) == 1495 and 1950 < len(part.targets) < 2080
    first = np.unique(part.lesions, return_index=True)[1]
    assert np.bincount(part.targets[first]).tolist() == lesions_in_test().tolist()
    np.testing.assert_array_equal(part.targets[first][part.lesions], part.targets)


def test_images_of_a_simulated_lesion_are_as_alike_as_is_said() -> None:
    part = draw(np.random.default_rng(0), 10 * lesions_in_test())
    images = np.bincount(part.lesions)
    pairs = np.flatnonzero((images[part.lesions] == 2) & (part.targets == 5))
    first, second = part.logits[pairs].reshape(-1, 2, 7).swapaxes(0, 1)
    found = [np.corrcoef(first[:, k], second[:, k])[0, 1] for k in range(7)]
    np.testing.assert_allclose(found, 0.65, atol=0.06)


def test_simulated_intervals_tell_lesions_from_images() -> None:
    """Of few simulations only what no chance explains: widths, and a recall near 1 among few lesions."""
    truth = true_values(1, times=20)
    assert set(truth) == set(measures(draw(np.random.default_rng(0), lesions_in_test())))
    found = summary([one_part(number, 100, truth, 1) for number in range(4)])
    for name in ("balanced_accuracy", "macro_auc", "melanoma_auc"):
        assert found[name]["groups"]["width"] > 1.08 * found[name]["images"]["width"]
    alone = summary([one_class((10, 0.95, 1.0, number), 100, 1) for number in range(100)])["recall"]
    assert alone["groups"]["coverage"] < 0.65 and alone["images"]["coverage"] < 0.65
    assert alone["wilson"]["coverage"] > 0.85 and alone["rule"] == alone["wilson"]
    assert held((0.2, 0.5), 0.5)[0] and held((0.2, 0.5), 0.3)[1] == pytest.approx(0.3) and not held((0.2, 0.5), 0.6)[0]


def lesions_pool() -> Pool:
    """Two classes; a lesion has one image or three; groups of one lesion, and some of two."""
    generator = np.random.default_rng(2)
    lesions = np.repeat(np.arange(400), generator.choice([1, 3], 400))
    targets = (lesions < 60).astype(int)
    own = 1.5 * generator.normal(size=(400, 2))[lesions]
    logits = 2 * np.eye(2)[targets] + own + 0.5 * generator.normal(size=(len(lesions), 2))
    groups = np.where((lesions >= 60) & (lesions < 100), lesions // 2 * 2, lesions)
    return Pool(logits, targets, lesions.astype(str), groups.astype(str), share=0.4)


def test_calibration_is_drawn_by_group_and_class() -> None:
    pool = lesions_pool()
    drawn = calibration_rows(pool, seed=1)
    for group in np.unique(pool.groups):
        assert len(np.unique(drawn[pool.groups == group])) == 1
    chosen = [len(np.unique(pool.groups[drawn & (pool.targets == k)])) for k in (0, 1)]
    assert chosen == [round(0.4 * 320), 24]
    assert (drawn != calibration_rows(pool, seed=2)).any()


def test_sets_cover_what_is_promised() -> None:
    """With 24 calibration lesions ceil(25 x .9) / 25 = .92. With 6 nothing is promised: 6 of 7 is what can be had."""
    pool = lesions_pool()
    table = sets_coverage(pool, ["a", "b"], 0.1, 300, seed=1).set_index("diagnosis")
    assert table["lesions"]["b"] == 24 and table["promised"]["b"] == pytest.approx(0.92)
    assert table["within"].all() and (table["standard_error"] < 0.008).all()
    few = sets_coverage(pool._replace(share=0.1), ["a", "b"], 0.1, 300, seed=1).set_index("diagnosis")
    assert few["missing"]["b"] == 3 and few["promised"]["b"] == pytest.approx(6 / 7)
    assert few["covered"]["b"] == pytest.approx(6 / 7, abs=0.025)


@pytest.mark.parametrize("name", METHODS)
def test_a_class_that_was_left_out_is_told_where_it_lies_apart(name: str) -> None:
    """The third class is far from the two others, which lie in one place."""
    generator, targets = np.random.default_rng(1), np.arange(300) % 3
    values = generator.normal(size=(300, 1, 4)) + 20 * (targets == 2)[:, None, None]
    half = np.arange(300) < 150
    known, of = {"train": values[half], "val": values[~half]}, {"train": targets[half], "val": targets[~half]}
    found = held_out(METHODS[name], known, of, ["a", "b", "far"], ["val"])["val"]
    assert found["far"] == 1 and abs(found["a"] - 0.5) < 0.3 and abs(found["b"] - 0.5) < 0.3


def test_false_alarms_are_counted_by_image_and_by_lesion() -> None:
    rows = pd.DataFrame({"lesion_id": ["a", "a", "a", "b"], "group": "g"})
    assert alarms(np.array([3.0, 3.0, 3.0, 1.0]), 2.0, rows, 1) == {"images": 0.75, "lesions": 0.5}


def test_dealt_out_again_false_alarms_are_as_often_as_asked_for() -> None:
    lesions = {part: [f"{part}{number}" for number in range(399)] for part in ("calibration", "test")}
    parts = {part: pd.DataFrame({"lesion_id": names, "group": names}) for part, names in lesions.items()}
    scores = {part: np.random.default_rng(index).normal(size=399) for index, part in enumerate(parts)}
    told = redrawn(scores, parts, OodParams(share=0.95, seed=1))
    assert told["low"] < 0.05 < told["high"] and told["mean"] == pytest.approx(0.05, abs=0.006)


def test_strange_pictures_are_as_large_as_the_smallest_published_ones() -> None:
    large, small = Image.new("RGB", (300, 200)), Image.new("RGB", (100, 200))
    pictures = [*tiles([small, large])[:3], *blank_frames().values(), *(kind[0] for kind in noises().values())]
    assert {picture.size for picture in pictures} == {(200, 150)} and {picture.mode for picture in pictures} == {"RGB"}


def test_tables_of_explain_are_told_as_numbers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is not known has no key; no number is a text."""
    monkeypatch.chdir(tmp_path)
    told = pd.DataFrame(
        {
            "method": ["gradcam"] * 2,
            "test": ["a", "b"],
            "verdict": ["passes", "not measured"],
            "value": [0.123456, np.nan],
        }
    )
    write_csv(Path("plots/explain/verdicts.csv"), told.assign(images=[12, 0]))
    assert explanation_rows("verdicts") == [
        {"method": "gradcam", "test": "a", "verdict": "passes", "value": 0.1235, "images": 12},
        {"method": "gradcam", "test": "b", "verdict": "not measured", "images": 0},
    ]
