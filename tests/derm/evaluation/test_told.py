"""One row for each lesion, and the first view alone."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax

from derm.decisions.quality import Quality
from derm.embedding.features import Features
from derm.evaluation.told import FIRST_VIEW, Judged, Told, by_lesion, tell
from derm.heads.head import HEAD, Head, HeadShape
from derm.heads.params import HeadParams
from derm.out_of_distribution.distance import OutOfDistribution, Threshold
from derm.out_of_distribution.fit import fit_cloud
from derm.params import load
from derm.uncertainty import UncertaintyParams
from tests.derm.decisions.calibrations import calibration

CLASSES = ["bcc", "mel", "nv"]
ROWS = pd.DataFrame(
    {
        "image_id": ["a", "b", "c"],
        "lesion_id": ["one", "", "one"],
        "group": ["g", "h", "g"],
        "target": [0, 1, 0],
    }
)


def judged() -> Judged:
    params = load("head", HeadParams).model_copy(update={"type": "linear", "metadata": False})
    head = Head(HeadShape(params=params, channels=3, classes=3))
    member: Any = head.members[0]
    with torch.no_grad():
        member.output.weight.copy_(torch.eye(3))
        member.output.bias.zero_()
    cloud = fit_cloud(np.random.default_rng(1).normal(size=(9, 1, 3)))
    far = OutOfDistribution(cloud, Threshold(score=3.0, share=0.5, lesions=9))
    quality = Quality(share=0.05, images=9, groups=9, notes={})
    plain = calibration(calibrator={"method": "temperature", "temperature": 1.0})
    return Judged({HEAD: head.eval()}, {HEAD: plain}, UncertaintyParams(passes=0, seed=0), far, quality)


def features(views: int) -> Features:
    pooled = np.random.default_rng(0).normal(size=(3, views, 3)).astype(np.float16)
    manifest = {"views": [f"v{number}" for number in range(views)]}
    return Features(pooled, ["a", "b", "c"], manifest)


def test_several_views_are_averaged_and_the_first_stands_beside() -> None:
    given, asked = features(3), judged()
    told = tell(asked, given, ROWS)
    head = asked.heads[HEAD]
    with torch.no_grad():
        logits = head(torch.from_numpy(given.pooled.astype(np.float64)).flatten(0, 1)).numpy().reshape(3, 3, 3)
    np.testing.assert_allclose(told.logits, logits.mean(axis=1))
    columns = [f"p_{name}" for name in CLASSES]
    np.testing.assert_allclose(told.beside[FIRST_VIEW][columns], softmax(logits[:, 0], axis=1), atol=1e-9)
    assert list(told.predictions["image_id"]) == ["a", "b", "c"]
    assert FIRST_VIEW not in tell(asked, features(1), ROWS).beside


def test_photographs_of_one_lesion_are_one_row() -> None:
    asked = judged()
    told = tell(asked, features(1), ROWS)
    table = by_lesion(told, asked.calibrations[HEAD])
    assert sorted(zip(table["image_id"], table["target"], strict=True)) == [("a", 0), ("b", 1)]
    row = table[table["image_id"] == "a"]
    expected = softmax(told.logits[[0, 2]].mean(axis=0))
    np.testing.assert_allclose(row[[f"p_{name}" for name in CLASSES]].to_numpy()[0], expected)


def test_with_one_photograph_of_each_lesion_nothing_changes() -> None:
    asked, rows = judged(), ROWS.assign(lesion_id=["x", "y", "z"])
    told = tell(asked, features(1), rows)
    table = by_lesion(Told(told.predictions, told.logits, {}), asked.calibrations[HEAD])
    shared = [name for name in table if name in told.predictions]
    pd.testing.assert_frame_equal(table[shared], told.predictions[shared])
    assert table["p_mel"].iloc[0] == pytest.approx(softmax(told.logits, axis=1)[0, 1])
