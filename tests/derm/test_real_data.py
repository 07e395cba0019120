"""What is promised of real HAM10000 and of the nine-class ISIC folders, on the images themselves."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from derm.dataset import Dataset, read_dataset
from derm.external import overlap
from derm.sources.reader import DataParams
from derm.splits.balance import class_balance
from derm.splits.params import SplitParams
from derm.splits.split import split_images
from derm.task import Task, TaskParams, make_task
from stages import (
    calibrate,
    evaluate,
    explain,
    featurize,
    package,
    prepare,
    prepare_external,
    report,
    split,
    train_head,
)
from tests.closure import ROOT
from tests.real_data import HAM10000, NINE_CLASSES, needs_ham10000, needs_nine_classes

pytestmark = pytest.mark.real


def read(source: str, root: Path | None, **changes: object) -> Dataset:
    given = {"source": source, "root": str(root), "external": [], "min_side": 32, "max_pixels": 10**8}
    params = DataParams.model_validate(given | {"max_rejected": 1.0} | changes)
    return read_dataset(params, params)


@pytest.fixture(scope="module")
def ham10000() -> Dataset:
    return read("ham10000", HAM10000)


@pytest.fixture(scope="module")
def nine_classes() -> Dataset:
    return read("folders", NINE_CLASSES)


def task_of(images: pd.DataFrame, target: str = "diagnosis") -> Task:
    section = yaml.safe_load((ROOT / "params.yaml").read_text())["task"]
    return make_task(images, TaskParams.model_validate(section | {"target": target}))


@needs_ham10000
def test_every_image_of_ham10000_is_read_and_the_published_pairs_are_merged(ham10000: Dataset) -> None:
    images = ham10000.images
    assert len(images) == 10_015 and ham10000.rejected.empty
    assert images["lesion_id"].nunique() == 7_470 and images["group"].nunique() == 7_470 - 18
    lesions = images.set_index("image_id")["lesion_id"]
    published = pd.read_csv(Path(str(HAM10000)) / "near_duplicates_across_lesion_ids.csv")
    expected = {frozenset(lesions[pair]) for pair in published[["from_img", "to_img"]].astype(str).to_numpy().tolist()}
    together = images.groupby("group")["lesion_id"].agg(frozenset)
    assert len(expected) == 18 and {ids for ids in together if len(ids) > 1} == expected


@needs_ham10000
@pytest.mark.parametrize("target", ["diagnosis", "melanoma", "malignant"])
@pytest.mark.parametrize("scheme", ["holdout", "kfold"])
def test_no_lesion_of_ham10000_is_on_two_sides_and_parts_are_alike(ham10000: Dataset, scheme: str, target: str) -> None:
    images = ham10000.images
    task, diagnoses = task_of(images, target), task_of(images)
    lesions = images["diagnosis"].groupby(images["diagnosis"]).size().index
    common = [name for name in lesions if images.loc[images["diagnosis"] == name, "lesion_id"].nunique() >= 100]
    section = yaml.safe_load((ROOT / "params.yaml").read_text())["split"] | {"scheme": scheme}
    for seed in range(10):
        tested: list[str] = []
        for fold in range(5 if scheme == "kfold" else 1):
            params = SplitParams.model_validate(section | {"seed": seed, "fold": fold})
            table = split_images(images, task, params).table
            parts = defaultdict(set)
            for lesion, part in zip(images["lesion_id"], table["part"], strict=True):
                parts[lesion].add(part)
            assert {len(sides) for sides in parts.values()} == {1}
            tested += list(table.loc[table["part"] == "test", "image_id"])
            balance = class_balance(table.assign(target=diagnoses.targets(images["diagnosis"])), diagnoses.classes)
            assert balance.loc[balance["diagnosis"].isin(common), "difference"].abs().max() <= 0.02
            assert balance["groups"].min() >= 5
        if scheme == "kfold":
            assert sorted(tested) == list(images["image_id"])


@needs_nine_classes
def test_ids_in_several_class_folders_are_set_aside_with_their_labels(nine_classes: Dataset) -> None:
    labels = defaultdict(set)
    for path in sorted(Path(str(NINE_CLASSES)).rglob("*.jpg")):
        labels[path.stem].add(path.parent.name)
    several = {name: found for name, found in labels.items() if len(found) > 1}
    assert len(several) == 155
    rejected = nine_classes.rejected.groupby("image_id")["reason"].agg(set)
    assert set(rejected.index) == set(several)
    for name, found in several.items():
        (reason,) = rejected[name]
        assert all(label in reason for label in found)
    assert not set(nine_classes.images["image_id"]) & set(several)


@needs_nine_classes
@pytest.mark.parametrize(("target", "positive"), [("diagnosis", "melanoma"), ("melanoma", "melanoma")])
def test_the_chain_runs_on_the_nine_classes(
    target: str, positive: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"] |= {"source": "folders", "root": str(NINE_CLASSES), "max_rejected": 0.14}
    params["task"]["target"] = target
    # Two lesions of seborrheic keratosis are left once contradictions are set aside.
    params["split"]["rare"] = "train"
    params["evaluate"]["resamples"] = 100
    Path("params.yaml").write_text(yaml.safe_dump(params))
    chain = (prepare, prepare_external, split, featurize, train_head, calibrate, evaluate, explain, package, report)
    for stage in chain:
        stage.main()
    assert "melanoma" in Path("plots/report/index.html").read_text()
    metrics = json.loads(Path("metrics/evaluate.json").read_text())
    assert metrics["test"]["melanoma"]["auc"] > 0.8
    predictions = pd.read_csv("data/predictions/test.csv")
    names = [str(name) for name in predictions if str(name).startswith("p_")]
    assert len(names) == (9 if target == "diagnosis" else 2) and f"p_{positive}" in names
    np.testing.assert_allclose(predictions[names].sum(axis=1), 1, atol=1e-5)


@needs_ham10000
@needs_nine_classes
def test_as_an_external_set_its_overlap_is_found_by_id_and_by_pixels_alone(
    ham10000: Dataset, nine_classes: Dataset
) -> None:
    home = ham10000.images
    linked, home_linked = nine_classes.linked, ham10000.linked
    found = overlap(nine_classes.images, linked, home, home_linked)
    by_id = set(nine_classes.images["image_id"]) & set(home["image_id"])
    assert set(found.loc[found["reason"] == "image id", "image_id"]) == by_id and len(by_id) == 1_362
    hidden = nine_classes.images.assign(image_id="x" + nine_classes.images["image_id"])
    by_pixels = overlap(hidden, linked.assign(image_id="x" + linked["image_id"]), home, home_linked)
    pixels = by_pixels[by_pixels["reason"] == "near-identical"].set_index("image_id")["home_image_id"]
    recall = len({f"x{name}" for name in by_id} & set(pixels.index)) / len(by_id)
    assert recall == 1.0
    # What else is found is a second copy of one of these, or the same lesion at home.
    lesion = home.set_index("image_id")["lesion_id"]
    for name, at_home in pixels.items():
        plain = str(name)[1:].removesuffix("(1)")
        assert plain == at_home or lesion.get(plain) == lesion[at_home], name
