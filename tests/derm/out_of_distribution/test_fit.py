"""The cloud is scikit-learn's estimate, the threshold keeps its share of lesions, and nothing else is looked at."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from derm.embedding.features import Features
from derm.errors import UserError
from derm.out_of_distribution import fit
from derm.out_of_distribution.distance import write_out_of_distribution
from derm.out_of_distribution.fit import OodParams, fit_cloud, fit_out_of_distribution, fit_threshold
from derm.params import load
from tests.closure import ROOT

PARAMS = OodParams(share=0.9, seed=1)


def correlated(rows: int, dim: int, seed: int, views: int = 1) -> np.ndarray:
    """Features of very different size that hang together, float16 [rows, views, dim]."""
    generator, mixing = np.random.default_rng(seed), np.random.default_rng(0).normal(size=(dim, dim))
    values = generator.normal(size=(rows, views, dim)) @ mixing * np.linspace(0.2, 3, dim) + 2
    return values.astype(np.float16)


@pytest.mark.parametrize("views", [1, 3])
def test_with_all_axes_it_is_the_distance_with_ledoit_and_wolfs_covariance(views: int) -> None:
    train, others = correlated(40, 12, 1, views), correlated(7, 12, 2, views)
    scaler = StandardScaler().fit(train.astype(float).mean(1))
    precision = np.linalg.inv(LedoitWolf().fit(scaler.transform(train.astype(float).mean(1))).covariance_)
    expected = [mahalanobis(row, np.zeros(12), precision) for row in scaler.transform(others.astype(float).mean(1))]
    np.testing.assert_allclose(fit_cloud(train).scores(others), expected, rtol=1e-4)


def test_with_fewer_axes_it_is_probabilistic_pcas(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many images that hardly anything is shrunk; scikit-learn's log-likelihood tells the squared distance."""
    monkeypatch.setattr(fit, "AXES", 3)
    train, others = correlated(20_000, 8, 1), correlated(9, 8, 2)
    cloud = fit_cloud(train)
    assert cloud.axes.shape == (8, 3) and cloud.variances.shape == (3,)
    scaler = StandardScaler().fit(train[:, 0].astype(float))
    model = PCA(3).fit(scaler.transform(train[:, 0].astype(float)))
    determinant = np.linalg.slogdet(model.get_covariance())[1]
    likelihood = model.score_samples(scaler.transform(others[:, 0].astype(float)))
    expected = np.sqrt(-2 * likelihood - determinant - 8 * np.log(2 * np.pi))
    np.testing.assert_allclose(cloud.scores(others), expected, rtol=2e-3)


def test_strange_features_are_further_off_than_unseen_usual_ones() -> None:
    """Also those that are usual one by one, and only do not go together."""
    cloud = fit_cloud(correlated(300, 80, 1))
    usual = cloud.scores(correlated(60, 80, 2))
    strange = cloud.scores(np.random.default_rng(1).permuted(correlated(60, 80, 3), axis=0))
    assert roc_auc_score(np.repeat([0, 1], 60), np.r_[usual, strange]) > 0.95


def test_constant_features_and_all_images_alike_do_no_harm() -> None:
    train = correlated(30, 5, 1)
    train[:, :, 2] = 7
    assert np.isfinite(fit_cloud(train).scores(correlated(9, 5, 2))).all()
    alike = fit_cloud(np.repeat(train[:1], 4, axis=0))
    assert alike.scores(train[:1])[0] == 0 and np.isfinite(alike.scores(correlated(9, 5, 2))).all()


def test_the_same_bytes_whatever_number_of_threads(tmp_path: Path) -> None:
    """Large enough that sums are split between two."""
    features, split, calibration = data(400, 300)
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            write_out_of_distribution(
                fit_out_of_distribution(features, split, calibration, PARAMS), tmp_path / f"{threads}"
            )
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


@pytest.mark.parametrize("share", [0.5, 0.9, 0.95])
def test_a_new_lesion_is_inside_as_often_as_asked_for(share: float) -> None:
    """Over many draws: ceil((n + 1) share) / (n + 1), the exact coverage of split conformal prediction."""
    generator, inside = np.random.default_rng(1), []
    for _ in range(2000):
        scores = generator.normal(size=60) ** 2
        fitted = fit_threshold(scores[:39], np.arange(39), PARAMS.model_copy(update={"share": share}))
        inside.append((scores[39:] <= fitted.score).mean())
    assert np.mean(inside) == pytest.approx(np.ceil(40 * share) / 40, abs=0.005)


def test_the_threshold_counts_lesions_not_images() -> None:
    """One lesion with a hundred far images of its own weighs as much as each of the others."""
    scores = np.r_[np.arange(1.0, 20.0), np.full(100, 50.0)]
    lesions = np.r_[np.arange(19), np.full(100, 19)].astype(str)
    fitted = fit_threshold(scores, lesions, PARAMS)
    assert (fitted.lesions, fitted.score, fitted.share) == (20, 19.0, 0.9)


def test_too_few_lesions_put_the_threshold_at_the_furthest() -> None:
    assert fit_threshold(np.array([1.0, 3.0, 2.0]), np.arange(3), PARAMS).score == 3.0


def data(rows: int, dim: int) -> tuple[Features, pd.DataFrame, pd.DataFrame]:
    """Features, the split, and the calibration part's rows: two images of each lesion, every fifth for calibration."""
    ids = [f"i{number:04d}" for number in range(rows)]
    lesions = [f"l{number // 2:04d}" for number in range(rows)]
    parts = [("train", "train", "test", "val", "calibration")[number // 2 % 5] for number in range(rows)]
    split = pd.DataFrame({"image_id": ids, "part": parts, "lesion_id": lesions, "group": lesions})
    calibration = split[split["part"] == "calibration"].sample(frac=1, random_state=1)
    return Features(correlated(rows, dim, 1), ids, {}), split[["image_id", "part"]], calibration


def test_the_cloud_is_of_the_training_part_and_the_threshold_of_the_calibration_part() -> None:
    features, split, calibration = data(200, 6)
    fitted = fit_out_of_distribution(features, split, calibration, PARAMS)
    parts = split["part"].to_numpy()
    np.testing.assert_array_equal(fitted.cloud.axes, fit_cloud(features.pooled[parts == "train"]).axes)
    scores = fitted.cloud.scores(features.pooled[parts == "calibration"])
    assert fitted.threshold.score in scores and fitted.threshold.lesions == 20
    # whatever the other parts hold
    features.pooled[np.isin(parts, ["val", "test"])] = 99
    again = fit_out_of_distribution(features, split, calibration, PARAMS)
    np.testing.assert_array_equal(again.cloud.mean, fitted.cloud.mean)
    assert again.threshold == fitted.threshold
    features.image_ids[int(np.flatnonzero(parts == "train")[0])] = "gone"
    with pytest.raises(UserError, match="no features of image i0000"):
        fit_out_of_distribution(features, split, calibration, PARAMS)


def test_params_are_as_documented(tmp_path: Path) -> None:
    assert load("ood", OodParams, ROOT / "params.yaml") == OodParams(share=0.95, seed=1)
    wrong = tmp_path / "params.yaml"
    wrong.write_text("ood: {share: 1.0, seed: 1}\n")
    with pytest.raises(UserError, match=r"ood.share is 1.0"):
        load("ood", OodParams, wrong)
