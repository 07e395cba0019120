"""How often does `compare` cry wolf, and does it find a gain that is there?

    python -m benchmarks.compare <cross-validation>

Takes the folds of a cross-validation whose head has a seed (`make crossval RECIPE=... SET=...`), trains it from many
seeds on each fold, and compares, out of fold: pairs of five seeds a side that differ by their seeds alone, which should
get a verdict one time in twenty; the same from one seed a side, which is what most papers do; and pairs of which one
side is given a gain, by deciding rightly on a random share of the images on which it was wrong. Pairs are drawn from
the same pool of heads. Prints one JSON object.
"""

import json
from contextlib import ExitStack
from functools import partial
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer
from tqdm import tqdm

from benchmarks.machine import machine
from derm.measures.headline import headline
from derm.measures.paired_bootstrap import interval_and_p, resampled, seed_weights, seeds_mean
from derm.optimise import TRAINING_THREADS
from derm.params import load
from experiments.compare import CompareParams, folds_of
from experiments.retrain import opened

A_SIDE = 5


def main(
    label: Annotated[str, typer.Argument(help="Name of the cross-validation: its experiments are <name>-fold0, ...")],
    seeds: Annotated[int, typer.Option(help="Heads in the pool.")] = 31,
    pairs: Annotated[int, typer.Option(help="Pairs that differ by their seeds alone.")] = 100,
    gain: Annotated[float, typer.Option(help="Planted in the mean recall.")] = 0.04,
    repetitions: Annotated[int, typer.Option(help="How often it is planted.")] = 10,
    resamples: Annotated[int, typer.Option(help="Of lesions and seeds.")] = 1000,
) -> None:
    """Measure how often a difference is told that is not there, and one that is."""
    torch.set_num_threads(TRAINING_THREADS)
    metric = load("compare", CompareParams).metric
    tables, classes, positive = pool(label, seeds)
    groups, targets = tables[0]["group"].to_numpy(), tables[0]["target"].to_numpy()

    def drawn_of(some: list[pd.DataFrame]) -> tuple[np.ndarray, np.ndarray]:
        """The metric of each table, and in each resample: [n], [n, resamples]."""
        measures = [partial(headline, table, classes, positive) for table in some]
        values = np.array([measure()[metric][0] for measure in measures])
        return values, resampled(measures, groups, targets, resamples, 1)[metric]

    values, drawn = drawn_of(tables)
    generator = np.random.default_rng(1)

    def p_value(one: np.ndarray, other: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
        """p, and half the width of the interval."""
        of_one = seeds_mean(values[one], drawn[one], seed_weights(len(one), resamples, generator))
        of_other = seeds_mean(*other, seed_weights(len(other[0]), resamples, generator))
        low, high, p = interval_and_p(of_other - of_one)
        return p, (high - low) / 2

    null, single, found, widths, planted = [], [], [], [], []
    for _ in range(pairs):
        order = generator.permutation(seeds)
        one, other = order[:A_SIDE], order[A_SIDE : 2 * A_SIDE]
        null.append(p_value(one, (values[other], drawn[other]))[0])
        single.append(p_value(one[:1], (values[other[:1]], drawn[other[:1]]))[0])
    for _ in tqdm(range(repetitions), desc="planted gains"):
        order = generator.permutation(seeds)
        one, other = order[:A_SIDE], order[A_SIDE : 2 * A_SIDE]
        better = drawn_of(with_gain([tables[index] for index in other], gain, values[other].mean(), generator))
        planted.append(float((better[0] - values[other]).mean()))
        p, width = p_value(one, better)
        found.append(p)
        widths.append(width)
    result = {
        "machine": machine(),
        "cross_validation": label,
        "images": len(tables[0]),
        "metric": metric,
        "pool": seeds,
        "seeds_a_side": A_SIDE,
        "resamples": resamples,
        "metric_mean": round(float(values.mean()), 4),
        "metric_spread_between_seeds": round(float(values.std(ddof=1)), 4),
        "null_pairs": pairs,
        "null_verdicts": told(null),
        "null_verdicts_from_one_seed_a_side": told(single),
        "planted_gain": round(float(np.mean(planted)), 4),
        "half_width_with_it": round(float(np.mean(widths)), 4),
        "planted": repetitions,
        "planted_found": told(found),
    }
    print(json.dumps(result, indent=2))


def pool(label: str, seeds: int) -> tuple[list[pd.DataFrame], list[str], str | None]:
    """Out-of-fold predictions of each seed, the classes and the positive one."""
    with ExitStack() as stack:
        parts = [stack.enter_context(opened(name, "test")) for name in folds_of(label)]
        tables = [
            pd.concat([part.predict(number) for part in parts], ignore_index=True)
            for number in tqdm(range(seeds), desc="training", unit="seed")
        ]
        return tables, parts[0].task.classes, parts[0].task.positive


def with_gain(
    tables: list[pd.DataFrame], gain: float, level: float, generator: np.random.Generator
) -> list[pd.DataFrame]:
    """The same decisions, but right on a random share of the images on which they were wrong, the same images for
    every seed: a gain in mean recall of about `gain`, from `level`."""
    lucky = generator.random(len(tables[0])) < gain / (1 - level)
    return [table.assign(decision=np.where(lucky, table["target"], table["decision"])) for table in tables]


def told(p_values: list[float]) -> int:
    """How many of them are a verdict."""
    return int((np.array(p_values) <= 0.05).sum())


if __name__ == "__main__":
    typer.run(main)
