"""Are pictures of something else told from lesions? AUROC of the distance from the training images; false alarms.

    pip install scikit-image==0.26.0        # for its pictures alone: not in requirements.txt
    python -m benchmarks.out_of_distribution

Runs on the split and features that `dvc repro` left in the repository. Told from known images are whole photographs and
tiles of them (scikit-learn's and scikit-image's), noise, frames of one colour, and a class that was left out of the
training images. What `calibrate` fits (`mahalanobis`) stands beside the distance from the nearest of the classes' means
(`class_means`) and the distance to the 5th nearest training image (`neighbours`): these on val, by which it was chosen,
and `mahalanobis` also on test. Prints one JSON object.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from scipy.linalg import eigh
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from benchmarks.machine import machine
from benchmarks.strange_pictures import blank_frames, embed, noises, scikit_image_pictures, scikit_learn_pictures, tiles
from derm.embedding.features import Features, read_features
from derm.files import read_csv
from derm.image_table import read_images
from derm.lesions import lesions_of, one_of_each
from derm.out_of_distribution.distance import standardise
from derm.out_of_distribution.fit import OodParams, fit_cloud, fit_threshold
from derm.params import load
from derm.task import TaskParams, make_task

# Features [n, views, dim] -> distances [n].
Scorer = Callable[[np.ndarray], np.ndarray]
NEIGHBOURS = 5
REDRAWS = 200


def main(
    block: Annotated[int | None, typer.Option(help="Of joined encoders, the one with this number (from 0).")] = None,
) -> None:
    """Measure how well a distance tells what is no lesion, and how often it warns of a lesion."""
    params, features, images = load("ood", OodParams), read_features(), read_images()
    split = read_csv(Path("data/split/split.csv"), target=int)
    rows = split.merge(images, on="image_id", suffixes=("", "_of_image"))
    classes = make_task(images, load("task", TaskParams)).classes
    photographs = {"scikit_learn": scikit_learn_pictures(), "scikit_image": scikit_image_pictures()}
    strange = {f"whole_{name}": pictures for name, pictures in photographs.items()}
    strange |= {f"tiles_{name}": tiles(pictures) for name, pictures in photographs.items()}
    strange |= {f"noise_{name.replace(' ', '_')}": pictures for name, pictures in noises().items()}
    strange["blank"] = list(blank_frames().values())
    columns = columns_of(features, block)
    unknown = {name: embed(pictures, features)[..., columns] for name, pictures in strange.items()}
    parts = {part: rows[rows["part"] == part] for part in ("train", "calibration", "val", "test")}
    known = {part: features.pooled[features.rows(table["image_id"])][..., columns] for part, table in parts.items()}
    targets = {part: table["target"].to_numpy() for part, table in parts.items()}
    told: dict[str, dict] = {}
    # Its sums' last bits depend on how many threads share them.
    with threadpool_limits(1, user_api="blas"):
        for name, fit in METHODS.items():
            scorer, asked = fit(known["train"], targets["train"]), ["val", "test"] if name == "mahalanobis" else ["val"]
            scores = {part: scorer(known[part]) for part in ("calibration", *asked)}
            threshold = fit_threshold(scores["calibration"], lesions_of(parts["calibration"]), params).score
            far = {kind: scorer(pictures) for kind, pictures in unknown.items()}
            left_out = held_out(fit, known, targets, classes, asked)
            told[name] = {
                part: {
                    "auroc": {kind: area(scores[part], values) for kind, values in far.items()},
                    "auroc_held_out_class": left_out[part],
                    "false_alarms": alarms(scores[part], threshold, parts[part], params.seed),
                }
                for part in asked
            }
            told[name]["outside"] = {kind: round(float((values > threshold).mean()), 3) for kind, values in far.items()}
            if "test" in asked:
                told[name]["nearest_blank"] = nearest(list(blank_frames()), far["blank"], threshold)
                told[name]["redrawn"] = redrawn(scores, parts, params)
    result = {
        "machine": machine(),
        "encoders": [encoder["encoder"] for encoder in features.manifest["encoders"]][slice(block, _end(block))],
        "share": params.share,
        "pictures": {name: len(pictures) for name, pictures in strange.items()},
        **told,
    }
    print(json.dumps(result, indent=2))


def mahalanobis(train: np.ndarray, targets: np.ndarray) -> Scorer:
    """What `calibrate` fits."""
    return fit_cloud(train).scores


def class_means(train: np.ndarray, targets: np.ndarray) -> Scorer:
    """Mahalanobis distance from the nearest of the classes' means, with one shrunk covariance within the classes (Lee
    et al. 2018, arXiv 1807.03888)."""
    mean, scale = moments(train)
    standardised = standardise(train, mean, scale)
    present, place = np.unique(targets, return_inverse=True)
    centres = np.stack([standardised[targets == index].mean(axis=0) for index in present])
    shrunk = LedoitWolf(store_precision=False, assume_centered=True).fit(standardised - centres[place])
    variances, axes = eigh(shrunk.covariance_)
    whiten = axes / np.sqrt(variances)
    return lambda pooled: cdist(standardise(pooled, mean, scale) @ whiten, centres @ whiten).min(axis=1)


def neighbours(train: np.ndarray, targets: np.ndarray) -> Scorer:
    """Euclidean distance to the 5th nearest training image, features standardised (Sun et al. 2022, arXiv
    2204.06507, who take normalised ones: with those, blank frames are not told)."""
    mean, scale = moments(train)
    index = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(standardise(train, mean, scale))
    return lambda pooled: index.kneighbors(standardise(pooled, mean, scale))[0][:, -1]


METHODS = {"mahalanobis": mahalanobis, "class_means": class_means, "neighbours": neighbours}


def moments(train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature, 1 where it is constant."""
    features = train.mean(axis=1, dtype=np.float64)
    deviation = features.std(axis=0)
    return features.mean(axis=0), np.where(deviation > 1e-8, deviation, 1.0)


def held_out(
    fit: Callable[[np.ndarray, np.ndarray], Scorer],
    known: dict[str, np.ndarray],
    targets: dict[str, np.ndarray],
    classes: list[str],
    asked: list[str],
) -> dict[str, dict[str, float]]:
    """AUROC in each part, of each class, for a distance that was fitted without it."""
    found: dict[str, dict[str, float]] = {part: {} for part in asked}
    for index, name in enumerate(classes):
        kept = targets["train"] != index
        scorer = fit(known["train"][kept], targets["train"][kept])
        for part in asked:
            scores, out = scorer(known[part]), targets[part] == index
            found[part][name] = area(scores[~out], scores[out])
    return found


def area(known: np.ndarray, unknown: np.ndarray) -> float:
    """AUROC for telling the unknown by a higher score."""
    truth = np.r_[np.zeros(len(known)), np.ones(len(unknown))]
    return round(float(roc_auc_score(truth, np.r_[known, unknown])), 4)


def alarms(scores: np.ndarray, threshold: float, rows: pd.DataFrame, seed: int) -> dict[str, float]:
    """Share of the part's images that are outside, and of its lesions, one image of each."""
    outside, drawn = scores > threshold, one_of_each(lesions_of(rows), seed)
    return {"images": round(float(outside.mean()), 4), "lesions": round(float(outside[drawn].mean()), 4)}


def redrawn(scores: dict[str, np.ndarray], parts: dict[str, pd.DataFrame], params: OodParams) -> dict[str, float]:
    """Share of lesions outside if calibration and test are dealt out again so many times: one split is one draw."""
    pooled = []
    for part in ("calibration", "test"):
        pooled.append(scores[part][one_of_each(lesions_of(parts[part]), params.seed)])
    every, count, generator = np.concatenate(pooled), len(pooled[0]), np.random.default_rng(1)
    shares = []
    for _ in range(REDRAWS):
        dealt = generator.permutation(every)
        threshold = fit_threshold(dealt[:count], np.arange(count), params).score
        shares.append((dealt[count:] > threshold).mean())
    low, high = np.percentile(shares, [2.5, 97.5])
    return {"mean": round(float(np.mean(shares)), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def nearest(names: list[str], scores: np.ndarray, threshold: float) -> dict[str, float]:
    """The frame that looks most like a lesion, and how many times as far as the threshold it is."""
    index = int(scores.argmin())
    return {names[index]: round(float(scores[index] / threshold), 2)}


def columns_of(features: Features, block: int | None) -> slice:
    """The columns of one of the joined encoders, or all."""
    dims = features.manifest["dims"]
    return slice(None) if block is None else slice(sum(dims[:block]), sum(dims[: block + 1]))


def _end(block: int | None) -> int | None:
    return None if block is None else block + 1


if __name__ == "__main__":
    typer.run(main)
