"""Do the 95 % intervals hold the truth 95 % of the time? Simulated test parts of HAM10000's size.

    python -m benchmarks.coverage --workers 2

Photographs of one lesion are alike: their logits share what is the lesion's own. For each simulated test part,
intervals are made as the chain makes them (groups resampled, `derm.measures.bootstrap`), by resampling images as if
they were independent, and, for each class's recall, by Wilson's formula on lesions (`derm.measures.proportion`). The
truth is the same measure over a part that is 500 times as large. A second table takes one class alone, with few lesions
or many and a low recall or a high one: where the bootstrap must not be used. Needs no data, nor features. Prints one
JSON object.
"""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from scipy.special import softmax
from scipy.stats import norm
from tqdm import tqdm

from benchmarks.machine import machine
from derm.measures import weighted
from derm.measures.bootstrap import CHUNK, group_weights
from derm.measures.proportion import FEWEST, proportion_by_lesion, too_few, wilson_interval
from derm.seeds import derived

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
MELANOMA = CLASSES.index("mel")
# HAM10000_metadata.csv (doi:10.7910/DVN/DBW86T): how many lesions of each class have 1, 2, ... 6 images; 7,470 lesions
# and 10,015 images in all.
LESIONS = np.array(
    [
        [151, 57, 18, 2, 0, 0],
        [175, 118, 33, 1, 0, 0],
        [440, 220, 55, 8, 2, 2],
        [39, 26, 8, 0, 0, 0],
        [230, 278, 100, 4, 1, 1],
        [4415, 699, 268, 18, 2, 1],
        [64, 25, 8, 1, 0, 0],
    ]
)
TEST = 0.2  # share of the lesions of each class
# The mean logits of each class and the mean of their covariances within a class, as recipe best-frozen has them on the
# test part of fold 0 of 5; there the correlation of two images of one lesion is 0.4 to 0.7, 0.65 in most classes, and
# lesions with several images have 0.1 to 2.4 less on their own class: what is photographed again is harder.
LOGITS = np.array(
    [
        [2.4, 0.2, 1.3, -2.5, 0.9, 1.7, -4.0],
        [0.4, 3.0, 0.6, -2.7, -0.4, 2.0, -2.9],
        [-0.5, -0.6, 3.4, -2.5, 1.5, 3.0, -4.4],
        [-0.6, -0.7, 0.6, 2.0, -0.4, 2.5, -3.3],
        [-1.0, -1.0, 1.5, -3.1, 3.4, 3.4, -3.3],
        [-1.6, -1.1, 1.0, -2.7, 1.6, 5.6, -2.8],
        [-4.2, 0.5, -1.0, -4.1, -0.4, 3.3, 5.9],
    ]
)
COVARIANCE = np.array(
    [
        [2.8, 0.4, -0.7, -0.5, -0.4, -0.9, -0.7],
        [0.4, 2.1, -0.6, -0.4, -1.1, -0.5, 0.1],
        [-0.7, -0.6, 1.8, -0.1, 0.2, 0.4, -0.9],
        [-0.5, -0.4, -0.1, 2.2, -0.5, -0.2, -0.5],
        [-0.4, -1.1, 0.2, -0.5, 1.9, 0.2, -0.4],
        [-0.9, -0.5, 0.4, -0.2, 0.2, 1.2, -0.1],
        [-0.7, 0.1, -0.9, -0.5, -0.4, -0.1, 2.6],
    ]
)
CORRELATION, HARDER = 0.65, 0.5
TRUTH = 500
# One class alone: its lesions in the test part, its recall, and how alike the images of a lesion are.
FEW, RECALLS, ALIKE = (5, 10, 15, 20, 30, 50, 100), (0.5, 0.7, 0.9, 0.95), (CORRELATION, 1.0)


class Part(NamedTuple):
    """logits float64 [n, classes]; targets int [n]; lesions int [n], of which lesion an image is."""

    logits: np.ndarray
    targets: np.ndarray
    lesions: np.ndarray


def main(
    simulations: Annotated[int, typer.Option(help="Test parts that are drawn.")] = 1000,
    resamples: Annotated[int, typer.Option(help="Bootstrap draws for each interval.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 1,
    workers: Annotated[int, typer.Option(help="Processes; they change no number.")] = 1,
) -> None:
    """Count how often intervals hold the truth."""
    truth = true_values(seed)
    numbers = range(simulations)
    parts = run(partial(one_part, resamples=resamples, truth=truth, seed=seed), numbers, workers, "test parts")
    cells = [(few, recall, alike) for few in FEW for recall in RECALLS for alike in ALIKE]
    jobs = [(*cell, number) for cell in cells for number in numbers]
    alone = run(partial(one_class, resamples=resamples, seed=seed), jobs, workers, "one class")
    sample = draw(np.random.default_rng(seed), lesions_in_test())
    result = {
        "machine": machine(),
        "simulations": simulations,
        "resamples": resamples,
        "seed": seed,
        "standard_error_at_95": round(float(np.sqrt(0.95 * 0.05 / simulations)), 4),
        "images": len(sample.targets),
        "lesions": dict(zip(CLASSES, lesions_in_test().tolist(), strict=True)),
        "truth": {name: round(value, 4) for name, value in truth.items()},
        "coverage": summary(parts),
        "one_class": [
            {"lesions": few, "recall": recall, "correlation": alike}
            | {how: table["coverage"] for how, table in summary(alone[start : start + simulations])["recall"].items()}
            for start, (few, recall, alike) in zip(range(0, len(jobs), simulations), cells, strict=True)
        ],
    }
    print(json.dumps(result, indent=2))


def lesions_in_test() -> np.ndarray:
    """Lesions of each class in a test part, int [classes]."""
    return np.round(TEST * LESIONS.sum(axis=1)).astype(int)


def draw(generator: np.random.Generator, lesions: np.ndarray) -> Part:
    """A test part with so many lesions of each class; how many images each has is drawn as HAM10000 has them."""
    of_class = np.repeat(np.arange(len(CLASSES)), lesions)
    images = np.concatenate(
        [
            1 + generator.choice(LESIONS.shape[1], size=count, p=row / row.sum())
            for row, count in zip(LESIONS, lesions, strict=True)
        ]
    )
    member = np.repeat(np.arange(len(images)), images)
    targets = of_class[member]
    own, noise = (generator.normal(size=(count, len(CLASSES))) for count in (len(images), len(member)))
    mixed = np.sqrt(CORRELATION) * own[member] + np.sqrt(1 - CORRELATION) * noise
    values, vectors = np.linalg.eigh(COVARIANCE)
    logits = LOGITS[targets] + mixed * np.sqrt(values.clip(0)) @ vectors.T
    several = images[member] > 1
    usual = 1 - LESIONS[:, 0] / (LESIONS @ np.arange(1, LESIONS.shape[1] + 1))  # the share of such images
    logits[np.arange(len(targets)), targets] -= HARDER * (several - usual[targets])
    return Part(logits, targets, member)


def measures(part: Part, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The product's numbers: name -> float [resamples]."""
    counts = weighted.confusion(part.targets, part.logits.argmax(axis=1), len(CLASSES), weights)
    told = softmax(part.logits, axis=1)
    areas = [weighted.area_under_roc(told[:, k], part.targets == k, weights) for k in range(len(CLASSES))]
    recalls = weighted.recalls(counts)
    return {
        "balanced_accuracy": weighted.balanced_accuracy(counts),
        "macro_auc": np.mean(areas, axis=0),
        "melanoma_auc": areas[MELANOMA],
        **{f"recall.{name}": recalls[:, k] for k, name in enumerate(CLASSES)},
    }


def true_values(seed: int, times: int = TRUTH) -> dict[str, float]:
    """What the measures tend to: of a part that is so many times as large."""
    part = draw(np.random.default_rng(derived(seed, 0)), times * lesions_in_test())
    return {name: float(value[0]) for name, value in measures(part).items()}


# How an interval is made -> what is measured -> its ends.
Intervals = dict[str, dict[str, tuple[float, float]]]
# The same -> whether it holds the truth, and how wide it is.
Found = dict[str, dict[str, tuple[bool, float]]]


def one_part(number: int, resamples: int, truth: dict[str, float], seed: int) -> Found:
    """Intervals of one simulated test part."""
    part = draw(np.random.default_rng(derived(seed, 1, number)), lesions_in_test())
    made: Intervals = {
        name: percentiles(partial(measures, part), groups, part.targets, resamples, derived(seed, 2, number))
        for name, groups in (("groups", part.lesions), ("images", np.arange(len(part.targets))))
    }
    hit = part.logits.argmax(axis=1) == part.targets
    for k, label in enumerate(CLASSES):
        name, of = f"recall.{label}", part.targets == k
        for how, ends in without_bootstrap(hit[of], part.lesions[of], made["groups"][name]).items():
            made.setdefault(how, {})[name] = ends
    return {how: {name: held(ends, truth[name]) for name, ends in table.items()} for how, table in made.items()}


def one_class(job: tuple[int, float, float, int], resamples: int, seed: int) -> Found:
    """Intervals of one class's recall: its lesions have as many images as those of the rarest class.

    job: its lesions, its recall, how alike the images of a lesion are, and which of the simulations it is.
    """
    few, recall, alike, number = job
    generator = np.random.default_rng(derived(seed, 3, few, round(100 * recall), round(100 * alike), number))
    row = LESIONS[LESIONS.sum(axis=1).argmin()]
    member = np.repeat(np.arange(few), 1 + generator.choice(len(row), size=few, p=row / row.sum()))
    own, noise = generator.normal(size=few)[member], generator.normal(size=len(member))
    hit = np.sqrt(alike) * own + np.sqrt(1 - alike) * noise < norm.ppf(recall)

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"recall": weights @ hit / weights.sum(axis=1)}

    made = {
        name: percentiles(measure, groups, np.zeros(len(hit)), resamples, derived(seed, 4, number))["recall"]
        for name, groups in (("groups", member), ("images", np.arange(len(hit))))
    }
    made |= without_bootstrap(hit, member, made["groups"])
    return {how: {"recall": held(ends, recall)} for how, ends in made.items()}


def without_bootstrap(
    hit: np.ndarray, lesions: np.ndarray, groups: tuple[float, float]
) -> dict[str, tuple[float, float]]:
    """Intervals of a recall by Wilson's formula, and by rules for when to take that and when the bootstrap's.

    wilson_effective: with sum(m)^2 / sum(m^2) lesions for m images of each (Kish 1965), as many as there are if a
    lesion's images are all alike.
    """
    images = np.unique(lesions, return_counts=True)[1]
    found = proportion_by_lesion(hit, lesions)
    wilson = found.low, found.high
    return {
        "wilson": wilson,
        "wilson_effective": wilson_interval(found.value, images.sum() ** 2 / (images**2).sum()),
        "rule_below_20": wilson if found.lesions < FEWEST else groups,
        "rule": wilson if too_few(found.value, found.lesions) else groups,
    }


def percentiles(
    measure: Callable[[np.ndarray], dict[str, np.ndarray]],
    groups: np.ndarray,
    strata: np.ndarray,
    resamples: int,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """As `derm.measures.bootstrap.intervals`, without its progress bar."""
    weights = group_weights(groups, strata, resamples, seed)
    chunks = [measure(weights[start : start + CHUNK]) for start in range(0, resamples, CHUNK)]
    drawn = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    return {name: tuple(np.percentile(values, [2.5, 97.5])) for name, values in drawn.items()}


def held(ends: tuple[float, float], truth: float) -> tuple[bool, float]:
    """Whether the interval holds the truth, and how wide it is; ends may be off by rounding."""
    return ends[0] - 1e-9 <= truth <= ends[1] + 1e-9, ends[1] - ends[0]


def run(simulate: Callable[[Any], Found], jobs: Sequence[Any], workers: int, what: str) -> list[Found]:
    """Every job, in their order."""
    with ProcessPoolExecutor(workers) as pool:
        return list(tqdm(pool.map(simulate, jobs, chunksize=5), total=len(jobs), desc=what, unit="simulation"))


def summary(found: list[Found]) -> dict[str, dict[str, dict[str, float]]]:
    """What is measured -> how -> coverage and mean width."""
    tables: dict[str, dict[str, dict[str, float]]] = {}
    for how, names in found[0].items():
        for name in names:
            rows = np.array([one[how][name] for one in found], dtype=float)
            tables.setdefault(name, {})[how] = {
                "coverage": round(float(rows[:, 0].mean()), 4),
                "width": round(float(rows[:, 1].mean()), 4),
            }
    return tables


if __name__ == "__main__":
    typer.run(main)
