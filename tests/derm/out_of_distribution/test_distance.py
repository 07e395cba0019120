"""Distances agree with scipy's, and their file comes back as it was or is refused."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from derm.errors import UserError
from derm.files import write_tensors
from derm.out_of_distribution.distance import (
    LIMIT,
    Cloud,
    OutOfDistribution,
    Threshold,
    read_out_of_distribution,
    write_out_of_distribution,
)


def cloud(dim: int = 6, count: int = 4, rest: float = 0.5) -> Cloud:
    """Of `dim` features, with drawn numbers and orthonormal axes."""
    generator = np.random.default_rng(dim)
    axes = np.linalg.qr(generator.normal(size=(dim, dim)))[0][:, :count]
    return Cloud(
        mean=generator.normal(size=dim).astype(np.float32),
        scale=generator.uniform(0.5, 2, dim).astype(np.float32),
        axes=axes.astype(np.float32),
        variances=generator.uniform(0.5, 3, count).astype(np.float32),
        rest=np.array([rest], np.float32),
    )


def fitted() -> OutOfDistribution:
    return OutOfDistribution(cloud(), Threshold(score=2.5, share=0.95, lesions=20))


@pytest.mark.parametrize(("count", "rest"), [(4, 0.5), (6, 0.0)])
def test_scores_are_scipys_mahalanobis_distances(count: int, rest: float) -> None:
    """With the covariance that axes, variances and rest stand for; of several views, for their mean."""
    of = cloud(6, count, rest)
    axes = of.axes.astype(float)
    covariance = axes @ np.diag(of.variances) @ axes.T + rest * (np.eye(6) - axes @ axes.T)
    pooled = np.random.default_rng(1).normal(0, 2, (9, 3, 6)).astype(np.float16)
    expected = [
        mahalanobis((views.astype(float).mean(0) - of.mean) / of.scale, np.zeros(6), np.linalg.inv(covariance))
        for views in pooled
    ]
    scores = of.scores(pooled)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    assert (scores == scores.round(6)).all()
    # an image alone has the score that it has among others
    assert of.scores(pooled[4:5])[0] == scores[4]


def test_one_feature_that_is_far_off_counts_within_the_limit() -> None:
    of = Cloud(np.zeros(2, np.float32), np.ones(2, np.float32), np.eye(2, dtype=np.float32), *np.ones((2, 2), "f4"))
    np.testing.assert_allclose(of.scores(np.array([[[1e4, 0.0]], [[LIMIT, 0.0]], [[3.0, 4.0]]])), [LIMIT, LIMIT, 5])


def test_above_the_threshold_is_outside() -> None:
    of = Cloud(*np.zeros((1, 1), "f4"), *np.ones((1, 1), "f4"), *np.ones((1, 1, 1), "f4"), *np.ones((2, 1), "f4"))
    told = OutOfDistribution(of, Threshold(score=2.0, share=0.9, lesions=9)).told(
        np.array([1, -2, 2.01])[:, None, None]
    )
    assert list(told["ood_score"]) == [1.0, 2.0, 2.01]
    assert list(told["ood"]) == [0, 0, 1]


def test_the_file_comes_back_to_the_bit(tmp_path: Path) -> None:
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    write_out_of_distribution(fitted(), one)
    back = read_out_of_distribution(one)
    assert back.threshold == fitted().threshold
    for name, array in vars(fitted().cloud).items():
        again = getattr(back.cloud, name)
        assert again.dtype == array.dtype
        np.testing.assert_array_equal(again, array)
    write_out_of_distribution(back, two)
    assert one.read_bytes() == two.read_bytes()


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_out_of_distribution(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_absent_or_cut_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ood.safetensors"
    assert "ood.safetensors is missing" in refusal(path)
    write_out_of_distribution(fitted(), path)
    path.write_bytes(path.read_bytes()[:-5])
    assert "ood.safetensors is damaged" in refusal(path)


def test_a_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    path, right, manifest = tmp_path / "ood.safetensors", vars(fitted().cloud), fitted().threshold.model_dump()
    wrong = [
        ({"mean": right["mean"]}, manifest),
        (right | {"more": right["mean"]}, manifest),
        (right | {"mean": right["mean"][:-1]}, manifest),
        (right | {"scale": right["scale"][:-1]}, manifest),
        (right | {"axes": right["mean"]}, manifest),
        (right | {"variances": right["variances"][:-1]}, manifest),
        (right | {"rest": right["mean"]}, manifest),
        (right, {}),
        (right, manifest | {"score": "far"}),
    ]
    for tensors, told in wrong:
        write_tensors(path, tensors, told)
        assert "does not hold the distances of this version" in refusal(path)
