"""Fit the distance on the training part, and from where on an image is outside on the calibration part."""

import math

import numpy as np
import pandas as pd
from pydantic import Field
from sklearn.covariance import LedoitWolf
from threadpoolctl import threadpool_limits

from derm.embedding.features import Features
from derm.lesions import lesions_of, one_of_each
from derm.out_of_distribution.distance import Cloud, OutOfDistribution, Threshold, moments, standardise
from derm.params import Section

# Directions of which the variance counts each for itself. The file of 2,000 features takes 2 MB, and would take 16.
AXES = 256
# A direction in which nothing ever moved.
LEAST_VARIANCE = 1e-6


class OodParams(Section):
    """Section `ood`. share: of the calibration part's lesions that are inside. seed: picks one image of each lesion."""

    share: float = Field(gt=0, lt=1)
    seed: int = Field(ge=0)


def fit_out_of_distribution(
    features: Features, split: pd.DataFrame, calibration: pd.DataFrame, params: OodParams
) -> OutOfDistribution:
    """The cloud from the training part, the threshold from the calibration part.

    split: `image_id, part` of all; calibration: `image_id, lesion_id, group` of that part. UserError if an image has
    no features.
    """
    train = features.rows(split.loc[split["part"] == "train", "image_id"])
    cloud = fit_cloud(features.pooled[train])
    scores = cloud.scores(features.pooled[features.rows(calibration["image_id"])])
    return OutOfDistribution(cloud, fit_threshold(scores, lesions_of(calibration), params))


def fit_cloud(pooled: np.ndarray) -> Cloud:
    """From the features [n, views, dim] of the training part.

    Mahalanobis distance (Lee et al. 2018, arXiv 1807.03888), here from the one mean of all classes: from the nearest of
    the classes' means it tells an unknown class hardly better (`benchmarks.out_of_distribution`). The covariance is
    shrunk (Ledoit and Wolf 2004, A well-conditioned estimator for large-dimensional covariance matrices); of it the
    AXES of largest variance are kept, and the mean of the others, as in probabilistic PCA (Tipping and Bishop 1999).
    """
    mean, scale = moments(pooled)
    dim = len(mean)
    count = min(AXES, dim)
    # Sums are split between threads, and their last bits depend on how many there are.
    with threadpool_limits(1, user_api="blas"):
        shrunk = LedoitWolf(store_precision=False, assume_centered=True).fit(standardise(pooled, mean, scale))
        # All of them: asked for some alone, LAPACK can fail where many are equal, as with fewer images than features.
        variances, axes = (found[..., dim - count :] for found in np.linalg.eigh(shrunk.covariance_))
    rest = (np.trace(shrunk.covariance_) - variances.sum()) / max(dim - count, 1)
    return Cloud(
        mean=mean,
        scale=scale,
        axes=axes.astype(np.float32),
        variances=variances.clip(min=LEAST_VARIANCE).astype(np.float32),
        rest=np.array([max(rest, LEAST_VARIANCE) if count < dim else 0.0], dtype=np.float32),
    )


def fit_threshold(scores: np.ndarray, lesions: np.ndarray, params: OodParams) -> Threshold:
    """From the scores [n] of the calibration part's images; lesions: [n], which lesion each of them shows.

    One image of each lesion is drawn, as for the sets of classes. With n of them the threshold is the
    ceil((n + 1) share)-th smallest score: a further lesion is inside with at least that probability.
    """
    drawn = np.sort(scores[one_of_each(lesions, params.seed)])
    rank = math.ceil((len(drawn) + 1) * params.share - 1e-9)
    return Threshold(score=float(drawn[min(rank, len(drawn)) - 1]), share=params.share, lesions=len(drawn))
